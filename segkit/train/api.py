"""fit(): one network, one training set, from the first step to the best weights on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from segkit import files
from segkit.checkpoints import load_weights
from segkit.train import checkpoint
from segkit.train.log import History, Record
from segkit.train.loop import Run, Validate
from segkit.train.settings import Settings


@dataclass(frozen=True)
class FitResult:
    """What a run left behind.

    model: the weights with the best validation Dice (averaged ones, where averaging is on; the last ones
    without validation); last: those of the last epoch; best: that Dice, None without validation; best_epoch:
    counted from 1; history: the records of metrics.jsonl; seconds: of all epochs, validation included;
    wait_share, overhead_share: of the time in steps, spent waiting for data, and outside forward, backward
    and optimizer (waiting included).
    """

    model: Path
    last: Path
    best: float | None
    best_epoch: int
    history: list[Record]
    seconds: float
    wait_share: float
    overhead_share: float


def fit(
    model: nn.Module,
    train: Any,
    *,
    loss: Any,
    out: str | Path,
    epochs: int,
    batch_size: int = 8,
    lr: float = 1e-3,
    weight_decay: float = 1e-2,
    warmup_epochs: float = 1.0,
    lr_floor: float = 0.0,
    accumulate: int = 1,
    clip: float | None = 1.0,
    aux_weight: float = 0.4,
    averaging: str = "none",
    ema_decay: float = 0.999,
    swa_start: float = 0.75,
    precision: str = "32-true",
    channels_last: bool = True,
    compile: bool = False,
    accelerator: str = "auto",
    workers: int = 0,
    seed: int = 0,
    validate: Validate | None = None,
    validate_every: int = 1,
    loggers: Sequence[Any] = (),
    resume: bool = True,
    progress: bool = True,
) -> FitResult:
    """Train `model` in place; it ends with the weights of `out`/model.safetensors.

    train: SegmentationData, or any dataset of {"image", "target", "index"} (image and target float, or uint8
    as SegmentationData.raw makes them). loss: loss(logits, target) -> scalar; its `.terms` are logged where
    it has any. A model that returns {"out", "aux"} in training adds aux_weight times the loss of "aux" (Zhao
    et al., 2017). batch_size: images of one forward pass over all processes together, so that results do not
    depend on how many there are; accumulate: batches to one optimizer step. AdamW (Loshchilov and Hutter,
    2019) without decay on norms and biases; the rate warms up and falls along a cosine to lr_floor times lr.
    clip: norm of the gradient, None leaves it. averaging: "none", "ema" (ema_decay a step) or "swa" (the mean
    over the epochs after the share swa_start of the run); validation and the saved weights then are the
    averaged ones. precision: "32-true", "bf16-mixed", "16-mixed". accelerator: "auto", "cpu", "cuda".

    validate: called with the model in eval mode on its device -> {"dice": float, ...}; nothing it does
    changes how training goes on. loggers: see segkit.train.log. Each epoch draws from generators seeded by
    (seed, epoch) alone and ends with resume.ckpt: a killed run that is called again ends at the very weights
    of one that was not killed, and a finished one returns at once. Several GPUs or processes: start the
    script with torchrun. workers: processes that prepare batches; they are spawned, so a script needs the `if
    __name__ == "__main__":` guard.

    Writes model.safetensors, last.safetensors, resume.ckpt and metrics.jsonl into `out`. ValueError where
    `out` holds a run with other settings, and for a loss that is not finite (it names the images).
    """
    out = Path(out)
    settings = Settings(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, warmup_epochs=warmup_epochs,
        lr_floor=lr_floor, accumulate=accumulate, clip=clip, aux_weight=aux_weight, averaging=averaging,
        ema_decay=ema_decay, swa_start=swa_start, precision=precision, seed=seed, validate_every=validate_every,
    )  # fmt: skip
    marks = asdict(settings) | {
        "loss": repr(loss).split(" at 0x")[0],
        "model": files.digest({name: list(value.shape) for name, value in model.state_dict().items()}),
        "validated": validate is not None,
        "images": len(train),
        **{f"train.{name}": value for name, value in getattr(train, "settings", {}).items()},
    }
    state = checkpoint.read(out / "resume.ckpt", marks) if resume else None
    history = History(out / "metrics.jsonl", epochs=state["epoch"] if state else 0)
    if state is None or state["epoch"] < epochs:
        run = Run(
            model, train, settings, loss=loss, state=state, workers=workers, accelerator=accelerator,
            channels_last=channels_last, compile=compile,
        )  # fmt: skip
        state = run.train(out, history, marks, validate=validate, loggers=loggers, progress=progress)
    model.load_state_dict(load_weights(out / "model.safetensors"))
    records = History(history.path, epochs=epochs).records  # the first process wrote them, every one returns them
    stepping = sum(record["train_seconds"] for record in records)
    return FitResult(
        model=out / "model.safetensors",
        last=out / "last.safetensors",
        best=state["best"],
        best_epoch=state["best_epoch"],
        history=records,
        seconds=sum(record["seconds"] for record in records),
        wait_share=sum(record["wait_seconds"] for record in records) / stepping,
        overhead_share=1 - sum(record["step_seconds"] for record in records) / stepping,
    )
