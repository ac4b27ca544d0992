"""Where studies live: journal files and databases."""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from segkit.studies.lost import retry
from segkit.studies.sampler import Curves, CurveSampler

HEARTBEAT = 30
"""Seconds between two signs of life of a running trial, where several hosts share a database."""
GRACE = 120
"""Seconds of silence after which such a trial is taken for lost."""


def open_study(
    name: str,
    storage: str | Path | None = None,
    *,
    seed: int | None = None,
    curves: Curves | None = None,
) -> optuna.Study:
    """Open a study, which is resumed where it exists.

    Args:
        name: Of the study.
        storage: None keeps a journal file NAME.journal in the working folder; a path is such a journal file (one host,
            several processes); a URL such as postgresql://... or sqlite:///... is any database that Optuna knows:
            several hosts, a running trial then gives signs of life, and one that is silent for two minutes is run
            again.
        seed: Of the sampler, for a first run; a resumed study goes on drawing, it does not repeat its trials.
        curves: Draw the thresholds from these (see CurveSampler); None: Optuna's TPE draws everything.

    Returns:
        A study that maximises.

    Raises:
        ValueError: For a database that cannot be reached, or whose driver is not installed, and for a file that is no
            journal of Optuna, or one that cannot be read; it is left as it is.
    """
    if storage is not None and not str(storage):
        raise ValueError("storage is empty: expected a journal file, or the URL of a database")
    url = storage is not None and "://" in str(storage)
    place = _database(str(storage)) if url else _journal(Path(storage if storage is not None else f"{name}.journal"))
    study = optuna.create_study(study_name=name, storage=place, direction="maximize", load_if_exists=True)
    drawn = len(study.get_trials(deepcopy=False))
    start = None if seed is None else seed + drawn
    study.sampler = optuna.samplers.TPESampler(seed=start) if curves is None else CurveSampler(curves, seed=start)
    return study


def _journal(path: Path) -> BaseStorage:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a journal file, or the URL of a database")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = JournalFileOpenLock(str(path))
    if path.is_file():
        _require_journal(path)
    try:
        if path.is_file():
            lock.acquire()
            try:
                _cut_half_line(path)
            finally:
                lock.release()
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except (ValueError, KeyError, TypeError) as error:  # no JSON, no UTF-8, or a line of another kind
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}: a line of this journal cannot be read ({what}); name another storage") from error


def _require_journal(path: Path) -> None:
    """ValueError for a file that holds anything but Optuna's journal: whose last line would be cut off."""
    with path.open("rb") as journal:
        head = journal.read(1024).lstrip()
    if head and not head.startswith(b'{"op_code"'):
        raise ValueError(f"{path} is no journal of Optuna; a database is named by URL: sqlite:///{path}")


def _cut_half_line(path: Path) -> None:
    """Take away what a process that was killed while it wrote left behind the last whole line."""
    with path.open("rb+") as journal:
        end = journal.seek(0, os.SEEK_END)
        journal.seek(max(0, end - 2**20))
        tail = journal.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole.count(b"\n") > 1:  # Optuna looks at a last line that is broken when it is the last no more
            json.loads(whole.splitlines()[-1])
        journal.truncate(end - len(tail) + len(whole))


def _database(url: str) -> BaseStorage:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        place = make_url(url)
        if place.drivername in ("postgresql", "postgres"):  # which driver that means depends on SQLAlchemy's version
            place = place.set(drivername="postgresql+psycopg")
        settings: dict[str, Any] = {"engine_kwargs": {"pool_pre_ping": True}}
        if place.get_backend_name() == "sqlite":  # one host: whose process lives can be seen
            settings = {"engine_kwargs": {"connect_args": {"timeout": 60}}}
        else:
            settings |= {
                "heartbeat_interval": HEARTBEAT,
                "grace_period": GRACE,
                "heartbeat_stale_trial_callback": retry,
            }
        return _connected(place.render_as_string(hide_password=False), settings)
    except ImportError as error:
        wanted = "pip install 'segkit[postgres]'" if url.startswith("postgres") else "install its driver"
        raise ValueError(f"{_shown(url)}: no driver for this ({error.__cause__ or error}); {wanted}") from error
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{_shown(url)}: this database cannot be opened: {reason}") from error


def _connected(url: str, settings: dict[str, Any]) -> BaseStorage:
    """The storage; where another process makes its tables at this moment, a little later."""
    from sqlalchemy.exc import DBAPIError, IntegrityError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for _ in range(4):
            try:
                return RDBStorage(url, **settings)
            except (DBAPIError, optuna.exceptions.StorageInternalError) as error:
                cause = error if isinstance(error, DBAPIError) else error.__cause__
                if not isinstance(cause, IntegrityError) and "already exists" not in str(cause):
                    raise
                time.sleep(0.5)
        return RDBStorage(url, **settings)


def _shown(url: str) -> str:
    """The URL without its password."""
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{place}"
