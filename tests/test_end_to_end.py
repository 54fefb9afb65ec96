"""From drawn photographs to the summarized results: every notebook, headless, trained for real."""

import json
import os
import subprocess
import sys

from agelib import paths


def test_the_whole_collection_runs_on_a_small_sample_and_touches_nothing_committed(tmp_path):
    committed = paths.root() / "models-and-results"
    before = {path: path.stat().st_mtime_ns for path in committed.rglob("*") if path.is_file()}
    options = {"EPOCHS": 1, "FOLDS": 1, "STATES": 1, "SAMPLE_SIZE": 500, "TRIALS": 3}
    words = [word for name, value in options.items() for word in ("-p", name, str(value))]
    command = [sys.executable, "-m", "agelib", "run", "--output", str(tmp_path / "run"), *words]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AGELIB_")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "run"
    names = sorted(path.stem for path in (paths.root() / "notebooks").glob("*.ipynb"))
    assert sorted(path.stem for path in run.rglob("*.ipynb")) == names
    records = [json.loads(path.read_text()) for path in run.rglob("record.json")]
    chapters = {record["experiment"]["chapter"] for record in records}
    # These look at records of others, or at lists.
    views = {"16", "18", "20", "21", "22", "24"}
    assert chapters == {n for n in names if "03" <= n[:2] < "90" and n[:2] not in views}
    assert all(record["epochs"] == 1 and record["reduced"]["epochs"] > 1 for record in records)
    assert all(entry["n"] > 0 for record in records for entry in record["metrics"].values())
    after = {path: path.stat().st_mtime_ns for path in committed.rglob("*") if path.is_file()}
    assert after == before
