"""The settings of a recipe: a frozen group for each stage that reads it.

A group enters the key of its stage as a whole (see `stage.py`), so a new field cannot be forgotten there. Two groups
enter no key: `run` says where things are and which folds are meant, `machine` how fast they are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Preset = Literal["demo", "baseline", "strong"]


@dataclass(frozen=True)
class RunSettings:
    """Where things are, and which folds and run folders are meant; in no key: what they hold is."""

    data: Path | None = None
    """Folder of the data, in the layout that the recipe reads; none: the data that the recipe brings."""
    out: Path | None = None
    """The run folder; default runs/NAME."""
    preset: Preset = "demo"
    """Where the other defaults come from: demo (2 cores, minutes), baseline, strong (one 24 GB GPU)."""
    folds: tuple[int, ...] = (0,)
    """Which folds are trained; several are averaged on the test images."""
    members: tuple[str, ...] = ()
    """Stage ensemble: the run folders that are blended, each with oof.zarr and test.zarr."""


@dataclass(frozen=True)
class MachineSettings:
    """How fast it goes, not what comes out; in no key."""

    accelerator: str = "auto"
    """cpu, cuda or auto."""
    workers: int = 2
    """Processes that load data; 0 loads in the main process."""
    channels_last: bool = True
    """Memory format of the network."""
    compile: bool = False
    """torch.compile the network."""
    predict_batch: int = 4
    """Images, or windows, predicted at once."""
    loss_workers: int = 1
    """Stage tune-loss: processes that share the short runs."""


@dataclass(frozen=True)
class DataSettings:
    """Which images there are, and how they are split."""

    limit: int | None = None
    """Use about so many images of each split (whole groups), to try a pipeline out."""
    label_fixes: bool = True
    """Apply the recipe's label fixes to --data; a fix that matches nothing is an error."""
    n_folds: int = 5
    """How many folds of groups there are."""
    stratify: tuple[str, ...] = ()
    """Spread these evenly over the folds: strata of the recipe (pose), columns of the metadata sheet (sex, age ...)."""
    split_seed: int = 0
    """Of the folds, and of data that the recipe draws."""


@dataclass(frozen=True)
class ModelSettings:
    """The network and what it sees."""

    model: str = "unet"
    """A name of segkit.models.names(); another than the preset's begins without its encoder, weights and options."""
    encoder: str | None = None
    """Encoder of the model, where it has a choice."""
    weights: str | None = None
    """"imagenet", or a file of weights; none: random."""
    model_options: str = ""
    """More options of the model, as YAML: "{decoder_channels: [128, 64, 32, 16, 16]}"."""
    in_channels: int | None = None
    """Channels of the network's input; none: those of the recipe's images. 3 repeats grey images."""
    size: tuple[int, ...] = (512,)
    """Network resolution in pixels: one side, or height and width."""
    fit: Literal["stretch", "pad"] = "stretch"
    """How an image is brought to --size: stretched, or with its aspect ratio kept and padded."""

    @property
    def resolution(self) -> tuple[int, int]:
        """The network resolution as (height, width)."""
        return self.size[0], self.size[-1]


@dataclass(frozen=True)
class TrainSettings:
    """What decides the weights, beside data and network."""

    seed: int = 0
    """Of the weights, the order of the images and the augmentation."""
    targets: Literal["soft", "nearest", "nearest-exact"] = "soft"
    """How a mask is brought to the network resolution: soft is the share of each pixel that it covers."""
    augment: str = "medium"
    """none, light, medium or strong, or one of them with other numbers: "medium(clahe=2.0, bend=0.1)"."""
    mix: Literal["none", "mixup", "cutmix", "copypaste"] = "none"
    """Samples made of two (see segkit.data.mixing)."""
    mix_share: float = 0.5
    """With --mix: the share of the samples that are mixed."""
    crop: int | None = None
    """Train on windows of so many pixels of the network resolution, and slide them over an image afterwards."""
    foreground: float = 0.5
    """With --crop: the share of the windows that are sure to hold a class, each class as often as the others."""
    loss: str = "bce + dice"
    """A sum of losses, such as "0.3*bce + 0.7*dice"."""
    aux_weight: float = 0.4
    """Weight of the loss of a network's auxiliary output, where it has one."""
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
    encoder_lr_mult: float = 1.0
    """The encoder's learning rate as a multiple of --lr."""
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
    swa_lr_mult: float = 0.5
    """Multiple of --lr that the schedules swa and swa-cyclic hold, or cycle down from."""
    soup_size: int = 5
    """Checkpoints that a soup is made of: those that validated best."""
    precision: str = "32-true"
    """32-true, bf16-mixed or 16-mixed."""
    validate_every: int = 1
    """Epochs from one full-resolution validation to the next; the last one always is."""

    @property
    def window(self) -> tuple[int, int] | None:
        """What --crop says, as (height, width)."""
        return None if self.crop is None else (self.crop, self.crop)


@dataclass(frozen=True)
class LabelSettings:
    """Pseudo-labels to learn from; in the key of a training that has some."""

    pseudo: Path | None = None
    """Pseudo-labels of test images to learn from too, as the stage pseudo writes them: a folder of fold0, fold1 ..."""
    pseudo_share: float = 0.3
    """With --pseudo: the share of the samples that have them."""


@dataclass(frozen=True)
class PredictSettings:
    """How trained networks look at an image."""

    views: str = "none"
    """Test-time views: none, hflip, d4, or a list such as "hflip, scale(1.25)" (see segkit.tta); stage views: those to
    choose among."""
    tta_merge: str = "mean"
    """Of --views: mean or max of their logits, gmean or an exponent (1: the plain mean) of their probabilities."""
    tta_weights: str = ""
    """Weight of each of --views, 1 where nothing is said, as YAML: "{hflip: 2, '*': 1}"; identity is the image."""
    overlap: float = 0.5
    """With --crop: the share of a window that neighbours see too, in prediction."""


@dataclass(frozen=True)
class TuneSettings:
    """What is tuned on held-out predictions."""

    trials: int = 20
    """Trials of the study over thresholds and post-processing."""


@dataclass(frozen=True)
class ReportSettings:
    """What the report shows."""

    best_shown: int = 2
    """Best held-out images that are shown."""
    worst_shown: int = 4
    """Worst held-out images that are shown."""


@dataclass(frozen=True)
class PseudoSettings:
    """Stage pseudo."""

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
    """Stage pseudo: pixels whose probability is nearer to the threshold weigh nothing."""
    pseudo_cap: str | None = None
    """Stage pseudo: at most so many images that show a class, the most confident, and as many that do not."""
    pseudo_rounds: int = 1
    """Stage pseudo: at most so many; a student with a significant gain teaches the next."""


@dataclass(frozen=True)
class AblateSettings:
    """Stage ablate."""

    ablations: tuple[str, ...] = ()
    """Stage ablate: what is switched on and off; the words after `ablate`."""
    seeds: tuple[int, ...] = (0,)
    """Stage ablate: each variant is trained with each of them, on the same folds."""


@dataclass(frozen=True)
class TuneLossSettings:
    """Stage tune-loss."""

    losses: tuple[str, ...] = ("bce", "dice")
    """Stage tune-loss: the losses of the sum whose weights are searched."""
    loss_trials: int = 24
    """Stage tune-loss: short runs, most of them stopped early."""
    loss_epochs: int | None = None
    """Stage tune-loss: epochs of a short run and of the warm start before; none: a fifth of --epochs, at least 3."""
    loss_finalists: int = 2
    """Stage tune-loss: sums that are trained at full length, beside --loss."""
