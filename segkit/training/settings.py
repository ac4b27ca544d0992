"""What decides the weights that come out of a run."""

from __future__ import annotations

from dataclasses import dataclass

from segkit.optim import schedules

AVERAGING = ("none", "ema", "swa", "soup")


@dataclass(frozen=True)
class Settings:
    """What decides the weights that come out; see fit()."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    optimizer: str
    encoder_lr: float
    freeze_epochs: int
    schedule: str
    warmup_epochs: float
    lr_floor: float
    accumulate: int
    clip: float | None
    aux_weight: float
    averaging: str
    ema_decay: float
    swa_start: float
    swa_lr: float
    soup_size: int
    precision: str
    seed: int
    validate_every: int

    def __post_init__(self) -> None:
        if self.averaging not in AVERAGING:
            raise ValueError(f"averaging={self.averaging!r}; one of {', '.join(AVERAGING)} is wanted")
        if self.schedule not in schedules.NAMES:
            raise ValueError(f"schedule={self.schedule!r}; one of {', '.join(schedules.NAMES)} is wanted")
        if not 0 <= self.freeze_epochs < self.epochs:
            raise ValueError(f"freeze_epochs={self.freeze_epochs}: fewer than the {self.epochs} epochs are wanted")
        for name in ("epochs", "accumulate", "validate_every", "soup_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1 is wanted")
        if not 0 <= self.swa_start < 1:
            raise ValueError(f"swa_start={self.swa_start}: a share of the run in [0, 1) is wanted")
        if not 0 < self.swa_lr <= 1:
            raise ValueError(f"swa_lr={self.swa_lr}: a share of lr in (0, 1] is wanted")

    @property
    def swa_epoch(self) -> int:
        """The first epoch, from 0, whose weights SWA averages; there is one."""
        return int(self.swa_start * self.epochs)
