"""Averages of checkpoints: of all of them, or of those that help (greedy soup)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from segkit.models.checkpoints import State, load_weights

Checkpoint = Mapping[str, Tensor] | str | os.PathLike[str]


def average(checkpoints: Iterable[Checkpoint]) -> State:
    """Average state dicts or weight files equally, read one at a time and summed in float64.

    Args:
        checkpoints: State dicts, or paths of weight files. Floating-point entries, batch-norm statistics too, are
            averaged and keep their dtype; others (counters) are the last one's.

    Returns:
        A state dict.

    Raises:
        ValueError: If there are none, or where names or shapes differ, naming the first.

    Example:
        >>> average([{"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}])
        {'w': tensor([1.5000])}
    """
    total: State = {}
    last: State = {}
    count = 0
    for checkpoint in checkpoints:
        state = _read(checkpoint, count)
        if count and (odd := _differences(last, state)):
            raise ValueError(f"checkpoint {count} differs from those before in {odd[0]!r}; average runs of one network")
        for name, value in state.items():
            if value.is_floating_point():
                total[name] = total[name] + value if count else value.to(torch.float64)
        last = state
        count += 1
    if not count:
        raise ValueError("no checkpoints to average; pass state dicts or paths of weight files")
    return {name: (total[name] / count).to(v.dtype) if name in total else v.clone() for name, v in last.items()}


class Soup(NamedTuple):
    """The result of `greedy_soup`.

    Attributes:
        state: The average, a plain state dict for load_state_dict or save_weights.
        members: Which checkpoints are in it, in the order they were taken, the best one first.
        score: Score of the average.
        scores: Score of each checkpoint alone.
    """

    state: State
    members: tuple[int, ...]
    score: float
    scores: tuple[float, ...]


def greedy_soup(
    checkpoints: Sequence[Checkpoint], score: Callable[[State], float], *, scores: Sequence[float] | None = None
) -> Soup:
    """Average the checkpoints that help.

    From the best one on, each is kept if the average with it scores higher than without; the best checkpoint alone if
    nothing helps. One that scores NaN is left out.

    Args:
        checkpoints: State dicts, or paths of weight files.
        score: A state dict -> a number on held-out data, higher is better. Called once for every checkpoint, unless
            `scores` has their numbers, and once for every average tried.
        scores: Scores of the checkpoints, where they are known.

    Returns:
        The average and its members.

    Raises:
        ValueError: If there are no checkpoints, none whose score is a number, or another number of scores.

    Example:
        >>> near_five = lambda state: -abs(state["w"].item() - 5)
        >>> greedy_soup([{"w": torch.tensor([w])} for w in (4.0, 7.0, 20.0)], near_five)
        Soup(state={'w': tensor([5.5000])}, members=(0, 1), score=-0.5, scores=(-1.0, -2.0, -15.0))

    References:
        Wortsman et al., Model soups, ICML 2022.
    """
    if not checkpoints:
        raise ValueError("no checkpoints for a soup; pass state dicts or paths of weight files")
    if scores is not None and len(scores) != len(checkpoints):
        raise ValueError(f"expected one score for each of {len(checkpoints)} checkpoints, got {len(scores)} scores")
    alone = [score(_read(c, i)) for i, c in enumerate(checkpoints)] if scores is None else [float(s) for s in scores]
    if not (ranked := sorted((i for i, one in enumerate(alone) if one == one), key=lambda i: -alone[i])):
        names = ", ".join(f"number {i}" if isinstance(c, Mapping) else str(c) for i, c in enumerate(checkpoints))
        raise ValueError(f"every checkpoint scores NaN ({names}); expected numbers, higher where it is better")
    best, *others = ranked
    chosen, record, soup = [best], alone[best], average([checkpoints[best]])
    for i in others:
        candidate = average([checkpoints[j] for j in (*chosen, i)])
        if (result := score(candidate)) > record:
            chosen, record, soup = [*chosen, i], result, candidate
    return Soup(soup, tuple(chosen), record, tuple(alone))


def _differences(a: State, b: State) -> list[str]:
    """Names that only one of two state dicts has, or that have another shape in the other."""
    return sorted(n for n in a.keys() | b.keys() if n not in a or n not in b or a[n].shape != b[n].shape)


def _read(checkpoint: Checkpoint, index: int) -> State:
    """A state dict, from a file where it is one."""
    if isinstance(checkpoint, (str, os.PathLike)):
        return load_weights(checkpoint)
    if not isinstance(checkpoint, Mapping):
        raise ValueError(
            f"checkpoint {index} is a {type(checkpoint).__name__}; expected a state dict (model.state_dict()) or a file"
        )
    return dict(checkpoint)
