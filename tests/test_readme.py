"""What stands in the README is what the records and the repository hold."""

import re

import pytest

from agelib import paths, readme

TEXT = (paths.root() / "README.md").read_text(encoding="utf-8")


def test_the_results_table_is_the_one_from_the_records():
    assert readme.filled(TEXT, readme.results_markdown(readme.compared())) == TEXT


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
