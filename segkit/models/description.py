"""`describe`: a network in words."""

from __future__ import annotations

from typing import Any

from segkit.models.factory import create
from segkit.models.registry import find
from segkit.models.summary import NetworkSummary, summarise


def describe(
    name: str, *, encoder: str | None = None, in_channels: int = 1, classes: int = 1, size: int = 256, **options: object
) -> str:
    """Describe a network: paper, parameters, sizes, options, and its parts.

    Args:
        name: One of `names()`.
        encoder: As in `create`.
        in_channels: Channels of the images.
        classes: Number of classes.
        size: Height and width of the images for which shapes are told, in px.
        **options: As in `create`.

    Returns:
        Text of some 30 lines.

    Raises:
        ValueError: As `create`.

    Example:
        >>> print(describe("unet", encoder="resnet18", classes=2))
        unet (U-Net: Ronneberger, Fischer, Brox, MICCAI 2015)
          good for    ...
          encoder     resnet18
          weights     imagenet, or a file
          parameters  14.32 M for 2 classes and images of 1 channel, of which the encoder 11.17 M
          stride      1: px of the image for one logit before it is resized
          sizes       any; inside, multiples of 32 px and at least 64
          options     decoder_attention_type=None, ...
          parts, what they compute with and give out for 256 x 256 px, and their parameters:
            encoder.conv1      conv 7x7 /2                             64 x 128 x 128      3,264
            encoder.layer1     4 x conv 3x3                              64 x 64 x 64    147,968
            ...
            segmentation_head  conv 3x3                                2 x 256 x 256        290
    """
    row, given = find(name, encoder), dict[str, Any](options)
    model = create(name, classes=classes, in_channels=in_channels, encoder=encoder, **given)
    million = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model, model.encoder) if part is not None]
    part = f", of which the encoder {million[1]:.2f} M" if model.encoder is not None else ""
    settings = row.settings(model.config["encoder"], given)
    found = summarise(model, size=size)
    stride = found.size[0] // found.outputs["out"][0][1]  # 1 too where the body resizes itself
    extra = "; ".join(
        f"{key} {', '.join(map(_shape, shapes))}" for key, shapes in found.outputs.items() if key != "out"
    )
    lines = [
        f"{name} ({row.paper})",
        f"  good for    {row.good_for}",
        f"  encoder     {model.config['encoder'] or ('none' if model.encoder is None else 'its own')}",
        f"  weights     {', '.join(row.weights) or 'none'}, or a file",
        f"  parameters  {million[0]:.2f} M for {_number(classes, 'class', 'classes')} and images of "
        f"{_number(in_channels, 'channel', 'channels')}{part}",
        f"  stride      {stride if stride > 1 else row.stride}: px of the image for one logit before it is resized",
        f"  sizes       any; inside, multiples of {model.size_multiple} px and at least {model.min_size}",
        f"  in training {extra}, beside the logits",
        f"  options     {', '.join(f'{key}={settings[key]!r}' for key in sorted(settings)) or 'none'}",
        f"  parts, what they compute with and give out for {_shape(found.size)} px, and their parameters:",
        *(f"    {line}" for line in table(found)),
    ]
    return "\n".join(line for line in lines if extra or not line.startswith("  in training"))


def table(found: NetworkSummary) -> list[str]:
    """The parts of a network in columns.

    Args:
        found: Its summary.

    Returns:
        A line for each part, and one for what is in none of them.
    """
    rows = [(p.name, p.layers, _shape(p.shape), f"{p.parameters:,}") for p in found.parts]
    wide = [max(len(row[i]) for row in rows) for i in range(4)]
    text = [f"{a:{wide[0]}}  {b:{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}" for a, b, c, d in rows]
    left = ((found.between, "between them"), (found.idle, "frozen: no output needs them"))
    return text + [f"and {count:,} {words}" for count, words in left if count]


def _shape(shape: tuple[int, ...]) -> str:
    """As "64 x 128 x 128"."""
    return " x ".join(map(str, shape))


def _number(count: int, one: str, many: str) -> str:
    """As "1 class" or "2 classes"."""
    return f"{count} {one if count == 1 else many}"
