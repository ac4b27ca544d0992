"""The run folder: which stages are done and still valid, how long they took and how much memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from segkit.files import digest, read_json, write_json

MEGABYTE = 2**20


class RunFolder:
    """Stage stamps under `.stages`: a stage whose key and outputs are as they were is skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(parents=True, exist_ok=True)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def stamp(self, stage: str) -> dict[str, Any]:
        """What is known of a finished stage; empty where it never finished."""
        file = self.path / ".stages" / f"{stage}.json"
        return read_json(file) if file.is_file() else {}

    def key(self, stage: str) -> str:
        """The key of a finished stage, for those that build on it."""
        return str(self.stamp(stage).get("key", ""))

    def run(self, stage: str, settings: Any, outputs: list[Path], work: Callable[[], object]) -> bool:
        """Run `work` unless it was done with the same settings and its outputs are there. -> whether it ran."""
        key = digest(settings)
        stamp = self.stamp(stage)
        if stamp.get("key") == key and all(path.exists() for path in outputs):
            return False
        (self.path / ".stages" / f"{stage}.json").unlink(missing_ok=True)
        with Meter() as meter:
            work()
        write_json(
            self.path / ".stages" / f"{stage}.json",
            {"key": key, "seconds": round(meter.seconds, 2), "peak_rss_mb": round(meter.peak_rss_mb, 1)},
        )
        return True


class Meter:
    """Seconds and the highest resident memory of the largest process, this one or any it started.

    >>> with Meter() as meter:
    ...     _ = sum(range(1000))
    >>> meter.seconds >= 0 and meter.peak_rss_mb > 1
    True
    """

    def __init__(self, interval: float = 0.2) -> None:
        self.interval, self.seconds, self.peak_rss_mb = interval, 0.0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Meter:
        self._start = time.perf_counter()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self.seconds = time.perf_counter() - self._start

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            self._look()

    def _look(self) -> None:
        try:
            me = psutil.Process(os.getpid())
            for process in [me, *me.children(recursive=True)]:
                try:
                    self.peak_rss_mb = max(self.peak_rss_mb, process.memory_info().rss / MEGABYTE)
                except psutil.Error:
                    continue  # it has just ended
        except psutil.Error:
            return
