"""The report of a run and the look at its data: one self-contained HTML file each."""

from segkit.report.explore import EDA, eda
from segkit.report.metadata import read_metadata
from segkit.report.overlays import Overlay, viewable
from segkit.report.page import write_eda, write_report
from segkit.report.scores import ReportData

__all__ = ["EDA", "Overlay", "ReportData", "eda", "read_metadata", "viewable", "write_eda", "write_report"]
