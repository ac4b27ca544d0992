"""fit(): one network, one training set, from the first step to the best weights on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from segkit import files
from segkit.models.checkpoints import load_weights
from segkit.training import checkpoint
from segkit.training.finish import OUTCOME, chooses, finish
from segkit.training.log import History, Record, send
from segkit.training.loop import Run, Validate
from segkit.training.settings import Settings


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
    averaging: dict[str, Any]
    """What averaging.json holds: the scores that the weights were chosen by at the end, and which were kept."""


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
    optimizer: str = "adamw",
    encoder_lr: float = 1.0,
    freeze_epochs: int = 0,
    schedule: str = "cosine",
    warmup_epochs: float = 1.0,
    lr_floor: float = 0.0,
    accumulate: int = 1,
    clip: float | None = 1.0,
    aux_weight: float = 0.4,
    averaging: str = "none",
    ema_decay: float = 0.999,
    swa_start: float = 0.75,
    swa_lr: float = 0.5,
    soup_size: int = 5,
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
    as SegmentationData.raw makes them), "weight" too where pixels weigh differently (0 ignores one; float (1, h, w)
    or (C, h, w)). loss: loss(logits, target) -> scalar, with weight= for such data; its `.terms` are logged and its
    `.set_progress` is called where it has them. Outputs beside "out" are judged as by `losses.DeepSupervision`, "aux"
    with aux_weight; a loss that is one says itself what they count. batch_size: images of one forward pass over
    all processes together; accumulate: batches to one optimizer step. The gradient is the mean of those of the
    parts: losses that are a mean over pixels or images do not depend on how many parts there are, those of a batch
    as a whole (per_image=False of overlap losses) do a little. Where pixels weigh differently, each part is divided
    by its own weights: a part of which much is ignored counts as much as one of which nothing is, and its pixels
    more than they would in one process. optimizer: a name of
    segkit.optim.names(), without decay on norms and biases; encoder_lr: the encoder's rate as a share of lr;
    freeze_epochs: so many epochs the encoder keeps its weights and its norms' statistics. schedule: a name of
    segkit.optim.schedules.NAMES, after warmup_epochs; "cosine", "poly" and "one-cycle" end at lr_floor times lr,
    "swa" and "swa-cyclic" (a cycle an epoch) are at swa_lr times lr when averaging starts. clip: norm of the
    gradient, None leaves it.

    averaging: "none", "ema" (ema_decay a step), "swa" (the mean over the epochs after the share swa_start of
    the run), or "soup" (of the soup_size checkpoints that validated best, those that help: kept in soup/).
    Validation and the saved weights are those of EMA and SWA. When the epochs are over, a soup, and SWA of a
    network with batch norms, is scored again with batch-norm statistics estimated anew, and the best of all is
    saved: averaging.json has the scores. precision: "32-true", "bf16-mixed", "16-mixed". accelerator: "auto",
    "cpu", "cuda".

    validate: called with the model in eval mode on its device -> {"dice": float, ...}; nothing it does
    changes how training goes on. loggers: see segkit.training.log. Each epoch draws from generators seeded by
    (seed, epoch) alone and ends with resume.ckpt: a killed run that is called again ends at the very weights
    of one that was not killed, and a finished one returns at once. Several GPUs or processes: start the
    script with torchrun. workers: processes that prepare batches; they are spawned, so a script needs the `if
    __name__ == "__main__":` guard.

    Writes model.safetensors, last.safetensors, resume.ckpt and metrics.jsonl into `out`. ValueError where
    `out` holds a run with other settings, and for a loss that is not finite (it names the images).
    """
    out = Path(out)
    settings = Settings(
        epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, optimizer=optimizer,
        encoder_lr=encoder_lr, freeze_epochs=freeze_epochs, schedule=schedule, warmup_epochs=warmup_epochs,
        lr_floor=lr_floor, accumulate=accumulate, clip=clip, aux_weight=aux_weight, averaging=averaging,
        ema_decay=ema_decay, swa_start=swa_start, swa_lr=swa_lr, soup_size=soup_size, precision=precision, seed=seed,
        validate_every=validate_every,
    )  # fmt: skip
    if settings.averaging == "soup" and validate is None:
        raise ValueError("averaging='soup' chooses by validation: pass validate=, for instance a DiceValidator")
    marks = asdict(settings) | {
        "loss": repr(loss).split(" at 0x")[0],
        "model": files.digest({name: list(value.shape) for name, value in model.state_dict().items()}),
        "validated": validate is not None,
        "images": len(train),
        **{f"train.{name}": value for name, value in getattr(train, "settings", {}).items()},
    }
    state = checkpoint.read(out / "resume.ckpt", marks) if resume else None
    history = History(out / "metrics.jsonl", epochs=state["epoch"] if state else 0)
    unfinished = chooses(settings, model, validated=validate is not None)
    if state is None or state["epoch"] < epochs:
        (out / OUTCOME).unlink(missing_ok=True)
    if state is None or state["epoch"] < epochs or (unfinished and not (out / OUTCOME).is_file()):
        run = Run(
            model, train, settings, loss=loss, state=state, workers=workers, accelerator=accelerator,
            channels_last=channels_last, compile=compile,
        )  # fmt: skip
        state = run.train(out, history, marks, validate=validate, loggers=loggers, progress=progress) or state
        if unfinished and validate:
            outcome = finish(run, out, validate)
            if run.fabric.is_global_zero:
                send(loggers, {"epoch": epochs} | {f"averaging/{k}": v for k, v in outcome["scores"].items()})
    assert state is not None
    outcome = files.read_json(out / OUTCOME) if unfinished else {}
    model.load_state_dict(load_weights(out / "model.safetensors"))
    records = History(history.path, epochs=epochs).records  # the first process wrote them, every one returns them
    stepping = sum(record["train_seconds"] for record in records)
    return FitResult(
        model=out / "model.safetensors",
        last=out / "last.safetensors",
        best=max(outcome["scores"].values()) if outcome else state["best"],
        best_epoch=state["best_epoch"],
        history=records,
        seconds=sum(record["seconds"] for record in records),
        wait_share=sum(record["wait_seconds"] for record in records) / stepping,
        overhead_share=1 - sum(record["step_seconds"] for record in records) / stepping,
        averaging=outcome,
    )
