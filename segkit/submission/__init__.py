"""The submission file: `image_name,class,rle`, one row for each image and class; and MaskSet, what it is read as.

Files are streamed: neither reading, voting, validating nor comparing needs memory that grows with the texts.
"""

from segkit.masks import MaskSet, as_masks, true_runs
from segkit.rle.tables import COLUMNS
from segkit.submission.checks import validate
from segkit.submission.differences import Difference, Summary, diff, summarise
from segkit.submission.table import read, write

__all__ = [
    "COLUMNS",
    "Difference",
    "MaskSet",
    "Summary",
    "as_masks",
    "diff",
    "read",
    "summarise",
    "true_runs",
    "validate",
    "write",
]
