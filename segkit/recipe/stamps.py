"""Stamps of finished stages below a run folder, and what a stage costs."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from segkit.files import read_json, write_json

MEGABYTE = 2**20


class Stamps:
    """What is known of the stages of one run folder, under `.stages`.

    Args:
        path: The run folder; made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(parents=True, exist_ok=True)

    def read(self, stage: str) -> dict[str, Any]:
        """Return the stamp of a finished stage; empty where it never finished."""
        file = self._file(stage)
        return dict(read_json(file)) if file.is_file() else {}

    def key(self, stage: str) -> str:
        """Return the key of a finished stage; empty where it never finished."""
        return str(self.read(stage).get("key", ""))

    def begun(self, stage: str) -> dict[str, Any] | None:
        """Return what the last start of a stage depended on; None where it never started."""
        file = self._file(stage, ".begun")
        return dict(read_json(file)) if file.is_file() else None

    def begin(self, stage: str, depends_on: dict[str, Any]) -> None:
        """Note that a stage starts, so that a killed one is not taken for a finished one."""
        self._file(stage).unlink(missing_ok=True)
        write_json(self._file(stage, ".begun"), depends_on)

    def finish(self, stage: str, key: str, meter: Meter) -> None:
        """Note that a stage is done."""
        cost = {name: round(getattr(meter, name), 2) for name in ("seconds", "peak_rss_mb", "peak_gpu_mb")}
        write_json(self._file(stage), {"key": key, **cost})

    def all(self) -> dict[str, dict[str, Any]]:
        """Return {stage: stamp} of all finished stages."""
        files = sorted((self.path / ".stages").glob("*.json"))
        return {f.stem: dict(read_json(f)) for f in files if not f.name.endswith(".begun.json")}

    def _file(self, stage: str, kind: str = "") -> Path:
        return self.path / ".stages" / f"{stage}{kind}.json"


class Meter:
    """Seconds, the highest resident memory of the largest process, this one or any it started, and that of the GPU.

    Args:
        interval: Seconds between two looks at the memory.

    Example:
        >>> with Meter() as meter:
        ...     _ = sum(range(1000))
        >>> meter.seconds >= 0 and meter.peak_rss_mb > 1
        True
    """

    def __init__(self, interval: float = 0.2) -> None:
        self.interval, self.seconds, self.peak_rss_mb, self.peak_gpu_mb = interval, 0.0, 0.0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Meter:
        self._start = time.perf_counter()
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self.seconds = time.perf_counter() - self._start
        if (cuda := _cuda()) is not None:
            self.peak_gpu_mb = cuda.max_memory_allocated() / MEGABYTE

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            self._sample()

    def _sample(self) -> None:
        try:
            me = psutil.Process(os.getpid())
            for process in [me, *me.children(recursive=True)]:
                try:
                    self.peak_rss_mb = max(self.peak_rss_mb, process.memory_info().rss / MEGABYTE)
                except psutil.Error:
                    continue  # it has just ended
        except psutil.Error:
            return


def _cuda() -> ModuleType | None:
    """torch.cuda where torch is loaded and there is a GPU; else None: a stage without torch must not load it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
