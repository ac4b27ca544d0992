"""Several processes share one study, and what a killed one leaves behind is run again."""

import datetime
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from segkit import studies
from segkit.studies import lost

optuna.logging.set_verbosity(optuna.logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
HISTORY = optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history
FOREVER = 60  # seconds that a trial waits for something that must come


def wait(reached, what):
    end = time.monotonic() + FOREVER
    while not reached():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Together:
    """An objective that only goes on once so many processes have come to it."""

    def __init__(self, folder, processes):
        self.pids, self.processes = Path(folder) / "pids", processes
        self.pids.mkdir(exist_ok=True)

    def __call__(self, trial):
        (self.pids / str(os.getpid())).touch()
        wait(lambda: len(list(self.pids.iterdir())) >= self.processes, "the other worker never came")
        return trial.suggest_float("x", 0, 1)


class Deadly(Together):
    """Its process is killed in the trial with this number, the first time; later trials wait for that."""

    def __init__(self, folder, processes, number, always=False):
        super().__init__(folder, processes)
        self.mark, self.number, self.always = Path(folder) / "killed", number, always

    def __call__(self, trial):
        x = super().__call__(trial)
        if self.always or (trial.number == self.number and not self.mark.exists()):
            self.mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number > self.number:
            wait(self.died, "the other worker never died")
        return x

    def died(self):
        pid = self.mark.read_text() if self.mark.exists() else ""
        return pid.isdigit() and not lost.is_alive(int(pid), datetime.datetime.now())


def broken(folder):
    raise OSError("no disc in drive")


def finished(study):
    return study.get_trials(states=(TrialState.COMPLETE,))


def check_revived(study, number):
    """Trial `number` failed, and the one trial that names it has its params and a value."""
    assert study.trials[number].state == TrialState.FAIL
    (heir,) = (t for t in study.trials if number in HISTORY(t))
    assert heir.state == TrialState.COMPLETE
    assert heir.params == study.trials[number].params
    assert heir.system_attrs["failed_trial"] == number


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_workers_share_the_trials(tmp_path, kind):
    storage = tmp_path / "s.journal" if kind == "journal" else f"sqlite:///{tmp_path / 's.db'}"
    study = studies.run_workers(partial(Together, tmp_path, 2), "s", storage, trials=7, workers=2)
    done = finished(study)
    assert 7 <= len(done) == len(study.trials) <= 8  # at most the others' trials in flight too many
    assert {t.user_attrs["host"] for t in done} == {lost.HOST}
    assert {str(t.user_attrs["pid"]) for t in done} == {p.name for p in (tmp_path / "pids").iterdir()}
    assert os.getpid() not in {t.user_attrs["pid"] for t in done}
    assert len({t.params["x"] for t in done}) == len(done)
    again = studies.run_workers(partial(broken, tmp_path), "s", storage, trials=7)  # nothing is left to do
    assert len(again.trials) == len(done)


def test_a_killed_worker_loses_its_trial_in_flight_and_that_is_run_again(tmp_path):
    study = studies.run_workers(partial(Deadly, tmp_path, 2, 2), "s", tmp_path / "s.journal", trials=6, workers=2)
    assert 6 <= len(finished(study)) <= 7
    check_revived(study, 2)
    # not in a round of new workers: the one that was left ran it
    assert len({t.user_attrs["pid"] for t in study.trials}) == 2


def test_where_every_worker_dies_nothing_goes_on_for_ever(tmp_path):
    with pytest.raises(RuntimeError, match="all workers were killed before they finished a trial"):
        studies.run_workers(partial(Deadly, tmp_path, 1, 0, True), "s", tmp_path / "s.journal", trials=6, workers=1)


def test_a_worker_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="a worker failed: OSError: no disc in drive"):
        studies.run_workers(partial(broken, tmp_path), "s", tmp_path / "s.journal", trials=6, workers=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"storage": "sqlite://"}, "memory of one process"),
        ({"workers": 0}, "workers=0"),
        ({"trials": 0}, "trials=0"),
    ],
)
def test_bad_input(settings, message):
    with pytest.raises(ValueError, match=message):
        studies.run_workers(partial(broken, ""), "s", **{"trials": 1, **settings})


SCRIPT = """
import signal, sys, time, optuna
from pathlib import Path
from segkit import studies
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    if trial.number == 2:
        Path(sys.argv[1]).touch()
        time.sleep(60)
    return x
def make():
    return objective
if __name__ == "__main__":
    if sys.argv[3] == "alone":
        studies.optimise(studies.open_study("s", sys.argv[2], seed=0), objective, trials=5)
    else:
        studies.run_workers(make, "s", sys.argv[2], trials=5, workers=1, seed=0)
"""


@pytest.mark.parametrize(("way", "mode"), [(signal.SIGKILL, "workers"), (signal.SIGINT, "alone")])
def test_a_study_that_is_killed_goes_on(tmp_path, way, mode):
    script, reached, journal = tmp_path / "study.py", tmp_path / "reached", tmp_path / "s.journal"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, str(script), str(reached), str(journal), mode],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait(lambda: reached.exists() or process.poll() is not None, "the study never came to its third trial")
    assert process.poll() is None
    if way == signal.SIGKILL:
        os.killpg(process.pid, way)  # and its workers: the machine went down
    else:
        process.send_signal(way)
    assert process.wait(timeout=FOREVER) != 0
    study = studies.open_study("s", journal)
    assert [t.state.name for t in study.trials[:3]] == ["COMPLETE", "COMPLETE", {9: "RUNNING", 2: "FAIL"}[way]]
    studies.optimise(study, lambda trial: trial.suggest_float("x", 0, 1), trials=5)
    assert len(finished(study)) == 5
    check_revived(study, 2)


def test_trials_of_others_that_live_count_and_stay(tmp_path):
    study = studies.open_study("s", tmp_path / "s.journal")
    ours, theirs, _ = study.ask(), study.ask(), study.ask()
    for trial, host in ((ours, lost.HOST), (theirs, "elsewhere")):
        trial.suggest_float("x", 0, 1)
        trial.set_user_attr("host", host)
        trial.set_user_attr("pid", os.getppid())
    studies.optimise(study, lambda trial: trial.suggest_float("x", 0, 1), trials=4)
    assert len(finished(study)) == 2
    assert {t.number for t in study.trials if t.state == TrialState.RUNNING} == {0, 1, 2}
    assert lost.revive(study) == 0  # nobody on this host can tell whether theirs lives


def test_a_process_that_is_younger_than_the_trial_did_not_run_it():
    attrs = {"host": lost.HOST, "pid": os.getpid()}
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attrs)
    trial.datetime_start = datetime.datetime.now()
    assert not lost.is_lost(trial)
    trial.datetime_start -= datetime.timedelta(days=4000)
    assert lost.is_lost(trial)


def test_a_trial_is_tried_again_three_times(tmp_path):
    study = studies.open_study("s", tmp_path / "s.journal")
    study.enqueue_trial({"x": 0.25})
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for _ in range(4):
        trial = study.ask()  # and its process dies before it draws anything
        trial.set_user_attr("host", lost.HOST)
        trial.set_user_attr("pid", gone.pid)
        assert study.trials[trial.number].system_attrs["fixed_params"] == {"x": 0.25}
        assert lost.revive(study) == 1
    assert study.get_trials(states=(TrialState.WAITING,)) == []
    assert HISTORY(study.trials[-1]) == [0, 1, 2]


def test_half_a_line_at_the_end_of_a_journal_is_cut(tmp_path):
    path = tmp_path / "s.journal"
    studies.optimise(studies.open_study("s", path), lambda trial: trial.suggest_float("x", 0, 1), trials=2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    assert len(studies.open_study("s", path).trials) == 2
    assert path.read_bytes().startswith(whole)
    studies.optimise(studies.open_study("s", path), lambda trial: trial.suggest_float("x", 0, 1), trials=3)
    assert len(studies.open_study("s", path).trials) == 3
    path.write_bytes(b"")
    assert studies.open_study("s", path).trials == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql+absent://me:secret@host/db", "mysql.absent://me@host/db: this database cannot be opened"),
        ("mysql+pymysql://me:secret@host/db", "mysql.pymysql://me@host/db: no driver for this .*; install its driver"),
        ("nonsense://x", "nonsense://x: this database cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_had(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        studies.open_study("s", url)
    assert "secret" not in str(caught.value)
