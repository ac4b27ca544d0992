"""Trials whose process is gone: who ran them, and who runs them again."""

from __future__ import annotations

import datetime
import os
import socket
import warnings

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

HOST = socket.gethostname()
MOST_RETRIES = 3
"""A trial that takes its process down with it is not tried for ever."""
STALE = 6 * 3600.0
"""Seconds after which a trial of another host counts as lost, where nothing gives signs of life (a journal)."""


def mark(trial: optuna.Trial) -> None:
    """Note on a trial who runs it: the user attributes host and pid."""
    trial.set_user_attr("host", HOST)
    trial.set_user_attr("pid", os.getpid())


def is_lost(study: optuna.Study, trial: FrozenTrial, *, stale: float = STALE) -> bool:
    """Whether the process of a running trial is gone.

    Of this host: no process has its pid, or only one that is younger than the trial. Of another, or not marked: in a
    database its heartbeat decides, which Optuna watches; in a journal it is lost `stale` seconds after its start.
    Containers that share a journal need host names of their own.
    """
    start = trial.datetime_start or datetime.datetime.now()
    if trial.user_attrs.get("host") == HOST:
        return not _lives(trial.user_attrs["pid"], start) if "pid" in trial.user_attrs else False
    beats = getattr(study._storage, "get_heartbeat_interval", lambda: None)()
    return beats is None and (datetime.datetime.now() - start).total_seconds() > stale


def revive(study: optuna.Study, *, stale: float = STALE) -> int:
    """Fail the running trials that are lost and queue their params again; -> how many."""
    found = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_lost(study, trial, stale=stale):
            try:
                study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                continue  # another process was faster
            again(study, trial)
            found += 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    return found


def again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue the params of a trial that was lost, at most 3 times.

    The new trial names those before it as Optuna's own retries do: optuna.storages.RetryHeartbeatStaleTrialCallback
    .retry_history(trial).
    """
    history = [*trial.system_attrs.get("retry_history", ()), trial.number]
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    if params and len(history) <= MOST_RETRIES:
        lineage = {"fixed_params": params, "failed_trial": history[0], "retry_history": history}
        study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING, system_attrs=lineage))


def _lives(pid: int, since: datetime.datetime) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < since.timestamp() + 2
    except psutil.NoSuchProcess:
        return False
