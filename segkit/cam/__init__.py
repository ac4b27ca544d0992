"""Weak supervision: from which classes an image has to where they are.

A classifier's activation maps (`cam`, `grad_cam`, `score_cam`), their mean over views, seeds with pixels to ignore,
refinement by a random walk, and Puzzle-CAM's regularisation. What comes out is (target, weight), as losses take them,
or logits for a PredictionStore.
"""

from segkit.cam.maps import cam, grad_cam, over_views, score_cam
from segkit.cam.puzzle import Classifier, merged, puzzle, tiles
from segkit.cam.seeds import CONFLICTS, Seeds, as_logits, normalised, seeds
from segkit.cam.walk import Affinity, affinity, affinity_loss, colour_affinity, walk

__all__ = [
    "CONFLICTS", "Affinity", "Classifier", "Seeds", "affinity", "affinity_loss", "as_logits", "cam", "colour_affinity",
    "grad_cam", "merged", "normalised", "over_views", "puzzle", "score_cam", "seeds", "tiles", "walk",
]  # fmt: skip
