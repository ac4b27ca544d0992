"""Recipe: what one competition knows and others do not."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from segkit.audit import Fix, Rule
from segkit.files import plain
from segkit.images import ImageSpec
from segkit.masks import MaskSet
from segkit.metrics import Dice, Metric
from segkit.recipe.config import Config
from segkit.samples import Samples
from segkit.submission import MaskFiles, PixelLabels, SubmissionFormat

Strata = Mapping[str, Mapping[str, str]]
"""{name: {image id: value}}, for instance {"pose": {"a.png": "tilted"}}."""


def folder_layout(data: Path, classes: Sequence[str] | None = None) -> tuple[Samples, Samples]:
    """Read both splits of the folder layout (docs/data-format.md), which `Recipe` takes where no reader is given.

    Args:
        data: The data folder; a test_truth.csv in it annotates the test images.
        classes: In channel order; None: those of its classes.txt, or all labels, sorted.

    Returns:
        (training samples, test samples).
    """
    train = Samples.from_folder(data, "train", classes)
    test = Samples.from_folder(data, "test", train.classes)
    truth = data / "test_truth.csv"
    return train, test.with_truth(SubmissionFormat().read(truth, sizes=test.sizes)) if truth.is_file() else test


def no_strata(masks: MaskSet) -> Strata:
    """Know no strata."""
    return {}


@dataclass(frozen=True)
class Recipe:
    """The facts of one competition.

    Args:
        name: Also the name of the run folder.
        samples: Data folder -> (training samples, test samples).
        image: How images are read and normalised; it replaces what the samples say.
        metric: What training, tuning and the report are judged by.
        submission: Format of the submission file.
        exclusive: Whether each pixel has exactly one class; the samples must say the same.
        class_swaps: Pairs of classes that a mirror flip exchanges.
        flips: Flips that leave an image plausible: "horizontal", "vertical", "d4"; used by augmentation.
        rules: Checks of the audit that only this competition knows.
        fixes: Known bad labels of --data, repaired or excluded.
        strata: Masks -> groups of images to balance folds by and to report on.
        multipart: Classes of several parts, which no post-processing may reduce to one.
        presets: {"demo": {setting: value}, ...} over the defaults of Config; nested or flat.
        default_data: (folder, config) -> data folder; draws or finds data where no --data is given. None: ask for it.
        notes: Sentences of the report about the default data.
    """

    name: str
    samples: Callable[[Path], tuple[Samples, Samples]] = folder_layout
    image: ImageSpec = field(default_factory=ImageSpec)
    metric: Metric = field(default_factory=Dice)
    submission: SubmissionFormat | PixelLabels | MaskFiles = field(default_factory=SubmissionFormat)
    exclusive: bool = False
    class_swaps: Sequence[tuple[str, str]] = ()
    flips: Sequence[str] = ("horizontal",)
    rules: Sequence[Rule] = ()
    fixes: Sequence[Fix] = ()
    strata: Callable[[MaskSet], Strata] = no_strata
    multipart: Sequence[str] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"demo": {}})
    default_data: Callable[[Path, Config], Path] | None = None
    notes: Sequence[str] = ()


def description(value: object) -> object:
    """Describe a fact of a recipe in plain values, so that it can enter a key: functions by name and source.

    Args:
        value: Anything that a Recipe holds.

    Returns:
        What JSON knows; another function, another constant in it or another setting gives another description.

    Example:
        >>> description(lambda x: x + 1) == description(lambda x: x + 2)
        False
    """
    if isinstance(value, functools.partial):
        return ["partial", description(value.func), description(value.args), description(value.keywords)]
    if inspect.isroutine(value):
        try:
            text = inspect.getsource(value)
        except (OSError, TypeError):
            text = repr(getattr(value, "__code__", value.__qualname__))
        code = getattr(value, "__code__", None)  # a lambda's source is its whole line
        held = [] if code is None else [one for one in code.co_consts if not inspect.iscode(one)]
        held += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        held += getattr(value, "__defaults__", None) or ()
        return [value.__module__, value.__qualname__, hashlib.sha256(text.encode()).hexdigest()[:16], description(held)]
    if is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: description(getattr(value, one.name)) for one in fields(value)}
        return {"type": type(value).__qualname__, **parts}
    if isinstance(value, Mapping):
        return {str(key): description(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [description(one) for one in value]
    if isinstance(value, (str, int, float, bool, Path, type(None))):
        return plain(value)
    return [type(value).__qualname__, str(value)]
