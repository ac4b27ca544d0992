"""Formats by name or in one line of text, for configs and command lines."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from segkit.files import nearest
from segkit.rle import TEXTS
from segkit.submission.coco import CocoFile
from segkit.submission.format import Format
from segkit.submission.known import KNOWN
from segkit.submission.labels import PixelLabels
from segkit.submission.mask_files import MaskFiles
from segkit.submission.specs import with_settings
from segkit.submission.table import SubmissionFormat

KINDS: dict[str, Format] = {"labels": PixelLabels(), "files": MaskFiles(), "coco": CocoFile()}
"""{the word that begins its line: the format with its defaults}."""


def parse(text: str, base: SubmissionFormat | None = None) -> Format:
    """The format that a line of text describes.

    Args:
        text: Settings such as "columns=ImageId,EncodedPixels order=F empty=-1" of a SubmissionFormat; or first the
            name of a competition ("severstal"), of a layout of RLE ("kaggle-columns-1"), of another kind ("labels",
            "files", "coco"), or the path of a sample submission, and then settings. str(format) is such a line.
        base: Where the settings come from that the text leaves open; default SubmissionFormat().

    Returns:
        The format.

    Raises:
        ValueError: For names and settings that are not known.

    Example:
        >>> parse("severstal")
        SubmissionFormat(columns=('ImageId_ClassId', 'EncodedPixels'), key='{image}_{class}', order='F', start=1,
         relative=False, empty='', objects=False)
        >>> str(parse("labels size=128,128"))
        'labels size=128,128'
    """
    base = SubmissionFormat() if base is None else base
    words = shlex.split(text)
    if not words or "=" in words[0] or words[0] in ("relative", "objects"):
        return with_settings(base, words)
    name, settings = words[0], words[1:]
    if name in TEXTS:
        layout = TEXTS[name]
        return with_settings(
            replace(base, order=layout.order, start=layout.start, relative=layout.relative), settings  # type: ignore[arg-type]
        )  # fmt: skip
    if name in KNOWN:
        return with_settings(parse(KNOWN[name]), settings)
    if name in KINDS:
        return with_settings(KINDS[name], settings)
    if Path(name).is_file():
        given = with_settings(SubmissionFormat(), settings)
        fields = {word.partition("=")[0] for word in settings}
        return SubmissionFormat.from_sample(name, **{field: getattr(given, field) for field in fields})
    raise ValueError(f"no format {name!r}; {nearest(name, [*KNOWN, *TEXTS, *KINDS])}; or settings such as order=F")
