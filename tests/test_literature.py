"""The bibliography is valid, and reading list, chapters and numbers agree with it."""

import re
import unicodedata
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_file
from pybtex.richtext import Text

from agelib import comparison, headline
from agelib.paths import root

FOLDER = root() / "literature"
BIB = parse_file(str(FOLDER / "references.bib")).entries
LIST = (FOLDER / "README.md").read_text(encoding="utf-8")
# Entries of the reading list: key and what stands below it.
LISTED = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", LIST, re.MULTILINE | re.DOTALL))
# Works that have neither a DOI nor an arXiv number.
NUMBERLESS = {"krizhevsky2012", "srivastava2014", "bergstra2011", "hutter2014"}
NUMBERLESS |= {"papadopoulos2008", "buolamwini2018", "holm1979", "liu2020"}
NEEDED = {"article": "journal", "inproceedings": "booktitle", "book": "publisher", "misc": "title"}
NOTEBOOKS = sorted((root() / "notebooks").glob("*.ipynb"))


def letters(text):
    """Return a name without accents and braces, in small letters."""
    plain = unicodedata.normalize("NFKD", str(Text.from_latex(text)))
    return "".join(c for c in plain if c.isalpha()).lower()


def known(name, year):
    """Return the works of a first author of a year, printed or first put on arXiv."""
    works = {key: entry.fields for key, entry in BIB.items() if re.match(rf"{name}\d", key)}
    return [k for k, f in works.items() if year in (f["year"], f"20{f.get('eprint', '')[:2]}")]


@pytest.mark.parametrize("key", BIB)
def test_an_entry_is_whole(key):
    entry = BIB[key]
    assert entry.persons["author"] and entry.fields["title"]
    assert entry.fields[NEEDED[entry.type]]
    # The key is the first author's name and the year, and a word where two would be the same.
    first = letters("".join(entry.persons["author"][0].last_names))
    assert re.fullmatch(rf"{first}{entry.fields['year']}[a-z]*", key)
    if "doi" in entry.fields:
        assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields["doi"])
    if "eprint" in entry.fields:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields["eprint"])
        assert entry.fields["archiveprefix"] == "arXiv"
    assert ("doi" in entry.fields or "eprint" in entry.fields) == (key not in NUMBERLESS)


def test_the_five_projects_are_told_and_lead_to_the_chapters_that_replay_them():
    rows = dict(re.findall(r"^\| (P\d) \| (.*) \|$", LIST, re.MULTILINE))
    named = set()
    for path in NOTEBOOKS:
        text = "\n".join(c.source for c in nbformat.read(path, 4).cells)
        named |= set(re.findall(r"\bP\d\b", text))
    assert named == set(rows) == {"P1", "P2", "P3", "P4", "P5"}
    told = comparison.reported()
    for project, chapters in told[told["project"].isin(rows)].groupby("project")["chapter"]:
        listed = re.findall(r"\b\d\d\b", rows[project].rpartition("|")[2])
        assert {name[:2] for name in chapters} <= set(listed)


def test_no_number_stands_twice():
    for field in ("doi", "eprint", "title"):
        values = [e.fields[field].lower() for e in BIB.values() if field in e.fields]
        assert len(values) == len(set(values))


def test_bibliography_and_reading_list_hold_the_same_works():
    assert list(LISTED) == re.findall(r"^### (\w+)$", LIST, re.MULTILINE)
    assert set(LISTED) == set(BIB)


@pytest.mark.parametrize("key", LISTED)
def test_an_entry_of_the_list_links_the_work_and_a_chapter_and_says_something(key):
    text, fields = LISTED[key], BIB[key].fields
    for field, address in (("doi", "https://doi.org/"), ("eprint", "https://arxiv.org/abs/")):
        if field in fields:
            assert f"]({address}{fields[field]})" in text
    assert "](../notebooks/" in text
    flat = " ".join(text.split())
    assert f"{fields['year']}.**" in flat
    assert str(Text.from_latex(fields["title"])) in flat
    said = flat.split("Used in")[0]
    assert len(said.split()) > 30


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_chapter_cites_is_there(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for key in re.findall(r"literature/README\.md#([\w-]+)", prose):
        assert key in BIB or key == "the-five-projects"
    for line in re.findall(r"\*\*Further reading\.\*\* (.*)", prose):
        for name, year in re.findall(r"([A-Z][\w-]+)[^;()\[\]]*?,? ((?:19|20)\d\d)", line):
            assert known(letters(name), year), f"{name} {year} is not in references.bib"


def test_what_the_code_cites_is_there():
    missing = []
    names = r"([A-Z][\w-]+)(?:(?:, [A-Z][\w-]+)* and (?:Van (?:der )?)?[A-Z][\w-]+| et al\.)?"
    for path in sorted((root() / "agelib").rglob("*.py")):
        text = " ".join(path.read_text(encoding="utf-8").split())
        for name, year in re.findall(rf"{names},? \(?((?:19|20)\d\d)\b", text):
            if not known(letters(name), year):
                missing.append(f"{path.name}: {name} {year}")
    assert not missing


def test_what_the_paper_cites_is_there():
    paper = root() / "paper" / "paper.typ"
    if not paper.exists():
        pytest.skip("there is no paper")
    cited = set(re.findall(r"@([a-z]+\d{4}[a-z]*)", paper.read_text(encoding="utf-8")))
    assert cited and cited <= set(BIB)


def test_reported_numbers_belong_to_chapters_and_anchors_to_works():
    chapters = {path.stem for path in NOTEBOOKS}
    told = comparison.reported()
    assert set(told["chapter"]) <= chapters
    assert (told["value"].notna() | told["validation"].notna()).all()
    anchors = headline.anchors("utkface")
    assert set(anchors["key"]) <= set(BIB)
    assert (anchors["value"] > 0).all() and anchors["source"].str.len().min() > 10


def test_the_works_behind_what_is_built_are_there():
    wanted = "lecun krizhevsky levi simonyan szegedy he zagoruyko tan zhang rothe gao pan cao shi"
    wanted += " diaz niu eidinger panis ricanek paplham yun zhong loshchilov smith tarvainen vovk"
    wanted += " buolamwini selvaraju zhou akiba"
    missing = [name for name in wanted.split() if not any(key.startswith(name) for key in BIB)]
    assert not missing


def test_papers_themselves_are_not_stored():
    kinds = {path.suffix for path in Path(FOLDER).iterdir()}
    assert kinds == {".md", ".bib", ".csv"}
