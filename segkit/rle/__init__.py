"""Run-length encoding: Kaggle text, COCO and masks to Runs and back, and the algebra of runs.

Nobody needs to decode to ask a question: area, overlap, Dice, union, votes, components and holes are answered on the
runs themselves, in microseconds where a full-resolution array costs milliseconds. rlemasklib stays behind this module.

>>> convert("2 3", (2, 3), source="kaggle-rows-1", target="coco")
{'size': [2, 3], 'counts': '121O0'}
"""

from segkit.rle.coco import from_coco, to_coco
from segkit.rle.files import convert_file
from segkit.rle.formats import FORMATS, Mended, convert, decode, encode, mend, mend_coco
from segkit.rle.runs import EPSILON, Runs, at_least, joined
from segkit.rle.text import RepairWarning

__all__ = [
    "EPSILON",
    "FORMATS",
    "Mended",
    "RepairWarning",
    "Runs",
    "at_least",
    "convert",
    "convert_file",
    "decode",
    "encode",
    "from_coco",
    "joined",
    "mend",
    "mend_coco",
    "to_coco",
]
