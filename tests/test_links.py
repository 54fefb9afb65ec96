"""Links between pages, notebooks and lists lead to something that is there."""

import re

import nbformat
import pytest

from agelib.paths import root

PAGES = sorted(
    [*root().glob("*.md"), *root().glob("[!.]*/*.md"), *root().glob("notebooks/*.ipynb")]
)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def prose(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def anchors(text):
    """Return the anchors that headings have on GitHub and on the pages."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(root()).as_posix())
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.is_relative_to(root()) and place.exists(), target
        if anchor:
            assert anchor in anchors(prose(place)), target


def test_links_are_found_at_all():
    assert sum(len(LINK.findall(prose(page))) for page in PAGES) > 100
