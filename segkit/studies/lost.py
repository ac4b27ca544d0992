"""Trials whose process is gone: found, failed, and queued again."""

from __future__ import annotations

import copy
import datetime
import os
import socket
import warnings

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

HOST = socket.gethostname()
MAX_RETRIES = 3
"""A trial that takes its process down with it is not tried for ever."""

with warnings.catch_warnings():
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    retry = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRIES)
"""What a database calls for a trial that gives no sign of life."""


def mark(trial: optuna.Trial) -> None:
    """Note on a trial who runs it: the user attributes host and pid.

    Args:
        trial: A trial of this process.
    """
    trial.set_user_attr("host", HOST)
    trial.set_user_attr("pid", os.getpid())


def is_lost(trial: FrozenTrial) -> bool:
    """Whether the process of a running trial of this host is gone.

    It is where no process has its pid, or only one that is younger than the trial. Of trials of other hosts a database
    knows by heartbeat, and a journal, which is of one host, does not. Containers that share a journal need host names
    of their own.

    Args:
        trial: A running trial.

    Returns:
        True where nobody will finish it.
    """
    if trial.user_attrs.get("host") != HOST or "pid" not in trial.user_attrs:
        return False
    return not is_alive(trial.user_attrs["pid"], trial.datetime_start or datetime.datetime.now())


def revive(study: optuna.Study) -> int:
    """Fail the running trials that are lost and queue their params again.

    Args:
        study: The study.

    Returns:
        How many were lost.
    """
    found = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_lost(trial):
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
    """Queue the params of a trial again, at most 3 times.

    Args:
        study: The study.
        trial: One that was lost or stopped.
    """
    retry(study, copy.deepcopy(trial))  # it writes into what it is given


def is_alive(pid: int, since: datetime.datetime) -> bool:
    """Whether a process still runs.

    Args:
        pid: Its number, which a later process may have again.
        since: When it must have been there.

    Returns:
        True for a process that started before that.
    """
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < since.timestamp() + 2
    except psutil.NoSuchProcess:
        return False
