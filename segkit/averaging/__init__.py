"""Averages of weights: along a run (EMA, SWA), of checkpoints, and of those that help (greedy soup)."""

from segkit.averaging.norms import Measured, has_batch_norm, measured_bn, update_bn
from segkit.averaging.running import EMA, SWA
from segkit.averaging.soup import Soup, average, greedy_soup
from segkit.models.checkpoints import load_weights, save_weights

__all__ = [
    "EMA", "SWA", "Measured", "Soup", "average", "greedy_soup", "has_batch_norm", "load_weights", "measured_bn",
    "save_weights", "update_bn",
]  # fmt: skip
