"""TrainConfig: every setting of a training run, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from segkit.optim import schedules

AVERAGING = ("none", "ema", "swa", "soup")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `fit`; `dataclasses.replace(config, lr=3e-4)` makes a variant.

    A run in the same folder is gone on with only where all settings are equal, but for `accelerator`, `channels_last`,
    `compile` and `workers`: those say how it is computed, not what.

    Args:
        epochs: Passes over the training images.
        batch_size: Images of one forward pass, over all processes together.
        lr: Learning rate.
        weight_decay: Decay of weights; norms and biases have none.
        optimizer: A name of `segkit.optim.names()`.
        encoder_lr_mult: The encoder's learning rate, times `lr`.
        freeze_epochs: So many epochs the encoder keeps its weights and the statistics of its norms.
        schedule: A name of `segkit.optim.schedules.NAMES`. "cosine", "poly" and "one-cycle" end at `lr_floor`, "swa"
            and "swa-cyclic" (a cycle each epoch) are at `swa_lr_mult` when averaging starts.
        warmup_epochs: Epochs of linear warm-up; may be a fraction.
        lr_floor: Learning rate of the last step, times `lr`.
        accumulate: Batches of one optimizer step. The gradient is the mean over them.
        clip: Largest norm of the gradient; None leaves it.
        aux_weight: Weight of an output named "aux" beside the main one.
        averaging: "none", "ema", "swa" (the mean of the last epochs) or "soup" (of the checkpoints that validated
            best, those that help).
        ema_decay: What EMA keeps at each step.
        swa_start: Share of the run after which SWA averages, in [0, 1).
        swa_lr_mult: Learning rate along which SWA averages, times `lr`, in (0, 1].
        soup_size: Checkpoints that a soup may use.
        precision: "32-true", "bf16-mixed" or "16-mixed".
        seed: Everything random is drawn from (seed, epoch).
        validate_every: Epochs from one validation to the next; the last epoch is always validated.
        accelerator: "auto", "cpu" or "cuda".
        channels_last: Memory layout of images and weights; faster convolutions.
        compile: Run the network through `torch.compile`.
        workers: Processes that prepare batches. They are spawned, so a script needs `if __name__ == "__main__":`.

    Raises:
        ValueError: If a value is out of range, or a name is unknown.
    """

    epochs: int = 30
    batch_size: int = 8
    lr: float = 1e-3
    weight_decay: float = 1e-2
    optimizer: str = "adamw"
    encoder_lr_mult: float = 1.0
    freeze_epochs: int = 0
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    lr_floor: float = 0.0
    accumulate: int = 1
    clip: float | None = 1.0
    aux_weight: float = 0.4
    averaging: str = "none"
    ema_decay: float = 0.999
    swa_start: float = 0.75
    swa_lr_mult: float = 0.5
    soup_size: int = 5
    precision: str = "32-true"
    seed: int = 0
    validate_every: int = 1
    # compare=False: a run may be resumed with other values of these
    accelerator: str = field(default="auto", compare=False)
    channels_last: bool = field(default=True, compare=False)
    compile: bool = field(default=False, compare=False)
    workers: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        for name, known in (
            ("averaging", AVERAGING),
            ("schedule", schedules.NAMES),
            ("precision", PRECISIONS),
            ("accelerator", ("auto", "cpu", "cuda", "gpu")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {', '.join(known)}")
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "soup_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        for name in ("warmup_epochs", "workers", "weight_decay", "aux_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more")
        if not 0 <= self.freeze_epochs < self.epochs:
            raise ValueError(f"freeze_epochs={self.freeze_epochs}: expected fewer than the {self.epochs} epochs")
        if not 0 <= self.swa_start < 1:
            raise ValueError(f"swa_start={self.swa_start}: expected a share of the run in [0, 1)")
        if not 0 < self.swa_lr_mult <= 1:
            raise ValueError(f"swa_lr_mult={self.swa_lr_mult}: expected a factor in (0, 1]")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip={self.clip}: expected a norm above 0, or None")

    @property
    def swa_epoch(self) -> int:
        """The first epoch, from 0, whose weights SWA averages; there is one."""
        return int(self.swa_start * self.epochs)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the weights: every field, but those that only say how it is computed.

        Returns:
            {field: value}.
        """
        return {one.name: getattr(self, one.name) for one in fields(self) if one.compare}
