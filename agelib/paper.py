"""The paper, built from records: ``python -m agelib.paper`` (``make paper``).

``paper/paper.typ`` holds prose and no number that a record has. What it says in numbers, tables
and figures is computed here, kept in ``paper/numbers.json`` and read by Typst when it builds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from agelib import paper_beyond, paper_numbers, paths
from agelib.files import atomic_path, write_json
from agelib.records import find_records

PDF = "age-from-faces.pdf"
_SOURCES = ("paper.typ", "style.typ")


def folder() -> Path:
    """Return the paper's folder."""
    return paths.root() / "paper"


def records_fingerprint(results: Path | None = None) -> str:
    """Return a short hash of all that the paper's numbers come from.

    These are the published records (descriptions, metrics and the hashes of their files), what
    chapters keep beside them, the manifests, and the literature's numbers and works.
    """
    results = paths.root() / "models-and-results" if results is None else results
    digest = hashlib.sha256()
    for place in find_records(results):
        # The built-in sample's records are nobody's but the reader's.
        if place.relative_to(results).parts[0] != "sample":
            _add(digest, place / "record.json", results)
    for name in paper_beyond.kept_files(paper_numbers.open_lab()):
        if (results / name).is_file():
            _add(digest, results / name, results)
    others = (*paths.manifests_dir().glob("*.csv"), *(paths.root() / "literature").glob("*.*"))
    for path in sorted(path for path in others if path.suffix in (".csv", ".bib")):
        _add(digest, path, paths.root())
    return digest.hexdigest()[:16]


def sources_fingerprint() -> str:
    """Return a short hash of the paper's text and style."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        _add(digest, folder() / name, folder())
    return digest.hexdigest()[:16]


def _add(digest: Any, path: Path, base: Path) -> None:
    digest.update(path.relative_to(base).as_posix().encode())
    digest.update(path.read_bytes().replace(b"\r\n", b"\n"))


def write_numbers() -> dict[str, Any]:
    """Compute all numbers and tables from the records and write them.

    Returns
    -------
    dict
        ``records`` (`records_fingerprint`), ``values`` (text by name) and ``tables``.
    """
    numbers = {"records": records_fingerprint(), **paper_numbers.compute()}
    write_json(folder() / "numbers.json", numbers)
    return numbers


def build(target: Path | None = None) -> Path:
    """Make the PDF from text, numbers and figures; nothing is downloaded.

    Parameters
    ----------
    target : Path, optional
        Where to write; ``paper/age-from-faces.pdf`` by default.

    Returns
    -------
    Path
        The PDF. Its keywords hold the fingerprints of records and text, so that an old one is
        told from a new one.
    """
    # Imported here: the numbers do without it.
    import typst

    target = folder() / PDF if target is None else target
    content = typst.compile(
        str(folder() / "paper.typ"),
        root=str(paths.root()),
        sys_inputs={"sources": sources_fingerprint()},
        timestamp=0,
    )
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
    return target


def main() -> None:
    """Renew numbers, figures and PDF."""
    import matplotlib

    matplotlib.use("Agg")
    from agelib import paper_figures

    write_numbers()
    paper_figures.draw(folder() / "figures")
    print(build().relative_to(paths.root()))


if __name__ == "__main__":
    main()
