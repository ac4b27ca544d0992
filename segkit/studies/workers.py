"""Running a study: alone, in several processes, on several hosts."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from segkit.studies.lost import again, is_lost, mark, revive
from segkit.studies.sampler import Curves
from segkit.studies.storage import open_study

Objective = Callable[[optuna.Trial], float]
"""objective(trial) -> score, higher is better."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of a trial that counts."""
MAX_SCORELESS = 5
"""So many trials in a row without a score end a study."""


def optimise(study: optuna.Study, objective: Objective, *, trials: int) -> None:
    """Run a study up to `trials` finished trials in all: a resumed study runs only what is left.

    Any number of processes, on any number of hosts, may do so with the same study at once and share the trials: what
    others have in flight counts. Each trial carries host and pid as user attributes. Trials whose process is gone are
    failed and queued again before the next one, and so is a trial that Ctrl-C ends.

    Args:
        study: The study.
        objective: objective(trial) -> a number, higher is better; raise optuna.TrialPruned for what cannot be scored.
        trials: Finished trials in all.

    Raises:
        ValueError: If several trials in a row give no number (None, NaN): such a study would never end.
    """
    scoreless = 0

    def marked(trial: optuna.Trial) -> object:
        nonlocal scoreless
        mark(trial)
        try:
            value = objective(trial)
        except KeyboardInterrupt:
            again(study, study.get_trials(deepcopy=False)[trial.number])
            raise
        scoreless = scoreless + 1 if value is None or value != value else 0
        if scoreless == MAX_SCORELESS:
            raise ValueError(
                f"study {study.study_name}: {scoreless} trials in a row gave no score; the objective gave {value!r} "
                f"for {trial.params}, expected a number (raise optuna.TrialPruned for what cannot be scored)"
            )
        return value

    parent = multiprocessing.parent_process()
    while _left(study, trials) > 0 and (parent is None or parent.is_alive()):
        revive(study)  # after the count: what that took for lost is queued before another is drawn
        study.optimize(marked, n_trials=1)  # type: ignore[arg-type]


def run_workers(
    make: Callable[[], Objective],
    name: str,
    storage: str | Path | None = None,
    *,
    trials: int,
    workers: int = 2,
    seed: int | None = None,
    curves: Curves | None = None,
) -> optuna.Study:
    """Several processes work on one study up to `trials` finished trials in all.

    The same call on another host joins in. A worker that is killed loses at most its trial in flight, which is queued
    again.

    Args:
        make: make() -> objective, called in each process: a function of a module, or functools.partial of one
            (processes are spawned, so a script needs `if __name__ == "__main__":`).
        name: Of the study.
        storage: As for open_study.
        trials: Finished trials in all.
        workers: Processes.
        seed: Of the draws; with several workers it does not repeat a run.
        curves: As for open_study.

    Returns:
        The study.

    Raises:
        ValueError: For a storage that processes cannot share, or numbers below 1.
        RuntimeError: If a worker fails, with its own words, or workers die without finishing any trial.
    """
    if workers < 1 or trials < 1:
        raise ValueError(f"workers={workers}, trials={trials}: expected at least 1")
    if str(storage) in ("sqlite://", "sqlite:///:memory:"):
        raise ValueError(f"{storage} is memory of one process: workers cannot share it; give a file or a database")
    study = open_study(name, storage)
    revive(study)
    while (left := _left(study, trials)) > 0:
        before = _finished(study)
        failed = _round(make, (name, storage, seed, curves, trials), min(workers, left))
        if failed:
            raise RuntimeError(f"a worker failed: {failed}")
        revive(study)
        if _finished(study) == before:
            raise RuntimeError(f"study {name}: all workers were killed before they finished a trial: out of memory?")
    return study


def _round(make: Callable[[], Objective], settings: tuple[Any, ...], workers: int) -> str:
    """Start so many workers and wait until all have ended; -> what the first of those that failed says."""
    context = multiprocessing.get_context("spawn")
    started = []
    for number in range(workers):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (make, settings, number, theirs, optuna.logging.get_verbosity())
        process = context.Process(target=_work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        started.append((process, ours))
    try:
        for process, _ in started:
            process.join()
    except KeyboardInterrupt:
        for process, _ in started:
            if process.is_alive() and process.pid:
                os.kill(process.pid, signal.SIGINT)
        for process, _ in started:
            process.join()
        raise
    return next(filter(None, (_said(process, ours) for process, ours in started)), "")


def _work(
    make: Callable[[], Objective], settings: tuple[Any, ...], number: int, speak: Connection, verbosity: int
) -> None:
    """One worker process."""

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal and our parent may both send one
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    optuna.logging.set_verbosity(verbosity)
    name, storage, seed, curves, trials = settings
    try:
        objective = make()
        start = None if seed is None else seed + 10_007 * number
        study = open_study(name, storage, seed=start, curves=curves)
        optimise(study, objective, trials=trials)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        speak.send(f"{type(error).__name__}: {error}"[:2000])


def _said(process: SpawnProcess, ours: Connection) -> str:
    """What a worker that ended says of its failure; nothing where it did its work or was killed."""
    try:
        return str(ours.recv())
    except EOFError:
        return f"exit code {process.exitcode}, its own words are above" if (process.exitcode or 0) > 0 else ""


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def _left(study: optuna.Study, trials: int) -> int:
    """How many trials nobody has finished or is known to work on."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    others = [t for t in running if t.user_attrs.get("pid", os.getpid()) != os.getpid()]
    return trials - _finished(study) - sum(not is_lost(t) for t in others)
