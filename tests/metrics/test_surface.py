"""Distances of outlines: MONAI's own values, and edges."""

import numpy as np
import pytest

from segkit.metrics import Hausdorff, SurfaceDice
from segkit.rle import Runs

ROWS, COLUMNS = np.mgrid[:40, :50]
DISC = (ROWS - 18) ** 2 + (COLUMNS - 20) ** 2 <= 12**2
RING = DISC & ((ROWS - 18) ** 2 + (COLUMNS - 20) ** 2 > 6**2)
BOX = (ROWS >= 10) & (ROWS < 33) & (COLUMNS >= 14) & (COLUMNS < 38)
CORNER = (ROWS + COLUMNS) <= 30  # touches two edges of the image
PAIRS = {"disc, box": (DISC, BOX), "ring, disc": (RING, DISC), "corner, disc": (CORNER, DISC)}

# MONAI 1.7: compute_surface_dice(pred, truth, class_thresholds=[t], include_background=True) at t = 0, 1, 2.5, 4, and
# compute_hausdorff_distance(pred, truth, include_background=True, percentile=p) at p = 100, 95, 50
MONAI = {
    "disc, box": ([0.025974, 0.0779221, 0.2402597, 0.5649351], [10.630146, 8.941795, 3.864328]),
    "ring, disc": ([0.7804878, 0.7804878, 0.7804878, 0.7804878], [5.0, 5.0, 0.0]),
    "corner, disc": ([0.025974, 0.0779221, 0.1298701, 0.2207792], [16.970562, 16.970562, 8.062258]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_are_monais(name):
    pred, truth = ({"a": {"x": mask}} for mask in PAIRS[name])
    dice, distance = MONAI[name]
    assert [SurfaceDice(tolerance=t)(pred, truth) for t in (0, 1, 2.5, 4)] == pytest.approx(dice, abs=1e-6)
    assert [Hausdorff(percentile=p)(pred, truth) for p in (100, 95, 50)] == pytest.approx(distance, abs=1e-5)


def test_only_the_box_of_both_masks_matters():
    far = [np.zeros((400, 500), bool) for _ in range(2)]
    for large, mask in zip(far, PAIRS["disc, box"]):
        large[200:240, 300:350] = mask
    pred, truth = ({"a": {"x": mask}} for mask in far)
    assert SurfaceDice(tolerance=1)(pred, truth) == pytest.approx(MONAI["disc, box"][0][1], abs=1e-6)


def test_a_distance_needs_the_size_of_the_image():
    with pytest.raises(ValueError, match="image a, class x: expected masks that know their image's size"):
        Hausdorff()({"a": {"x": Runs([[0, 2]])}}, {"a": {"x": Runs([[0, 3]])}})
