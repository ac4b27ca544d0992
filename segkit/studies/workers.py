"""Running a study: alone, in several processes, on several hosts."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from segkit.studies.lost import STALE, again, is_lost, mark, revive
from segkit.studies.sampler import Curves
from segkit.studies.storage import open_study

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def optimise(study: optuna.Study, objective: Any, *, trials: int, stale: float = STALE) -> None:
    """Run the study up to `trials` finished trials in all: a resumed study runs only what is left.

    Any number of processes, on any number of hosts, may do so with the same study at once and share the trials: what
    others have in flight counts. Each trial carries host and pid as user attributes. Trials whose process is gone are
    failed and queued again before the next one, and so is a trial that Ctrl-C ends. stale: seconds after which a trial
    of another host counts as lost in a journal file; a database knows by heartbeat.
    """

    def marked(trial: optuna.Trial) -> Any:
        mark(trial)
        try:
            return objective(trial)
        except KeyboardInterrupt:
            again(study, study.get_trials(deepcopy=False)[trial.number])
            raise

    parent = multiprocessing.parent_process()
    while _left(study, trials, stale) > 0 and (parent is None or parent.is_alive()):
        revive(study, stale=stale)  # after the count: what that took for lost is queued before another is drawn
        study.optimize(marked, n_trials=1)


def run_workers(
    make: Callable[[], Any],
    name: str,
    storage: str | Path | None = None,
    *,
    trials: int,
    workers: int = 2,
    seed: int | None = None,
    curves: Curves | None = None,
    stale: float = STALE,
) -> optuna.Study:
    """Several processes work on one study up to `trials` finished trials in all; -> the study.

    make() -> objective is called in each process: a function of a module, or functools.partial of one (processes are
    spawned, so a script needs `if __name__ == "__main__":`). name, storage, seed, curves: of open_study, in each
    process; with several workers a seed does not repeat a run.
    The same call on another host joins in. A worker that is killed loses at most its trial in flight, which is queued
    again. RuntimeError with a worker's own words where it failed, or where workers die without finishing any trial.
    """
    if workers < 1 or trials < 1:
        raise ValueError(f"workers={workers}, trials={trials}: at least 1 is wanted")
    if str(storage) in ("sqlite://", "sqlite:///:memory:"):
        raise ValueError(f"{storage} is memory of one process: workers cannot share it; give a file or a database")
    study = open_study(name, storage)
    revive(study, stale=stale)
    while (left := _left(study, trials, stale)) > 0:
        before = _finished(study)
        failed = _round(make, (name, storage, seed, curves, trials, stale), min(workers, left))
        if failed:
            raise RuntimeError(f"a worker failed: {failed}")
        revive(study, stale=stale)
        if _finished(study) == before:
            raise RuntimeError(f"study {name}: all workers were killed before they finished a trial: out of memory?")
    return study


def _round(make: Callable[[], Any], settings: tuple[Any, ...], workers: int) -> str:
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


def _work(make: Callable[[], Any], settings: tuple[Any, ...], number: int, speak: Connection, verbosity: int) -> None:
    """One worker process."""

    def interrupted(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal and our parent may both send one
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    optuna.logging.set_verbosity(verbosity)
    name, storage, seed, curves, trials, stale = settings
    try:
        objective = make()
        start = None if seed is None else seed + 10_007 * number
        study = open_study(name, storage, seed=start, curves=curves)
        optimise(study, objective, trials=trials, stale=stale)
    except KeyboardInterrupt:
        pass
    except Exception as error:
        speak.send(f"{type(error).__name__}: {error}"[:2000])


def _said(process: Any, ours: Connection) -> str:
    """What a worker that ended says of its failure; nothing where it did its work or was killed."""
    try:
        return str(ours.recv())
    except EOFError:
        return f"exit code {process.exitcode}, its own words are above" if (process.exitcode or 0) > 0 else ""


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def _left(study: optuna.Study, trials: int, stale: float) -> int:
    """How many trials nobody has finished or is known to work on."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    others = [t for t in running if t.user_attrs.get("pid", os.getpid()) != os.getpid()]
    return trials - _finished(study) - sum(not is_lost(study, t, stale=stale) for t in others)
