"""Records are there whole or not at all."""

import gzip

import pandas as pd
import pytest

from agelib.files import DataError, atomic_path, write_json
from agelib.records import find_records, load_record, write_record


def make(folder):
    history = pd.DataFrame({"loss": [1.25, 1 / 3]}, index=pd.RangeIndex(1, 3, name="epoch"))
    predictions = pd.DataFrame(
        {"file": ["1_0_0_é.jpg"], "true": [0], "predicted": [1], "p0": [0.25]}
    )
    metrics = {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 1}}
    summary = {"experiment": {"number": "1.0", "name": "LeNet-5"}, "metrics": metrics}
    return write_record(folder, summary, history, predictions)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record = make(tmp_path / "sample" / "03-lenet" / "1.0")
    assert record.label == "1.0 LeNet-5"
    assert record.history["loss"].tolist() == pytest.approx([1.25, 1 / 3], rel=1e-6)
    assert record.predictions["file"].tolist() == ["1_0_0_é.jpg"]
    assert record.metrics.loc["accuracy", "n"] == 1
    assert find_records(tmp_path) == [record.folder]


def test_writing_twice_gives_the_same_bytes(tmp_path):
    one, two = make(tmp_path / "a"), make(tmp_path / "b")
    for name in ("record.json", "history.csv", "predictions.csv.gz"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


def test_a_missing_or_foreign_file_is_refused_by_name(tmp_path):
    record = make(tmp_path)
    (tmp_path / "predictions.csv.gz").write_bytes(gzip.compress(b"file,true\nother.jpg,1\n"))
    with pytest.raises(DataError, match=r"predictions.csv does not belong"):
        load_record(tmp_path)
    (tmp_path / "history.csv").unlink()
    with pytest.raises(DataError, match="not a whole record"):
        load_record(record.folder)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"files": []}', b'{"files": 3}'])
def test_a_damaged_summary_is_refused(tmp_path, damage):
    make(tmp_path)
    (tmp_path / "record.json").write_bytes(damage)
    with pytest.raises(DataError, match="restore (it|both) from git"):
        load_record(tmp_path)


def test_nothing_is_left_of_a_file_whose_writing_failed(tmp_path):
    write_json(tmp_path / "kept.json", {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "kept.json", {"a": float("nan")})
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "half").write_text("x")
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]
    assert '"a": 1' in (tmp_path / "kept.json").read_text()
