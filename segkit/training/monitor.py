"""Monitor: the score that chooses weights, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Monitor:
    """The score of a validation that decides.

    Args:
        name: Its name in what `validate` returns.
        mode: "max" where a higher score is better, "min" where a lower one is.

    Raises:
        ValueError: For another mode.

    Example:
        >>> Monitor("loss", "min").is_better(0.1, 0.2)
        True
    """

    name: str = "dice"
    mode: str = "max"

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ValueError(f"mode={self.mode!r}: expected max or min")

    def check(self, validate: object) -> None:
        """Compare with what a `Validator` says of itself, before any training.

        Args:
            validate: See `fit`; other callables are asked when they are called.

        Raises:
            ValueError: If it gives no such score, or the mode is the wrong way round.
        """
        names = getattr(validate, "names", None)
        if names is not None and self.name not in names:
            raise ValueError(f"monitor={self.name!r}: the validation gives {', '.join(names)}; name one of these")
        metric = getattr(validate, "metric", None)
        higher = getattr(metric, "higher_is_better", None)
        if names is not None and higher is not None and higher != (self.mode == "max"):
            raise ValueError(f"mode={self.mode!r}: {metric} is better {'higher' if higher else 'lower'}")

    def value(self, scores: Mapping[str, float]) -> float:
        """The score that decides.

        Args:
            scores: What `validate` returned.

        Returns:
            One of its values.

        Raises:
            ValueError: If it is not there.
        """
        if self.name not in scores:
            raise ValueError(
                f"validate gave {', '.join(scores) or 'nothing'}; expected a score named {self.name!r}: "
                "pass monitor= one that is there"
            )
        return scores[self.name]

    def rank(self, score: float) -> float:
        """A number that is higher where the score is better; a score that is NaN is the worst.

        Args:
            score: A score.

        Returns:
            The score, or its negative.
        """
        return -math.inf if math.isnan(score) else score if self.mode == "max" else -score

    def is_better(self, score: float, before: float | None) -> bool:
        """Whether a score is better than the best before.

        Args:
            score: The new score.
            before: The best one so far; None where there is none.

        Returns:
            True for the first score.
        """
        return before is None or self.rank(score) > self.rank(before)

    def best_of(self, scores: Iterable[float]) -> float:
        """The best score.

        Args:
            scores: At least one.

        Returns:
            The first of the best.
        """
        return max(scores, key=self.rank)
