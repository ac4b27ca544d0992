"""Pseudo-labels: what a teacher says of images without truth, where it is sure, with the rest left out of the loss.

Four teams reported -.007, -.002, -.002 and +.003: it pays with a teacher that is clearly better than the student, and
`rounds` refuses any other. `guard` keeps held-out scores honest.
"""

from segkit.pseudo.selection import Kind, Labels, Selection, select
from segkit.pseudo.teaching import Round, Rounds, Taught, guard, rounds

__all__ = ["Kind", "Labels", "Round", "Rounds", "Selection", "Taught", "guard", "rounds", "select"]
