"""One study on a real PostgreSQL server, for several hosts; skipped where no server can be started."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from segkit import studies
from segkit.studies import lost, storage

optuna.logging.set_verbosity(optuna.logging.ERROR)
HISTORY = optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def server_tools():
    """initdb and pg_ctl, and what runs them as a user who is not root."""
    folders = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    tools = {name: shutil.which(name, path=path) for name in ("initdb", "pg_ctl")}
    if None in tools.values():
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    if os.name != "posix" or os.geteuid() != 0:
        return tools, []
    if not shutil.which("runuser") or subprocess.run(["id", "postgres"], capture_output=True).returncode:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres to run it")
    return tools, ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="module")
def url():
    pytest.importorskip("psycopg", reason="the driver is in the extra `postgres`")
    tools, user = server_tools()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="segkit-postgres-"))
    if user:
        shutil.chown(folder, "postgres")
    data, settings = str(folder / "data"), f"-p {port} -h 127.0.0.1 -k {folder} -F"

    def run(*words):
        done = subprocess.run([*user, *words], cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr

    try:
        run(tools["initdb"], "-D", data, "-A", "trust", "-U", "segkit", "-E", "UTF8")
        run(tools["pg_ctl"], "-D", data, "-w", "-l", str(folder / "log"), "-o", settings, "start")
        try:
            yield f"postgresql://segkit:anything@127.0.0.1:{port}/postgres"
        finally:
            run(tools["pg_ctl"], "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Elsewhere:
    """An objective on a host of another name, which goes down in its second trial, the first time."""

    def __init__(self, folder):
        self.mark = Path(folder) / "was here"
        lost.HOST = "elsewhere"  # in the worker's process

    def __call__(self, trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 1 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x


def plain(trial):
    return trial.suggest_float("x", 0, 1)


def make():
    return plain


def finished(study):
    return study.get_trials(states=(TrialState.COMPLETE,))


def test_hosts_that_begin_at_the_same_moment(url):
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database fresh")
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: studies.open_study("s", url.replace("/postgres", "/fresh")), range(4)))
    opened[0].enqueue_trial({"x": 0.5})
    assert [len(study.trials) for study in opened] == [1] * 4


def test_workers_share_a_study_on_a_server(url):
    study = studies.run_workers(make, "shared", url, trials=12, workers=2, seed=0)
    assert 12 <= len(finished(study)) == len(study.trials) <= 13
    assert len({t.params["x"] for t in study.trials}) == len(study.trials)
    assert {t.user_attrs["host"] for t in study.trials} == {lost.HOST}
    studies.run_workers(make, "shared", url, trials=15, workers=1)
    assert len(finished(studies.open_study("shared", url))) == 15


def test_a_trial_of_a_host_that_went_down_is_run_by_another(url, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "HEARTBEAT", 1)
    monkeypatch.setattr(storage, "GRACE", 2)
    studies.run_workers(partial(Elsewhere, tmp_path), "hosts", url, trials=1, workers=1)
    with pytest.raises(RuntimeError, match="all workers were killed"):
        studies.run_workers(partial(Elsewhere, tmp_path), "hosts", url, trials=2, workers=1)
    time.sleep(2.5)
    study = studies.open_study("hosts", url)
    dead = study.trials[1]
    assert (dead.state, dead.user_attrs["host"]) == (TrialState.RUNNING, "elsewhere")
    studies.optimise(study, plain, trials=4)
    assert len(finished(study)) == 4
    assert study.trials[1].state == TrialState.FAIL
    (heir,) = (t for t in study.trials if 1 in HISTORY(t))
    assert heir.params == dead.params
    assert heir.user_attrs["host"] == lost.HOST


def test_a_server_that_is_not_there(url):
    with pytest.raises(ValueError, match=r"postgresql://me@127.0.0.1:1/db: this database cannot be opened") as caught:
        studies.open_study("s", "postgresql://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
