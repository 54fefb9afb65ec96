"""What an experiment starts from: another one's network, trained where it is not here."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agelib.experiment import Experiment
from agelib.files import DataError
from agelib.records import load_record

if TYPE_CHECKING:
    from agelib.lab import Lab

_PATIENCE = 10  # seconds between two looks at a network that another process trains


def initial_weights(lab: Lab, experiment: Experiment, pause: Callable[[], None] | None) -> Path:
    """Return an experiment's network file; whoever else trains it is waited for.

    Records are published without networks. One that is trained again for its network stands in
    ``again/`` below its record: it is another run, and must not replace the published numbers.

    Parameters
    ----------
    lab : Lab
        An open data set.
    experiment : Experiment
        Whose weights are wanted.
    pause : callable, optional
        Called after each epoch that is trained, and while somebody else trains; what it raises
        goes through.
    """
    from agelib.checkpoints import BusyError

    told = False
    while True:
        try:
            return _network_file(lab, experiment, pause)
        except BusyError as busy:
            if pause:
                pause()
            if not told:
                print(f"waiting: {busy}", file=sys.stderr, flush=True)
            told = True
            time.sleep(_PATIENCE)


def _network_file(lab: Lab, experiment: Experiment, pause: Callable[[], None] | None) -> Path:
    def after_epoch(epoch: int, score: float) -> bool:
        if pause:
            pause()
        return False

    folder = lab.folder(experiment)
    lab.train(experiment, after_epoch=after_epoch, pause=pause)
    if (folder / "model.keras").exists():
        return folder / "model.keras"
    again = folder / "again"
    if not _is_whole(lab, again, experiment):
        init = experiment.init and initial_weights(lab, experiment.init, pause)
        lab.train_into(experiment, again, after_epoch=after_epoch, init=init)
    return again / "model.keras"


def _is_whole(lab: Lab, folder: Path, experiment: Experiment) -> bool:
    if not (folder / "model.keras").exists():
        return False
    try:
        lab.checked(load_record(folder), experiment)
    except DataError:
        return False
    return True
