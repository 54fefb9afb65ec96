"""Hygiene of the committed notebooks, which strict nbval cannot see."""

from __future__ import annotations

import itertools
import re

import nbformat
import pytest

from agelib.paths import root

NOTEBOOKS = sorted((root() / "notebooks").glob("*.ipynb"))
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# A home, a temporary or an installation folder; a drive; this very checkout.
ABSOLUTE = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|tmp|var|usr|opt|mnt|work|content)/|[A-Z]:\\\\"
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


@pytest.fixture
def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(cells, tag):
    return [cell for cell in cells if tag in cell.metadata.get("tags", ())]


def test_there_are_notebooks_and_each_has_a_number_of_its_own():
    numbers = [re.fullmatch(r"(\d\d)-[a-z0-9-]+", path.stem)[1] for path in NOTEBOOKS]
    assert numbers
    assert len(numbers) == len(set(numbers))


def test_format_kernel_and_size(path, notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec == KERNEL
    assert path.stat().st_size <= 1_000_000
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "agelib"}


def test_executed_from_top_to_bottom_without_trouble(code):
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            kinds = set(output.get("data", ()))
            assert not any("widget" in kind or "javascript" in kind for kind in kinds)


def test_one_parameters_cell_of_literals_before_any_other_code(code):
    assert tagged(code, "parameters") == code[:1]
    assert not tagged(code, "injected-parameters")
    for line in code[0].source.splitlines():
        assert re.match(
            r"(#|[A-Z][A-Z_]*(: [\w| ]+)? = (None|True|False|-?\d[\d._e-]*|['\"]))", line
        )


def test_cells_are_short_and_define_nothing(code):
    for cell in code:
        assert len(cell.source.splitlines()) <= 25
        assert not re.search(r"^\s*(async )?(def|class) |^\s*[%!]", cell.source, re.MULTILINE)
        assert not re.search(r"sys\.path|filterwarnings|os\.chdir", cell.source)


def test_one_title_and_more_prose_than_a_caption(notebook, code):
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = [line for text in prose for line in text.splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    assert prose[0].startswith(titles[0])
    assert notebook.cells[0].cell_type == "markdown"
    assert 2 * len(prose) >= len(code)


def test_no_path_of_a_machine_and_no_trace_of_papermill(path):
    text = re.sub(r'"image/(png|jpeg)": "[^"]*"', "", path.read_text(encoding="utf-8"))
    found = ABSOLUTE.search(text)
    assert not found, text[found.start() - 60 : found.end() + 60]
    assert str(root()) not in text
    assert '"papermill"' not in text
    assert '"execution": {' not in text


def test_what_a_notebook_waits_for_exists(notebook):
    about = notebook.metadata.get("agelib", {})
    assert set(about) <= {"needs", "after", "seconds"}
    assert set(about.get("needs", ())) <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("shared", ["reference.reference", "reference.quick"])
def test_no_two_notebooks_train_the_same_network_side_by_side(shared):
    after = {}
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        if any(shared in c.source for c in notebook.cells if c.cell_type == "code"):
            after[path.stem] = notebook.metadata["agelib"].get("after", ())
    assert len(after) > 2
    # Of any choice of them: who is not chosen is not waited for.
    for one, other in itertools.combinations(after, 2):
        assert one in after[other] or other in after[one], f"{one} and {other}"
