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
    """The equal average of state dicts or of weight files, read one at a time and summed in float64.

    Floating-point entries, batch-norm statistics too, are averaged and keep their type; others (counters) are
    the last one's. Raises ValueError where there are none, or where names or shapes differ, naming the first.

    >>> average([{"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}])
    {'w': tensor([1.5000])}
    """
    total: State = {}
    last: State = {}
    count = 0
    for checkpoint in checkpoints:
        state = _read(checkpoint)
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
    """What greedy_soup made."""

    state: State
    """The average, a plain state dict for load_state_dict or save_weights."""
    members: tuple[int, ...]
    """Which checkpoints are in it, in the order they were taken, the best one first."""
    score: float
    """Of the average."""
    scores: tuple[float, ...]
    """Of each checkpoint alone."""


def greedy_soup(
    checkpoints: Sequence[Checkpoint], score: Callable[[State], float], *, scores: Sequence[float] | None = None
) -> Soup:
    """Average the checkpoints that help (Wortsman et al., 2022, "model soups").

    score: a state dict -> a number on held-out data, higher is better; it is called once for every checkpoint,
    unless `scores` has their numbers already, and once for every soup tried. From the best one on, each is kept if
    the average with it scores higher than without; alone the best checkpoint if nothing helps. One that scores NaN is
    left out. ValueError for no checkpoints, none whose score is a number, or another number of scores.

    >>> near_five = lambda state: -abs(state["w"].item() - 5)
    >>> greedy_soup([{"w": torch.tensor([w])} for w in (4.0, 7.0, 20.0)], near_five)
    Soup(state={'w': tensor([5.5000])}, members=(0, 1), score=-0.5, scores=(-1.0, -2.0, -15.0))
    """
    if not checkpoints:
        raise ValueError("no checkpoints for a soup; pass state dicts or paths of weight files")
    if scores is not None and len(scores) != len(checkpoints):
        raise ValueError(f"{len(scores)} scores for {len(checkpoints)} checkpoints: one each is wanted")
    alone = [score(_read(c)) for c in checkpoints] if scores is None else [float(s) for s in scores]
    if not (ranked := sorted((i for i, one in enumerate(alone) if one == one), key=lambda i: -alone[i])):
        names = ", ".join(f"number {i}" if isinstance(c, Mapping) else str(c) for i, c in enumerate(checkpoints))
        raise ValueError(f"every checkpoint scores NaN ({names}): a number is wanted, higher where it is better")
    best, *others = ranked
    chosen, record, soup = [best], alone[best], average([checkpoints[best]])
    for i in others:
        tried = average([checkpoints[j] for j in (*chosen, i)])
        if (result := score(tried)) > record:
            chosen, record, soup = [*chosen, i], result, tried
    return Soup(soup, tuple(chosen), record, tuple(alone))


def _differences(a: State, b: State) -> list[str]:
    """Names that only one of two state dicts has, or that have another shape in the other."""
    return sorted(n for n in a.keys() | b.keys() if n not in a or n not in b or a[n].shape != b[n].shape)


def _read(checkpoint: Checkpoint) -> State:
    return dict(checkpoint) if isinstance(checkpoint, Mapping) else load_weights(checkpoint)
