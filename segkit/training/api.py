"""fit(): one network, one training set, from the first step to the best weights on disk."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from segkit import files
from segkit.models.checkpoints import load_weights
from segkit.training import checkpoint
from segkit.training.batches import TrainingData
from segkit.training.config import TrainConfig
from segkit.training.finish import OUTCOME, choose_final_weights, has_choice
from segkit.training.identity import Identity, NotComparableError, Plain
from segkit.training.log import History, Record, send
from segkit.training.loop import TrainingLoop, Validate
from segkit.training.monitor import Monitor

DEFAULT = TrainConfig()


@dataclass(frozen=True)
class FitResult:
    """What a run left behind.

    Attributes:
        model: File of the weights that validated best (averaged ones, where averaging is on); of the last ones without
            validation.
        last: File of the weights of the last epoch.
        best: The best score; None without validation.
        best_epoch: Its epoch, from 1.
        history: The records of metrics.jsonl.
        seconds: Of all epochs, validation included.
        wait_share: Share of the time in steps that was spent waiting for data.
        overhead_share: Share that was spent outside forward, backward and optimizer, waiting included.
        averaging: What averaging.json holds: the scores that the weights were chosen by at the end, and what was kept.
        was_finished: True if the run was finished before this call, and nothing was trained.
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
    was_finished: bool = False


def fit(
    model: nn.Module,
    data: TrainingData,
    *,
    loss: Callable[..., Tensor],
    out: str | Path,
    config: TrainConfig = DEFAULT,
    validate: Validate | None = None,
    monitor: str = "dice",
    mode: Literal["max", "min"] = "max",
    loggers: Sequence[Any] = (),
    resume: bool = True,
    progress: bool = True,
    key: Plain = None,
) -> FitResult:
    """Train `model` in place; it ends with the weights of `out`/model.safetensors.

    Each epoch ends with a resume file: a killed run that is called again ends at the very weights of one that was not
    killed, and a finished one returns at once and says so. A run in `out` that was begun with other data, settings,
    loss, network or validation is refused by name, and so is one that cannot be compared (a lambda, a dataset without a
    method `fingerprint()`), unless `key` vouches for it.

    Several GPUs or processes: start the script with torchrun. The gradient is the mean over the parts of a batch:
    losses that are a mean over pixels or images do not depend on how many parts there are, those of a batch as a whole
    do a little. Where pixels weigh differently, each part is divided by its own weights.

    Args:
        model: A network of images (N, channels, h, w) -> logits (N, C, h, w), or a dictionary of outputs with "out";
            the others are judged as by `losses.DeepSupervision`.
        data: `SegmentationData` or what wraps it, or any dataset of {"image", "target"} or (image, target) in float;
            "weight" (1 or C, h, w) is 0 where a pixel is ignored.
        loss: loss(logits, target) -> scalar, with weight= for data with weights. Its `.terms` are logged and its
            `.set_progress` is called where it has them.
        out: Folder for model.safetensors, last.safetensors, resume.ckpt, metrics.jsonl, and averaging.json where
            averaging chooses.
        config: All settings; see `TrainConfig`.
        validate: Called with the model in eval mode on its device -> {name: score}, such as a `Validator`; nothing it
            does changes how training goes on.
        monitor: The score that chooses the weights to keep.
        mode: "max" where a higher score is better, "min" where a lower one is.
        loggers: Callables or objects with `.log(record)`; see `segkit.training.log`.
        resume: False begins anew, whatever `out` holds.
        progress: Print a line per epoch, and show a bar in a terminal.
        key: A plain value that stands for everything that cannot be compared: the caller promises that equal keys mean
            equal loss, data and validation.

    Returns:
        Where the weights are, and how the run went.

    Raises:
        ValueError: If `out` holds another run, for a loss that is not finite (it names the images), and for settings
            that do not fit together.
    """
    out = Path(out)
    watch = Monitor(monitor, mode)
    watch.check(validate)
    if config.averaging == "soup" and validate is None:
        raise ValueError("averaging='soup' chooses by validation: pass validate=, for instance a Validator")
    taken, shown = getattr(model, "in_channels", None), getattr(data, "in_channels", None)
    if None not in (taken, shown) and taken != shown:
        raise ValueError(f"the network takes {taken} channels, the data gives {shown}: pass in_channels={taken} to it")
    identity = Identity.of(_parts(model, data, loss, config, validate, watch), key=key)
    resume_file = out / "resume.ckpt"
    state = checkpoint.read(resume_file, identity) if resume else None
    if state is None and identity.unknown and key is None and progress:
        names = ", ".join(f"{name} ({what})" for name, what in identity.unknown.items())
        print(f"{out}: cannot be resumed after a kill without key=, as it cannot be compared: {names}", flush=True)
    chooses = has_choice(config, model, validated=validate is not None)
    done = state["epoch"] if state else 0
    finished = done == config.epochs and (not chooses or (out / OUTCOME).is_file())
    history = History(out / "metrics.jsonl", epochs=done)
    if finished and progress:
        print(
            f"{out}: the run is finished ({done} epochs), its weights are taken; resume=False trains anew", flush=True
        )
    if not finished:
        if done < config.epochs:
            (out / OUTCOME).unlink(missing_ok=True)
        loop = TrainingLoop(model, data, config, loss=loss, monitor=watch, state=state)
        trained = loop.train(out, history, identity, validate=validate, loggers=loggers, progress=progress)
        state = trained or state
        if chooses and validate:
            outcome = choose_final_weights(loop, out, validate)
            if loop.fabric.is_global_zero:
                scores = {f"averaging/{name}": score for name, score in outcome["scores"].items()}
                send(loggers, {"epoch": config.epochs} | scores)
    assert state is not None
    outcome = files.read_json(out / OUTCOME) if chooses else {}
    model.load_state_dict(load_weights(out / "model.safetensors"))
    records = History(history.path, epochs=config.epochs).records  # the first process wrote them, every one reads them
    stepping = sum(record["train_seconds"] for record in records)
    return FitResult(
        model=out / "model.safetensors",
        last=out / "last.safetensors",
        best=watch.best_of(outcome["scores"].values()) if outcome else state["best"],
        best_epoch=state["best_epoch"],
        history=records,
        seconds=math.fsum(record["seconds"] for record in records),
        wait_share=sum(record["wait_seconds"] for record in records) / stepping,
        overhead_share=1 - sum(record["step_seconds"] for record in records) / stepping,
        averaging=outcome,
        was_finished=finished,
    )


def _parts(
    model: nn.Module, data: TrainingData, loss: object, config: TrainConfig, validate: Validate | None, monitor: Monitor
) -> dict[str, Any]:
    """What decides the weights that a run ends with."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    seen: Any = NotComparableError(f"a {type(data).__name__} without a method fingerprint()")
    if hasattr(data, "fingerprint"):
        seen = data.fingerprint()
    elif isinstance(data, (list, tuple)):
        seen = data
    return {
        "config": config.fingerprint(),
        "model": files.digest([type(model).__qualname__, re.sub(" at 0x[0-9a-f]+", "", repr(model)), shapes]),
        "loss": loss,
        "data": seen,
        "validate": validate,
        "monitor": monitor,
    }
