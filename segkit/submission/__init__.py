"""Submission files of any competition: written, read, checked, compared and converted.

A format is a value: SubmissionFormat for CSVs with RLE, PixelLabels for label strings, MaskFiles for one mask file an
image, CocoFile for COCO run lengths. Each has write, read and validate; the functions of these names here are those of
the default, `image_name,class,rle`. Files are streamed: neither reading, voting, validating nor comparing needs memory
that grows with the texts.
"""

from segkit.masks import MaskSet, as_masks, true_runs
from segkit.rle.tables import COLUMNS
from segkit.submission.coco import CocoFile
from segkit.submission.convert import convert
from segkit.submission.differences import Difference, Summary, diff, summarise
from segkit.submission.format import Format
from segkit.submission.keys import ONLY_CLASS
from segkit.submission.labels import PixelLabels
from segkit.submission.mask_files import MaskFiles
from segkit.submission.names import FolderSizes
from segkit.submission.parsing import parse
from segkit.submission.table import DEFAULT, SubmissionFormat

read, write, validate = DEFAULT.read, DEFAULT.write, DEFAULT.validate

__all__ = [
    "COLUMNS",
    "DEFAULT",
    "ONLY_CLASS",
    "CocoFile",
    "Difference",
    "FolderSizes",
    "Format",
    "MaskFiles",
    "MaskSet",
    "PixelLabels",
    "SubmissionFormat",
    "Summary",
    "as_masks",
    "convert",
    "diff",
    "parse",
    "read",
    "summarise",
    "true_runs",
    "validate",
    "write",
]
