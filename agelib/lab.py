"""What a notebook holds in its hand: a data set, its splits and stores, and records on demand."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from agelib import datasets, manifests, paths, plots, protocols
from agelib.descriptions import differences
from agelib.experiment import Experiment
from agelib.files import (
    DataError,
    MissingListError,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)
from agelib.initial import initial_weights
from agelib.prepare import build_missing_store, prepare
from agelib.records import Record, load_record
from agelib.store import Store

if TYPE_CHECKING:
    import keras
    import numpy as np

    from agelib.training import AfterEpoch


def start(
    dataset: str = "utkface",
    *,
    retrain: bool = False,
    epochs: int | None = None,
    sample_size: int = 2000,
    jobs: int | None = None,
    devices: int = 1,
) -> Lab:
    """Open a data set for a notebook, and set how its figures and tables look.

    Parameters
    ----------
    dataset : str
        ``utkface``, or ``sample`` for the built-in drawn faces (made at the first call).
    retrain : bool
        Train every experiment once more instead of reading its record.
    epochs : int, optional
        Train no longer than this; the records say so.
    sample_size : int
        Clean faces of the built-in sample.
    jobs : int, optional
        Threads that decode images; all cores when None.
    devices : int
        GPUs that share each batch of a training, see :func:`agelib.backend.sharing`.

    Raises
    ------
    DataError
        If the data set is unknown or its manifest is missing.
    """
    datasets.get(dataset)
    plots.use_style()
    # Names and notes are whole sentences in places; pandas would cut them off at 50 characters.
    pd.options.display.max_colwidth = None
    if dataset == "sample":
        prepare("sample", sample_size=sample_size, jobs=jobs)
    return Lab(dataset, retrain=retrain, epochs=epochs, jobs=jobs, devices=devices)


class Lab:
    """A data set with its splits, stores and records; made by :func:`start`."""

    def __init__(
        self,
        dataset: str,
        *,
        retrain: bool,
        epochs: int | None,
        jobs: int | None,
        devices: int = 1,
    ) -> None:
        self.dataset, self.retrain, self.epochs, self.jobs = dataset, retrain, epochs, jobs
        self.devices = devices
        self._made: set[Path] = set()

    def __repr__(self) -> str:
        """Say what is open."""
        doing = "training every experiment" if self.retrain else "reading records where there are"
        return f"{datasets.get(self.dataset).title}: {len(self.catalog):,} images; {doing}"

    @functools.cached_property
    def catalog(self) -> pd.DataFrame:
        """One row per image, see :mod:`agelib.catalog`."""
        return manifests.load_manifest(self.dataset)

    @functools.cached_property
    def manifest(self) -> str:
        """Fingerprint of the manifest."""
        return manifests.fingerprint(self.catalog)

    @property
    def five_fold(self) -> str:
        """Name of the data set's five-fold protocol."""
        return datasets.get(self.dataset).five_fold

    @property
    def images_folder(self) -> Path:
        """Where the images are placed."""
        return datasets.images_folder(self.dataset)

    @functools.cache  # noqa: B019 - a notebook holds one lab for as long as it runs
    def split(self, protocol: str, fold: int | None = None) -> protocols.Split:
        """Return the parts of a protocol as rows of the catalog."""
        return protocols.split(self.catalog, protocol, fold=fold)

    @functools.cache  # noqa: B019
    def store(self, size: int, color: str) -> Store:
        """Return the store of a size and colour, built from the images when it is missing."""
        return build_missing_store(
            self.dataset, self.catalog, size=size, color=color, jobs=self.jobs
        )

    def folder(self, experiment: Experiment) -> Path:
        """Return where the experiment's record is or will be."""
        return paths.results_dir() / experiment.dataset / experiment.chapter / experiment.slug

    def record(self, experiment: Experiment) -> Record:
        """Return the experiment's record, trained now if there is none or ``retrain`` is set.

        Of a reduced experiment the full-size record is returned where there is one.

        Raises
        ------
        DataError
            If the record in the experiment's place came from another description or split, or if
            it must be trained and the images or pretrained weights are missing.
        """
        return self.train(self._chosen(experiment))

    def limited(self, experiment: Experiment) -> Experiment:
        """Return the experiment, and what it starts from, with no more epochs than wanted."""
        return experiment.limited(self.epochs)

    def has_record(self, experiment: Experiment) -> bool:
        """Return whether there is a record that `record` would read."""
        return (self.folder(self._chosen(experiment)) / "record.json").exists()

    def train(
        self,
        experiment: Experiment,
        *,
        after_epoch: AfterEpoch | None = None,
        pause: Callable[[], None] | None = None,
    ) -> Record:
        """Return the record of this very experiment, trained now if it is wanted.

        Parameters
        ----------
        experiment : Experiment
            Taken as it is.
        after_epoch : callable, optional
            See :func:`agelib.training.train`.
        pause : callable, optional
            Called after each epoch of what the experiment starts from, where that must be trained,
            and while another process trains it; an exception leaves the checkpoint.

        Raises
        ------
        RuntimeError
            If another process trains this very experiment.
        DataError
            As in `record`.
        """
        folder = self.folder(experiment)
        # What it starts from is looked at first: waiting for it, another process may have trained
        # this one too.
        init = None
        if self._wanted(folder / "record.json") and experiment.init:
            init = initial_weights(self, experiment.init, pause)
        if not self._wanted(folder / "record.json"):
            return self.checked(load_record(folder), experiment)
        return self.train_into(experiment, folder, after_epoch=after_epoch, init=init)

    def records(self, experiments: Iterable[Experiment]) -> list[Record]:
        """Return the records of several experiments in their order."""
        return [self.record(experiment) for experiment in experiments]

    def planned(self, name: str, experiments: Iterable[Experiment]) -> list[Record]:
        """Return the records that there are of experiments that need more than is here.

        Nothing is trained. The experiments are noted in ``<name>-planned.json`` beside the
        chapter's records, from where ``python -m agelib train --pending`` takes them.

        Parameters
        ----------
        name : str
            What distinguishes this note from others of the chapter.
        experiments : iterable of Experiment
            Of one chapter, at full size.
        """
        experiments = list(experiments)
        if not experiments:
            return []
        path = self.folder(experiments[0]).parent / f"{name}-planned.json"
        wanted = {"planned": [experiment.describe() for experiment in experiments]}
        if not path.exists() or read_json(path) != wanted:
            write_json(path, wanted)
        folders = [(self.folder(experiment), experiment) for experiment in experiments]
        return [
            self.checked(load_record(folder), experiment)
            for folder, experiment in folders
            if (folder / "record.json").exists()
        ]

    def facts(
        self, chapter: str, name: str, compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a chapter's plain facts, computed now if they are not kept or ``retrain`` is set.

        Parameters
        ----------
        chapter, name : str
            They are kept in ``<results>/<dataset>/<chapter>/<name>.json``.
        compute : callable
            Returns what goes into the file: plain values by name.
        """
        path = paths.results_dir() / self.dataset / chapter / f"{name}.json"
        if self._wanted(path):
            write_json(path, compute())
            self._made.add(path)
        return read_json(path)

    def arrays(
        self, chapter: str, name: str, compute: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Return a chapter's arrays, computed now if they are not kept or ``retrain`` is set.

        Parameters
        ----------
        chapter, name : str
            They are kept in ``<results>/<dataset>/<chapter>/<name>.npz``.
        compute : callable
            Returns arrays by name.

        Raises
        ------
        DataError
            If what is kept is damaged; names it.
        """
        path = paths.results_dir() / self.dataset / chapter / f"{name}.npz"
        if self._wanted(path):
            write_arrays(path, compute())
            self._made.add(path)
        return read_arrays(path)

    def network(self, experiment: Experiment) -> keras.Model:
        """Return the experiment's trained network.

        Raises
        ------
        DataError
            If its weights are not kept beside the record.
        """
        # The architectures' own layers must be known before a network with them is loaded.
        import agelib.models  # noqa: F401
        from agelib.backend import keras

        record = self.record(experiment)
        path = record.folder / "model.keras"
        if not path.exists():
            raise DataError(
                f"{path.name} of {record.folder.name} is not here: records are published without "
                "large weights; train it again with RETRAIN = True"
            )
        return keras.saving.load_model(path)

    def _wanted(self, path: Path) -> bool:
        return not path.exists() or (self.retrain and path not in self._made)

    def _chosen(self, experiment: Experiment) -> Experiment:
        if self.epochs is None and experiment.reduction and not self.retrain:
            full = experiment.full_size()
            if (self.folder(full) / "record.json").exists():
                return full
        return self.limited(experiment)

    def checked(self, record: Record, experiment: Experiment) -> Record:
        """Return the record of an experiment, if it came from this description and split.

        Raises
        ------
        DataError
            Else; says what differs.
        """
        found = Experiment.from_description(record.experiment).describe()
        changed = list(differences(found, experiment.describe()))
        # Whoever has not placed a public list reads its records all the same.
        with contextlib.suppress(MissingListError):
            split = self.split(experiment.protocol, experiment.fold)
            if record.summary["split"]["fingerprint"] != split.fingerprint:
                changed.append(f"the images in protocol {experiment.protocol}")
        if changed:
            raise DataError(
                f"the record of {record.label} came from another description: {'; '.join(changed)}."
                " Give the changed experiment a number of its own with .tweak(), "
                f"or replace the record with RETRAIN = True ({record.folder.name})"
            )
        return record

    def train_into(
        self,
        experiment: Experiment,
        folder: Path,
        *,
        after_epoch: AfterEpoch | None,
        init: Path | None,
    ) -> Record:
        """Train an experiment into a folder, see :func:`agelib.training.train`."""
        # Imported here: a reader of records needs no backend, and its import takes seconds.
        from agelib.training import train

        record = train(
            experiment,
            folder,
            store=self.store(experiment.image_size, experiment.color),
            catalog=self.catalog,
            split=self.split(experiment.protocol, experiment.fold),
            manifest=self.manifest,
            init=init,
            after_epoch=after_epoch,
            devices=self.devices,
        )
        self._made.add(folder / "record.json")
        return record
