"""Where numbers go: metrics.jsonl, TensorBoard, the terminal, and any tracker that takes a dictionary.

A logger is a callable or an object with `.log(record)`; it is given one flat dictionary of numbers an epoch,
by the first process alone. A Weights & Biases run is one as it stands (`loggers=[wandb.init(...)]`); for
MLflow: `loggers=[lambda record: mlflow.log_metrics(record, step=record["epoch"])]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segkit.files import write_atomic

Record = dict[str, Any]


class History:
    """The records of a run, one an epoch, kept in a .jsonl file that is whole at any moment."""

    def __init__(self, path: Path, *, epochs: int) -> None:
        """epochs: how many are believed of what is there already; 0 begins anew."""
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if epochs else []
        self.records: list[Record] = [json.loads(line) for line in lines][:epochs]

    def log(self, record: Record) -> None:
        self.records.append(record)
        write_atomic(self.path, "".join(json.dumps(r) + "\n" for r in self.records))


class TensorBoard:
    """Scalars of each record in a folder that `tensorboard --logdir` shows; what a resumed run repeats is replaced."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writer: Any = None

    def log(self, record: Record) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=record["epoch"])
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()


def send(loggers: Sequence[Any], record: Record) -> None:
    """Give each logger a copy of its own."""
    for logger in loggers:
        getattr(logger, "log", logger)(dict(record))


def bar(steps: int, title: str, *, show: bool) -> Iterator[int]:
    """0 ... steps - 1, with a progress bar while they pass where the terminal can show one."""
    if not (show and sys.stderr.isatty()):
        yield from range(steps)
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(range(steps), title, total=steps, console=Console(stderr=True), transient=True)


def line(record: Record, epochs: int) -> str:
    """One epoch in one line.

    >>> line({"epoch": 2, "loss": 0.5, "val_dice": 0.875, "lr": 1e-3, "seconds": 61.2, "overhead_share": 0.01}, 9)
    'epoch 2/9  loss 0.5000  dice 0.8750  lr 1.0e-03  61 s, 1.0 % of it not computing'
    """
    dice = f"  dice {record['val_dice']:.4f}" if "val_dice" in record else ""
    return (
        f"epoch {record['epoch']}/{epochs}  loss {record['loss']:.4f}{dice}  lr {record['lr']:.1e}  "
        f"{record['seconds']:.0f} s, {100 * record['overhead_share']:.1f} % of it not computing"
    )
