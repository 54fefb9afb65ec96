"""The paper says what the records say, and types no number that they have."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agelib import paper, paper_beyond, paper_leakage, paper_numbers, paper_text
from agelib.corruptions import CORRUPTIONS
from agelib.files import DataError
from agelib.paths import root

TEXT = (root() / "paper" / "paper.typ").read_text(encoding="utf-8")
PDF = root() / "paper" / paper.PDF
# Names and words that hold a digit, and levels that are chosen, not measured.
NAMES = (
    *("LeNet-5", "ResNet-50", "EfficientNet-Lite0"),
    *("P1", "P2", "P3", "P4", "P5"),
    *("95 %", "80 %", "90 %"),
)


def prose(text):
    """Return the text without what Typst computes or resolves: calls, labels, citations."""
    text = re.sub(r"^//.*$|^#import.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r'#v\("[^"]*"\)', "", text)
    text = re.sub(r'#(from-records|drawn|if) ?\(?"[^"]*"', "", text)
    text = re.sub(r"\b(widths|words|width|wide): (\([^)]*\)|\d+%|true|false)", "", text)
    return re.sub(r"@[\w-]+|<[\w-]+>", "", text)


def test_no_number_of_the_text_is_typed_by_hand():
    text = prose(TEXT)
    for name in NAMES:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "", text)
    found = re.findall(r".{0,30}\d.{0,30}", text)
    assert not found


def test_a_typed_number_would_be_found():
    assert re.search(r"\d", prose('reaches #v("best.mae"), or 4.92 years'))
    assert not re.search(r"\d", prose('reaches #v("best.90") @lecun1998 at @table-2 <a-1>'))


def read_numbers():
    return json.loads((paper.folder() / "numbers.json").read_text(encoding="utf-8"))


def test_every_number_table_and_figure_that_the_text_names_is_there_and_used():
    numbers = read_numbers()
    assert set(re.findall(r'#v\("([^"]+)"\)', TEXT)) <= set(numbers["values"])
    named = set(re.findall(r'#from-records\("([^"]+)"', TEXT))
    # The table of the other data sets comes with their first record.
    assert named - {"elsewhere"} == set(numbers["tables"]) - {"elsewhere"}
    drawn = set(re.findall(r'#drawn\("([^"]+)"', TEXT))
    code = (root() / "agelib" / "paper_figures.py").read_text(encoding="utf-8")
    assert drawn == set(re.findall(r'_save\(folder, "([^"]+)"', code))


def test_every_figure_and_table_is_referred_to_and_every_reference_resolves():
    labels = re.findall(r"<([\w-]+)>", TEXT)
    assert len(labels) == len(set(labels)) == len(re.findall(r"#(?:from-records|drawn)\(", TEXT))
    assert all(f"@{label}" in TEXT for label in labels)


def test_no_cell_is_missing_and_every_row_is_whole():
    numbers = read_numbers()
    for table in numbers["tables"].values():
        assert table["rows"]
        for row in table["rows"]:
            assert len(row) == len(table["columns"])
            assert not any("nan" in cell.lower() or "<NA>" in cell for cell in row)
    assert not any("nan" in text.split() for text in numbers["values"].values())


def test_the_numbers_are_not_older_than_the_records():
    numbers = read_numbers()
    assert numbers["records"] == paper.records_fingerprint(), "run `make paper`"


def test_the_numbers_are_what_the_records_give():
    kept = read_numbers()
    assert {key: kept[key] for key in ("values", "tables")} == paper_numbers.compute()


def test_the_pdf_is_not_older_than_text_and_records():
    content = PDF.read_bytes()
    assert content.startswith(b"%PDF") and len(content) < 1_000_000
    for stamp in (
        f"records {paper.records_fingerprint()}",
        f"sources {paper.sources_fingerprint()}",
    ):
        assert stamp.encode() in content, f"{stamp} is not in the PDF: run `make paper`"


def test_the_pdf_has_six_to_eight_pages():
    pages = re.findall(rb"/Type ?/Page(?![A-Za-z])", PDF.read_bytes())
    assert 6 <= len(pages) <= 8


def test_no_sign_behind_a_number_is_lost_to_typst():
    # A semicolon ends code, and a quote after a digit is set as a prime.
    assert not re.search(r'#v\("[^"]*"\);', TEXT)
    assert not re.search(r"\d'", TEXT)


def test_the_fingerprint_sees_records_and_not_those_of_the_sample(tmp_path):
    empty = paper.records_fingerprint(tmp_path)
    for dataset in ("sample", "utkface"):
        place = tmp_path / dataset / "03-lenet" / "1.0" / "record.json"
        place.parent.mkdir(parents=True)
        place.write_text("{}", encoding="utf-8")
        changed = paper.records_fingerprint(tmp_path) != empty
        assert changed == (dataset == "utkface")


def test_the_paper_builds_without_network_and_refuses_an_unknown_number(tmp_path, monkeypatch):
    typst = pytest.importorskip("typst")
    source = '#import "style.typ": *\n#v("best.mae") #v("no.such.number")'
    for name in ("style.typ", "numbers.json"):
        (tmp_path / name).write_bytes((root() / "paper" / name).read_bytes())
    path = tmp_path / "a.typ"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(typst.TypstError, match="no.such.number"):
        typst.compile(str(path), root=str(tmp_path))
    path.write_text(source.split(' #v("no')[0], encoding="utf-8")
    assert typst.compile(str(path), root=str(tmp_path)).startswith(b"%PDF")


def test_a_minus_is_a_minus_sign():
    row = pd.Series({"value": -0.5, "low": -1.0, "high": 0.25})
    assert paper_text.with_ends(row) == "−0.50 [−1.00, 0.25]"


def test_words_follow_the_interval():
    words = ("helps", "harms", "does nothing clear")
    for ends, word in (((-2, -1), "helps"), ((1, 2), "harms"), ((-1, 1), "does nothing clear")):
        row = dict(zip(("low", "high"), ends, strict=True))
        assert paper_text.told_apart(row, *words) == word
    assert paper_text.listed([]) == "none"
    assert paper_text.listed(["a"]) == "a"
    assert paper_text.listed(iter("abc")) == "a, b and c"
    assert (paper_text.in_text("JPEG"), paper_text.in_text("Eyes covered")) == (
        "JPEG",
        "eyes covered",
    )


def test_the_fingerprint_sees_what_chapters_keep(tmp_path):
    empty = paper.records_fingerprint(tmp_path)
    kept = paper_beyond.kept_files(paper_numbers.open_lab())
    assert all((root() / "models-and-results" / name).is_file() for name in kept)
    place = tmp_path / kept[0]
    place.parent.mkdir(parents=True)
    place.write_bytes(b"another")
    assert paper.records_fingerprint(tmp_path) != empty


def robust_lab(tmp_path, monkeypatch):
    """Return the paper's lab with the results folder elsewhere, and empty."""
    monkeypatch.setenv("AGELIB_RESULTS", str(tmp_path))
    return paper_numbers.open_lab()


def test_what_a_chapter_has_not_measured_is_named(tmp_path, monkeypatch):
    lab = robust_lab(tmp_path, monkeypatch)
    for ask, chapter in (
        (paper_beyond.responses, "18-robustness"),
        (paper_beyond.use_values, "24-predict-your-own-photo"),
        (paper_leakage.split_tables, "19-leakage"),
    ):
        with pytest.raises(DataError, match=chapter):
            ask(lab)


def test_what_was_measured_on_another_network_is_refused(monkeypatch):
    lab = paper_numbers.open_lab()
    found = dict(paper_beyond.responses(lab))
    found["blur age"] = found["blur age"] + np.float32(1)
    monkeypatch.setattr(paper_beyond, "_kept_arrays", lambda *names: found)
    with pytest.raises(DataError, match="another network"):
        paper_beyond.responses(lab)


def test_the_strongest_corruption_and_its_direction_by_hand():
    ages = np.array([20, 40, 60], np.float32)
    found = {"age": ages, "female": np.ones(3, bool), "level": np.array([0, 0.5, 1])}
    for kind in CORRUPTIONS:
        drift = {"blur": -8, "noise": 4}.get(kind, 0)
        found[f"{kind} age"] = np.stack([ages, ages + drift / 2, ages + drift])
        found[f"{kind} female"] = np.array([[True] * 3, [True] * 3, [kind != "grey"] * 3])
    values = paper_beyond.robustness_values(found)
    assert (values["robust.older"], values["robust.younger"]) == ("noise", "blur")
    assert (values["robust.most"], values["robust.most_change"]) == ("blur", "8.0 [8.0, 8.0]")
    assert (values["robust.gender"], values["robust.levels"]) == ("grey", "2")
    rows = {row[0].partition(":")[0]: row for row in paper_beyond.robustness_table(found)["rows"]}
    # A year is lost at an eighth of the blur, which is 4 % of the side at its strongest.
    assert rows["Blur"][1:5] == ["0.5", "4", "8.0 [8.0, 8.0]", "−8.0 [−8.0, −8.0]"]
    assert rows["Grey"][1] == ""


def test_typical_and_clear_changes_by_hand():
    rows = [("head", "years", 1.0, 0.5, 1.5), ("head", "years", -3.0, -9.0, 3.0)]
    pairs = pd.DataFrame(rows, columns=["factor", "unit", "difference", "low", "high"])
    table = paper_numbers._effects_table(pairs)
    assert table["rows"] == [["head", "years", "2.0", "3.0", "2", "1"]]


def test_the_paper_has_the_parts_of_a_paper():
    titles = re.findall(r"^= (.+)$", TEXT, re.MULTILINE)
    assert titles[0] == "Introduction" and TEXT.rstrip().endswith(")")
    wanted = ("Related work", "Data and its faults", "Protocols", "Models and training", "Results")
    assert [t for t in titles if t in wanted] == list(wanted)
    assert {"Uncertainty", "Fairness", "Limits", "Ethics"} <= set(titles)
    assert 2000 < len(re.sub(r"[^\w ]", " ", prose(TEXT)).split()) < 6000


def test_figures_are_the_same_bytes_for_the_same_records(tmp_path):
    import matplotlib.pyplot as plt

    from agelib import paper_figures

    written = []
    for name in ("a", "b"):
        plt.subplots()[1].plot(np.arange(5))
        written.append(paper_figures._save(Path(tmp_path) / name, "line", (3, 2)).read_bytes())
    assert written[0] == written[1] and b"<svg" in written[0]
