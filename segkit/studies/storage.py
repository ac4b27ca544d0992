"""Where studies live: journal files and databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock


def open_study(name: str, storage: str | Path | None = None, *, seed: int | None = None) -> optuna.Study:
    """A study that is resumed where it exists.

    storage: None keeps a journal file NAME.journal in the working folder; a path is such a journal file (one host,
    several processes); a URL such as postgresql://... or sqlite:///... is any storage that Optuna knows.
    seed: of the TPE sampler, for a first run; a resumed study goes on drawing, it does not repeat its trials.
    """
    place: Any
    if storage is not None and "://" in str(storage):
        place = str(storage)
    else:
        path = Path(storage) if storage is not None else Path(f"{name}.journal")
        path.parent.mkdir(parents=True, exist_ok=True)
        place = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    study = optuna.create_study(study_name=name, storage=place, direction="maximize", load_if_exists=True)
    drawn = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=None if seed is None else seed + drawn)
    return study
