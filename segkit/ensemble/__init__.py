"""Several models or submissions, one answer."""

from segkit.ensemble.blending import blend, blended
from segkit.ensemble.members import Members, members
from segkit.ensemble.search import NestedBlend, held_out, nested, shrunk
from segkit.ensemble.space import BlendSpace
from segkit.ensemble.voting import vote

__all__ = [
    "BlendSpace",
    "Members",
    "NestedBlend",
    "blend",
    "blended",
    "held_out",
    "members",
    "nested",
    "shrunk",
    "vote",
]
