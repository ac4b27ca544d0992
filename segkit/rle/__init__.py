"""Run-length encoding: Kaggle text, COCO and masks to Runs and back, and the algebra of runs.

Nobody needs to decode to ask a question: area, overlap, Dice, union, votes, components and holes are answered on the
runs themselves, in microseconds where a full-resolution array costs milliseconds. rlemasklib stays behind this module.

Example:
    >>> convert("2 3", (2, 3), source="kaggle-rows-1", target="coco")
    {'size': [2, 3], 'counts': '121O0'}
"""

from segkit.rle._algebra import EPSILON
from segkit.rle._text import RepairWarning
from segkit.rle.coco import from_coco, to_coco
from segkit.rle.combine import at_least, joined
from segkit.rle.convert import FORMATS, convert, repair_coco
from segkit.rle.formats import TEXTS, RepairResult, TextLayout, decode, encode, read_text, repair, write_text
from segkit.rle.runs import Runs

__all__ = [
    "EPSILON",
    "FORMATS",
    "TEXTS",
    "RepairResult",
    "RepairWarning",
    "Runs",
    "TextLayout",
    "at_least",
    "convert",
    "decode",
    "encode",
    "from_coco",
    "joined",
    "read_text",
    "repair",
    "repair_coco",
    "to_coco",
    "write_text",
]
