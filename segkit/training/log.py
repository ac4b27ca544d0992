"""Where numbers go: metrics.jsonl, TensorBoard, the terminal, and any tracker that takes a dictionary.

A logger is a callable or an object with `.log(record)`. The first process gives it one flat dictionary of numbers each
epoch. A Weights & Biases run is one as it stands (`loggers=[wandb.init(...)]`); for MLflow:
`loggers=[lambda record: mlflow.log_metrics(record, step=record["epoch"])]`.
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
    """The records of a run, one per epoch, kept in a .jsonl file that is whole at any moment.

    Args:
        path: The file.
        epochs: How many of the records that are there already count; 0 begins anew.
    """

    def __init__(self, path: Path, *, epochs: int) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if epochs else []
        self.records: list[Record] = [json.loads(line) for line in lines][:epochs]

    def log(self, record: Record) -> None:
        """Add the record of an epoch and write the file.

        Args:
            record: Flat dictionary of numbers.
        """
        self.records.append(record)
        write_atomic(self.path, "".join(json.dumps(r) + "\n" for r in self.records))


class TensorBoard:
    """A logger that writes scalars for `tensorboard --logdir`; what a resumed run repeats is replaced.

    Args:
        folder: Where the event files go.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writer: Any = None

    def log(self, record: Record) -> None:
        """Write the scalars of an epoch.

        Args:
            record: Flat dictionary of numbers, "epoch" among them.
        """
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=record["epoch"])
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()


def send(loggers: Sequence[Any], record: Record) -> None:
    """Give each logger a copy of its own.

    Args:
        loggers: Callables, or objects with `.log`.
        record: Flat dictionary of numbers.
    """
    for logger in loggers:
        getattr(logger, "log", logger)(dict(record))


def bar(steps: int, title: str, *, show: bool) -> Iterator[int]:
    """Count steps, with a progress bar where the terminal can show one.

    Args:
        steps: How many.
        title: Text before the bar.
        show: False shows nothing.

    Yields:
        0 to steps - 1.
    """
    if not (show and sys.stderr.isatty()):
        yield from range(steps)
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(range(steps), title, total=steps, console=Console(stderr=True), transient=True)


def line(record: Record, epochs: int, monitor: str = "dice") -> str:
    """One epoch in one line.

    Args:
        record: The epoch's numbers.
        epochs: Epochs of the run.
        monitor: The score that is shown, where the epoch was validated.

    Returns:
        Text without a line break.

    Example:
        >>> record = {"epoch": 2, "loss": 0.5, "val_iou": 0.875, "lr": 1e-3, "seconds": 61.2, "overhead_share": 0.01}
        >>> line(record, 9, "iou")
        'epoch 2/9  loss 0.5000  iou 0.8750  lr 1.0e-03  61 s, 1.0 % of it not computing'
    """
    score = f"  {monitor} {record[f'val_{monitor}']:.4f}" if f"val_{monitor}" in record else ""
    return (
        f"epoch {record['epoch']}/{epochs}  loss {record['loss']:.4f}{score}  lr {record['lr']:.1e}  "
        f"{record['seconds']:.0f} s, {100 * record['overhead_share']:.1f} % of it not computing"
    )
