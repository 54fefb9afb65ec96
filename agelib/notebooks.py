"""The notebooks of the collection: which there are, what they declare, what they wait for.

A notebook says in its metadata what it waits for, all keys being optional::

    "agelib": {"needs": ["02-convert-to-hdf5"], "after": ["*"], "seconds": 60}

``needs`` names notebooks that must have succeeded, ``after`` has patterns of names that must
only be over; both count among the notebooks of one run. ``seconds`` is the rough time on the
built-in sample, the weight of the notebook in the estimate of the time that remains.
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import nbformat
import yaml

from agelib import paths
from agelib.files import DataError


@dataclass(eq=False)
class Task:
    """A notebook to execute: what it waits for, its weight and its parameters."""

    path: Path
    name: str
    needs: tuple[str, ...]
    after: tuple[str, ...]
    weight: float
    parameters: dict[str, Any] = field(default_factory=dict)


def find_notebooks(chapters: Sequence[str] = (), *, folder: Path | None = None) -> list[Path]:
    """Return the collection's notebooks, in order.

    Parameters
    ----------
    chapters : sequence of str, optional
        Numbers (``03`` or ``3``), names (``03-lenet``) or file names; all when empty.
    folder : Path, optional
        Where the notebooks lie; the collection's ``notebooks/`` by default.

    Raises
    ------
    DataError
        If a chapter is unknown (the message lists what there is) or the folder has none.
    """
    folder = paths.root() / "notebooks" if folder is None else folder
    known = {path.stem: path for path in sorted(folder.glob("[0-9]*-*.ipynb"))}
    if not known:
        raise DataError(f"{folder}: no notebook NN-name.ipynb in it")
    chosen: set[str] = set()
    for chapter in chapters:
        name = Path(chapter).name.removesuffix(".ipynb")
        found = [
            key for key in known if key == name or key.partition("-")[0] in (name, name.zfill(2))
        ]
        if not found:
            raise DataError(f"no chapter {chapter!r}; there are: {', '.join(known)}")
        chosen.update(found)
    return [path for name, path in known.items() if not chapters or name in chosen]


def notebook_parameters(notebook: Path | str) -> dict[str, str]:
    """Return the parameters that a notebook declares: name to the text of its default."""
    import papermill  # here, because it is slow to import

    # A notebook without parameters is fine here, so papermill's note about it is kept quiet.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    found = papermill.inspect_notebook(str(notebook))
    return {name: entry["default"] for name, entry in found.items()}


def parse_value(text: str) -> Any:
    """Return a parameter's value, read as a YAML scalar: ``3``, ``true``, ``null``, ``text``.

    Raises
    ------
    DataError
        If the text is not YAML or holds a list or a mapping.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise DataError(f"parameter value {text!r} is not YAML; put text in quotes") from None
    if isinstance(value, (list, dict, set, bytes)):
        raise DataError(f"parameter value {text!r}: only a number, text, true, false or null")
    return value if isinstance(value, (bool, int, float, str, type(None))) else text


def plan_run(notebooks: Sequence[Path], *, parameters: Mapping[str, Any]) -> list[Task]:
    """Return what is to be executed, by name, each notebook with its share of the parameters.

    Parameters
    ----------
    notebooks : sequence of Path
        Notebooks to execute.
    parameters : mapping
        Name to value; each goes to the notebooks that declare it.

    Raises
    ------
    DataError
        If no notebook declares a parameter, two notebooks have one name, one cannot be read
        or needs what does not exist, or some wait for each other.
    """
    tasks = _ordered([_read_task(path) for path in notebooks])
    if parameters:
        _assign_parameters(tasks, parameters)
    return tasks


def _read_task(path: Path) -> Task:
    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise DataError(f"{path}: no such notebook") from None
    except Exception as error:
        raise DataError(f"{path}: not a notebook ({error})") from None
    about = notebook.metadata.get("agelib", {})
    return Task(
        path=path,
        name=path.stem,
        needs=tuple(about.get("needs", ())),
        after=tuple(about.get("after", ())),
        weight=float(about.get("seconds", 10)),
    )


def _ordered(tasks: list[Task]) -> list[Task]:
    by_name = {task.name: task for task in sorted(tasks, key=lambda task: task.name)}
    if len(by_name) < len(tasks):
        names = [task.name for task in tasks]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two notebooks are called {twice}; their outputs would be one file")
    for task in tasks:
        for need in task.needs:
            if need not in by_name and not task.path.with_name(f"{need}.ipynb").exists():
                raise DataError(f"{task.path}: needs {need!r}, and there is no such notebook")
        # Notebooks that were not chosen are not waited for.
        task.needs = tuple(need for need in task.needs if need in by_name)
        task.after = tuple(
            name
            for name in by_name
            if name != task.name and any(fnmatch.fnmatchcase(name, key) for key in task.after)
        )
    try:
        TopologicalSorter({name: t.needs + t.after for name, t in by_name.items()}).prepare()
    except CycleError as error:
        raise DataError(f"notebooks wait for each other: {' -> '.join(error.args[1])}") from None
    return list(by_name.values())


def _assign_parameters(tasks: list[Task], parameters: Mapping[str, Any]) -> None:
    known: set[str] = set()
    for task in tasks:
        declared = notebook_parameters(task.path)
        known.update(declared)
        task.parameters = {name: value for name, value in parameters.items() if name in declared}
    unknown = [name for name in parameters if name not in known]
    if unknown:
        there = ", ".join(sorted(known)) or "none at all"
        raise DataError(
            f"unknown parameter {', '.join(unknown)}; the chosen notebooks have: {there}"
        )
