"""What decides the weights that come out of a run."""

from __future__ import annotations

from dataclasses import dataclass

AVERAGING = ("none", "ema", "swa")


@dataclass(frozen=True)
class Settings:
    """What decides the weights that come out; see fit()."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup_epochs: float
    lr_floor: float
    accumulate: int
    clip: float | None
    aux_weight: float
    averaging: str
    ema_decay: float
    swa_start: float
    precision: str
    seed: int
    validate_every: int

    def __post_init__(self) -> None:
        if self.averaging not in AVERAGING:
            raise ValueError(f"averaging={self.averaging!r}; one of {', '.join(AVERAGING)} is wanted")
        for name in ("epochs", "accumulate", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least 1 is wanted")
        if not 0 <= self.swa_start < 1:
            raise ValueError(f"swa_start={self.swa_start}: a share of the run in [0, 1) is wanted")
