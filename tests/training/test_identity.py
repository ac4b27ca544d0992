"""describe: equal text for what surely does the same, another text for what does not, an error where nobody knows."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import torch
from torch import nn

from segkit.data import Augment, medium
from segkit.losses import build
from segkit.training import TrainConfig
from segkit.training.identity import Identity, NotComparableError, describe


class Kind(Enum):
    ONE = 1


@dataclass
class Knobs:
    strength: float
    names: tuple[str, ...] = ()


class Weighted(nn.Module):
    """A loss of somebody else's: its settings are attributes that repr does not show."""

    def __init__(self, alpha=0.5, **children):
        super().__init__()
        self.alpha = alpha
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, logits, target):
        return self.alpha * (logits - target).mean()


def some_loss(logits, target):
    return (logits - target).mean()


SAME = {
    "plain": lambda: {"a": [1, 2.5, None, True, "x", (3,)], "p": Path("x"), "k": Kind.ONE},
    "set": lambda: {"b", "a", "c"},
    "array": lambda: np.arange(6).reshape(2, 3),
    "tensor": lambda: torch.arange(6.0),
    "function": lambda: some_loss,
    "torch": lambda: nn.functional.binary_cross_entropy_with_logits,
    "partial": lambda: functools.partial(some_loss, target=3),
    "class": lambda: Knobs,
    "dataclass": lambda: Knobs(0.5, ("a",)),
    "module": lambda: nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0])),
    "foreign": lambda: Weighted(0.3, inner=nn.MSELoss()),
    "segkit": lambda: build("bce + 2*dice; 0.5: dice"),
    "augment": medium,
    "compose": lambda: A.Compose([A.HorizontalFlip(p=0.3), A.Affine(rotate=(-5, 5))]),
    "config": lambda: TrainConfig(lr=0.1),
}


@pytest.mark.parametrize("name", SAME)
def test_equal_values_have_equal_descriptions_that_json_can_say(name):
    first = describe(SAME[name]())
    assert first == describe(SAME[name]())
    assert describe(first) == first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ([1, 2], [2, 1]),
        (np.arange(3), np.arange(3).astype(np.int32)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (math.inf, math.nan),
        (some_loss, describe),
        (functools.partial(some_loss, target=3), functools.partial(some_loss, target=4)),
        (Knobs(0.5), Knobs(0.6)),
        (nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0]))),
        (nn.BCEWithLogitsLoss(reduction="sum"), nn.BCEWithLogitsLoss()),
        (Weighted(0.3), Weighted(0.4)),
        (Weighted(0.3, inner=nn.MSELoss()), Weighted(0.3, inner=nn.L1Loss())),
        (build("bce + dice"), build("bce + 2*dice")),
        (build("bce"), build("bce(pos_weight=2)")),
        (medium(), Augment()),
        (Augment(extra=(A.InvertImg(p=0.1),)), Augment(extra=(A.InvertImg(p=0.2),))),
        (A.Compose([A.HorizontalFlip(p=0.3)]), A.Compose([A.HorizontalFlip(p=0.3)], p=0.5)),
        (TrainConfig(), TrainConfig(weight_decay=0.0)),
    ],
)
def test_other_values_have_other_descriptions(one, other):
    assert describe(one) != describe(other)


def test_how_it_is_computed_does_not_count():
    assert describe(TrainConfig()) == describe(TrainConfig(workers=4, accelerator="cpu", channels_last=False))


def test_what_nobody_can_compare_is_said():
    def local():
        return None

    for value, says in (
        (lambda: None, "a lambda"),
        (local, "the local function .*local"),
        (functools.partial(lambda x: x, 1), "a lambda"),
        (object(), "a object"),
        ({"a": [object()]}, "a object"),
        (Weighted(inner=Weighted(alpha=lambda: 1)), "a lambda"),
        (A.Compose([A.Lambda(image=local)]), "the transform Compose"),
    ):
        with pytest.raises(NotComparableError, match=says):
            describe(value)


def test_differences_are_named_down_to_the_smallest_part():
    before = Identity.of({"config": {"lr": 0.1, "epochs": 3}, "loss": Weighted(0.3, inner=nn.MSELoss())})
    now = Identity.of({"config": {"lr": 0.2, "epochs": 3}, "loss": Weighted(0.4, inner=nn.MSELoss())})
    with pytest.raises(
        ValueError, match=r"config\.lr was 0\.1, is 0\.2; loss\['settings'\]\['alpha'\] was 0\.3, is 0\.4\."
    ):
        now.check(before, "out")
    now.check(now, "out")
