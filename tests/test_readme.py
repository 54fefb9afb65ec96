"""What stands in the README is what the records and the repository hold."""

import re

import pandas as pd
import pytest

from agelib import paths, readme

TEXT = (paths.root() / "README.md").read_text(encoding="utf-8")


def test_figures_and_tables_are_those_from_the_records():
    assert readme.filled(TEXT, readme.results_part()) == TEXT
    assert not re.search(r"\bnan\b|<NA>", TEXT, re.IGNORECASE)


def test_a_cell_without_a_record_is_empty():
    facts = {"honest": 0.54, "honest_low": 0.5, "honest_high": 0.58, "honest_n": 384}
    none = {f"replicated{end}": float("nan") for end in ("", "_low", "_high", "_n", "_reduced")}
    row = {
        "label": "1.0 A",
        "labels": "decades-7",
        "metric": "accuracy",
        "reported": 0.5,
        "project": "P1",
    }
    row |= {"reported_n": float("nan"), "honest_reduced": "epochs 1 of 9", **facts, **none}
    line = readme.results_markdown(pd.DataFrame([row])).splitlines()[-1]
    expected = "| 0.500 (P1, validation) |  | 0.540 [0.500, 0.580] (n = 384); epochs 1 of 9 |"
    assert line == f"| 1.0 A (decades-7) | accuracy {expected}"


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert targets
    missing = [t for t in targets if "://" not in t and not (paths.root() / t).exists()]
    assert not missing


def test_every_notebook_is_in_the_table():
    notebooks = sorted(path.name for path in (paths.root() / "notebooks").glob("*.ipynb"))
    assert notebooks == sorted(set(re.findall(r"notebooks/([\w-]+\.ipynb)\)", TEXT)))


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match="end of results"):
        readme.filled("# no marks", "")
