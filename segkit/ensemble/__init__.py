"""Several models or submissions, one answer."""

from segkit.ensemble.blending import blend
from segkit.ensemble.members import MemberResult, Members, members
from segkit.ensemble.search import held_out, nested
from segkit.ensemble.space import BlendSpace
from segkit.ensemble.voting import vote
from segkit.ensemble.weights import Blend, shrunk

__all__ = [
    "Blend", "BlendSpace", "MemberResult", "Members", "blend", "held_out", "members", "nested", "shrunk", "vote",
]  # fmt: skip
