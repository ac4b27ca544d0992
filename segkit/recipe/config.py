"""One frozen dataclass holds every setting of a recipe; options.py fills it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from segkit.files import nearest

Stage = Literal[
    "audit", "train", "predict", "tune", "submit", "report", "tune-loss", "ablate", "pseudo", "ensemble", "views"
]
STAGES: tuple[Stage, ...] = ("audit", "train", "predict", "tune", "submit", "report")
ASIDE: tuple[Stage, ...] = ("tune-loss", "ablate", "pseudo", "ensemble", "views")
"""Stages beside the line: only where they are named."""
ORDER: tuple[Stage, ...] = (*STAGES[:2], "views", "predict", "ensemble", *STAGES[3:], "tune-loss", "ablate", "pseudo")
"""As they run where several are named: predict takes the views that were kept, and it is the blend that is tuned."""
Preset = Literal["demo", "baseline", "strong"]


@dataclass(frozen=True)
class Config:
    """Every setting of a recipe."""

    data: Path | None = None
    """Folder in the competition's layout (train/DCM, train/outputs_json, test/DCM); none: the embedded default."""
    out: Path | None = None
    """The run folder; default runs/NAME."""
    preset: Preset = "demo"
    """Where the other defaults come from: demo (2 cores, minutes), baseline, strong (one 24 GB GPU)."""
    seed: int = 0
    """Of the folds, the weights, the order and the augmentation."""
    limit: int | None = None
    """Use about so many images of each split (whole persons), to try a line out."""
    n_folds: int = 5
    """How many folds of persons there are."""
    folds: tuple[int, ...] = (0,)
    """Which of them are trained; several are averaged on the test images."""
    stratify: tuple[str, ...] = ()
    """Spread these evenly over the folds: the recipe's groups (pose), columns of the metadata sheet (sex, age ...)."""
    label_fixes: bool = True
    """Apply the recipe's label fixes to --data; a fix that matches nothing is an error."""

    model: str = "unet"
    """A name of segkit.models.names(); another than the preset's begins without its encoder, weights and options."""
    encoder: str | None = None
    """Encoder of the model, where it has a choice."""
    weights: str | None = None
    """"imagenet", or a file of weights; none: random."""
    model_options: str = ""
    """More options of the model, as YAML: "{decoder_channels: [128, 64, 32, 16, 16]}"."""
    in_channels: int = 1
    """1, or 3 for networks that cannot take one."""
    size: int = 512
    """Side of the network's grid, in cells: the image is stretched over size x size."""

    crop: int | None = None
    """Train on windows of so many cells of the grid, and slide them over an image afterwards; none: whole images."""
    foreground: float = 0.5
    """With --crop: the share of the windows that are sure to hold a class, each class as often as the others."""

    targets: Literal["soft", "nearest", "nearest-exact"] = "soft"
    """How a mask is brought to the grid: soft is the share of each cell that it covers."""
    augment: str = "medium"
    """none, light, medium or strong, or one of them with other numbers: "medium(clahe=2.0, bend=0.1)"."""
    mix: Literal["none", "mixup", "cutmix", "copypaste"] = "none"
    """Samples made of two (see segkit.data.mixing)."""
    mix_share: float = 0.5
    """With --mix: the share of the samples that are."""
    pseudo: Path | None = None
    """Pseudo-labels of test images to learn from too, as the stage pseudo writes them: a folder of fold0, fold1 ..."""
    pseudo_share: float = 0.3
    """With --pseudo: the share of the samples that have them."""
    loss: str = "bce + dice"
    """A sum of losses, such as "0.3*bce + 0.7*dice"."""
    aux_weight: float = 0.4
    """What the loss of a network's auxiliary output counts, where it has one."""
    epochs: int = 30
    """Passes over the training images."""
    batch_size: int = 8
    """Images of one forward pass, over all processes together."""
    accumulate: int = 1
    """Batches summed before the optimizer steps."""
    lr: float = 1e-3
    """Highest learning rate, after the warm-up."""
    weight_decay: float = 1e-2
    """On weights of two and more dimensions."""
    optimizer: str = "adamw"
    """A name of segkit.optim.names()."""
    encoder_lr: float = 1.0
    """The encoder's learning rate, as a share of --lr."""
    freeze_epochs: int = 0
    """So many epochs the encoder keeps its weights, while the decoder learns."""
    schedule: Literal["cosine", "poly", "one-cycle", "constant", "swa", "swa-cyclic"] = "cosine"
    """Of the learning rate after the warm-up."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up."""
    lr_floor: float = 0.0
    """Share of --lr that the schedules cosine, poly and one-cycle end at."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    averaging: Literal["none", "ema", "swa", "soup"] = "ema"
    """Average of weights: along the run (ema, swa), or of the checkpoints that help (soup)."""
    ema_decay: float = 0.999
    """Of the exponential moving average."""
    swa_start: float = 0.75
    """Share of the run after which SWA averages, and its schedules hold or cycle."""
    swa_lr: float = 0.5
    """Share of --lr that the schedules swa and swa-cyclic hold, or cycle down from."""
    soup_size: int = 5
    """Checkpoints that a soup is made of: those that validated best."""
    precision: str = "32-true"
    """32-true, bf16-mixed or 16-mixed."""
    accelerator: str = "auto"
    """cpu, cuda or auto."""
    channels_last: bool = True
    """Memory format of the network."""
    compile: bool = False
    """torch.compile the network."""
    workers: int = 2
    """Processes that load data; 0 loads in the main process."""
    validate_every: int = 1
    """Epochs from one full-resolution validation to the next; the last one always is."""

    views: str = "none"
    """Test-time views: none, hflip, d4, or a list such as "hflip, scale(1.25)" (see segkit.tta); stage views: those to
    choose among."""
    tta_merge: str = "mean"
    """Of --views: mean or max of their logits, gmean or an exponent (1: the plain mean) of their probabilities."""
    tta_weights: str = ""
    """What each of --views counts, 1 where nothing is said, as YAML: "{hflip: 2, '*': 1}"; identity is the image."""
    overlap: float = 0.5
    """With --crop: the share of a window that neighbours see too, in prediction."""
    predict_batch: int = 4
    """Images, or windows, predicted at once."""
    trials: int = 20
    """Trials of the study over thresholds and post-processing."""

    losses: tuple[str, ...] = ("bce", "dice")
    """Stage tune-loss: the losses of the sum whose shares are searched."""
    loss_trials: int = 24
    """Stage tune-loss: short runs, most of them stopped early."""
    loss_epochs: int | None = None
    """Stage tune-loss: epochs of a short run and of the warm start before; none: a fifth of --epochs, at least 3."""
    loss_finalists: int = 2
    """Stage tune-loss: sums that are trained at full length, beside --loss."""
    loss_workers: int = 1
    """Stage tune-loss: processes that share the short runs."""
    ablations: tuple[str, ...] = ()
    """Stage ablate: what is switched on and off; the words after `ablate`."""
    seeds: tuple[int, ...] = (0,)
    """Stage ablate: each variant is trained with each of them, on the same folds."""

    teacher: tuple[str, ...] = ()
    """Stage pseudo: run folders whose mean labels the test images, the same folds trained in each."""
    pseudo_kind: Literal["soft", "hard"] = "soft"
    """Stage pseudo: labels are the teacher's probabilities, or its masks."""
    pseudo_confidence: str = "0.9"
    """Stage pseudo: least Dice that the teacher's probabilities expect of a class of an image. This, agreement and cap
    are a number, or one for each class as YAML: "{Pisiform: 0.8, '*': 0.9}"."""
    pseudo_agreement: str | None = None
    """Stage pseudo: least mean Dice between the masks of each two teachers; none: .9 of several."""
    pseudo_ignore: float = 0.2
    """Stage pseudo: cells whose probability is nearer to the threshold weigh nothing."""
    pseudo_cap: str | None = None
    """Stage pseudo: at most so many images that show a class, the most confident, and as many that do not."""
    pseudo_rounds: int = 1
    """Stage pseudo: at most so many; a student that surely gained teaches the next."""
    members: tuple[str, ...] = ()
    """Stage ensemble: the run folders that are blended, each with oof.zarr and test.zarr."""

    @property
    def window(self) -> tuple[int, int] | None:
        """What --crop says, as (height, width)."""
        return None if self.crop is None else (self.crop, self.crop)


def replace(config: Config, changes: Mapping[str, Any], source: str = "settings") -> Config:
    """`config` with other values. ValueError names an unknown field and its neighbours, or a value of a wrong kind.

    >>> replace(Config(), {"lr": 3e-4}).lr
    0.0003
    >>> replace(Config(), {"batchsize": 4})
    Traceback (most recent call last):
    ValueError: settings: no field 'batchsize'; did you mean batch_size ...
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in fields:
            raise ValueError(f"{source}: no field {name!r}; {nearest(name, fields)}")
        values[name] = _as_field(name, value, str(fields[name].type), source)
    return dataclasses.replace(config, **values)


def _as_field(name: str, value: Any, kind: str, source: str) -> Any:
    """A value of YAML or JSON as the field's type (an annotation's text)."""
    try:
        if value is None:
            if "None" not in kind:
                raise ValueError
            return None
        if kind.startswith("Path"):
            return Path(value)
        if kind.startswith("tuple[int"):
            return tuple(int(v) for v in ([value] if isinstance(value, int) else value))
        if kind.startswith("tuple[str"):
            return tuple(str(v) for v in ([value] if isinstance(value, str) else value))
        if kind == "bool":
            if not isinstance(value, bool):
                raise ValueError
            return value
        if kind.startswith("int"):
            if isinstance(value, bool) or int(value) != float(value):
                raise ValueError
            return int(value)
        if kind.startswith("float"):
            return float(value)
        if kind.startswith("Literal") or kind == "Preset":
            if value not in get_args(Preset if kind == "Preset" else eval(kind, {"Literal": Literal})):
                raise ValueError
            return value
        if not isinstance(value, str):
            return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("\n...")
        return value
    except (TypeError, ValueError):
        raise ValueError(f"{source}: {name} is {value!r}, {kind} is wanted") from None


def read_numbers(option: str, text: str | None) -> Any:
    """What YAML text says: a number, {name: number}, or None. ValueError names the option.

    >>> read_numbers("--pseudo-cap", "{rare: 20, '*': null}")
    {'rare': 20, '*': None}
    """
    try:
        found = None if text in (None, "None") else yaml.safe_load(text)
    except yaml.YAMLError:
        found = text
    for value in found.values() if isinstance(found, dict) else [found]:
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise ValueError(f"{option} {text!r}: a number, or a mapping such as \"{{rare: 2, '*': 1}}\", is wanted")
    return found
