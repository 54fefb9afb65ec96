"""The pages: ``python -m agelib.site`` (``make site``) renders what is committed as a website.

Notebooks are shown as they are, nothing is executed and nothing is downloaded. The sources are
staged in ``build/site-source`` with the folders of the repository, so that links between
notebooks, lists and pages lead to the same places there.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from pathlib import Path

from agelib import paths
from agelib.files import DataError, write_text

_PAGES = (
    *("notebooks/*.ipynb", "literature/README.md", "datasets/README.md"),
    "models-and-results/**/README.md",
)
_LINK = re.compile(r"(\]\()([^()\s#]+)((?:#[^()\s]*)?\))")
_TOC = """
```{{toctree}}
:hidden:
:caption: {caption}
{options}
{entries}
```
"""
_PAPER = """# Paper

[How well can a network tell an age from a face?]({pdf}) (PDF)

The paper is built from the records (`make paper`): every number, table and figure in it is
computed from them, and a test fails when they are newer than the file.
"""


def stage(target: Path) -> Path:
    """Lay out the sources of the pages.

    Parameters
    ----------
    target : Path
        Folder; replaced when it is there.

    Returns
    -------
    Path
        The folder: index (the README), notebooks, literature, data, records, paper, and one page
        for each module of agelib.
    """
    root = paths.root()
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(path for pattern in _PAGES for path in root.glob(pattern)):
        place = target / path.relative_to(root)
        write_text(place, _relinked(path.read_text(encoding="utf-8"), path, target))
    _write_api(target / "api")
    for pdf in root.glob("paper/*.pdf"):
        write_text(target / "paper" / "index.md", _PAPER.format(pdf=pdf.name))
        shutil.copyfile(pdf, target / "paper" / pdf.name)
    write_text(target / "index.md", _index(target))
    return target


def _relinked(text: str, page: Path, target: Path) -> str:
    """Return a page's text with links to sources leading to the API; copy other linked files."""
    root = paths.root()

    def led(match: re.Match[str]) -> str:
        place = (page.parent / match[2]).resolve()
        if re.match(r"[a-z]+:", match[2]) or not place.is_relative_to(root):
            return match[0]
        inside = place.relative_to(root)
        if inside.parts[:1] == ("agelib",):
            name = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
            found = root / "api" / ("index.md" if place.is_dir() else f"{name}.md")
            return f"{match[1]}{os.path.relpath(found, page.parent)}{match[3]}"
        if inside == Path("README.md"):
            return f"{match[1]}{os.path.relpath(root / 'index.md', page.parent)}{match[3]}"
        if place.is_file() and place.suffix not in (".md", ".ipynb"):
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place, target / inside)
        return match[0]

    return _LINK.sub(led, text)


def _index(target: Path) -> str:
    """Return the README with the navigation below it."""
    readme = paths.root() / "README.md"
    text = _relinked(readme.read_text(encoding="utf-8"), readme, target)
    notebooks = sorted(path.stem for path in (target / "notebooks").glob("*.ipynb"))
    about = ["literature/README", "datasets/README"]
    records = sorted((target / "models-and-results").rglob("README.md"))
    about += [path.relative_to(target).with_suffix("").as_posix() for path in records]
    about += ["paper/index"] if (target / "paper" / "index.md").exists() else []
    parts = {
        "Notebooks": [f"notebooks/{name}" for name in notebooks],
        "About": about,
        "Reference": ["api/index"],
    }
    return text + "".join(
        _TOC.format(caption=caption, options="", entries="\n".join(entries))
        for caption, entries in parts.items()
    )


def modules() -> dict[str, str]:
    """Return agelib's modules by dotted name, each with the first sentence of its docstring."""
    package = paths.root() / "agelib"
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[name] = " ".join(said.split("\n\n")[0].split())
    return found


def _write_api(folder: Path) -> None:
    names = modules()
    rows = [f"* [{name}]({name}.md): {said}" for name, said in names.items()]
    toc = _TOC.format(caption="Modules", options=":maxdepth: 1", entries="\n".join(names))
    text = "# agelib\n\nWhat the notebooks share, from its docstrings; one idea a file.\n\n"
    write_text(folder / "index.md", text + "\n".join(rows) + "\n" + toc)
    for name in names:
        directive = f"```{{eval-rst}}\n.. automodule:: {name}\n```\n"
        write_text(folder / f"{name}.md", f"# {name}\n\n{directive}")


def render(source: Path, target: Path) -> Path:
    """Render staged sources with the settings in ``site/``.

    Parameters
    ----------
    source, target : Path
        Folder with an ``index.md``; folder of the HTML.

    Returns
    -------
    Path
        The target's ``index.html``.

    Raises
    ------
    DataError
        If a link leads nowhere or a docstring cannot be read; each fault is named on stderr.
    """
    # Imported here: nothing else of agelib needs Sphinx.
    from sphinx.cmd.build import build_main

    # Doctrees are kept beside the pages, not in them: what is published is the target alone.
    trees = target.with_name(f"{target.name}-doctrees")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(trees)]
    if build_main([*options, "-c", str(paths.root() / "site"), str(source), str(target)]):
        raise DataError("the pages have the faults named above; mend them and build again")
    return target / "index.html"


def build() -> Path:
    """Render everything into ``build/site`` and return its ``index.html``."""
    folder = paths.root() / "build"
    return render(stage(folder / "site-source"), folder / "site")


if __name__ == "__main__":
    try:
        print(build())
    except DataError as error:
        print(f"agelib: {error}", file=sys.stderr)
        sys.exit(1)
