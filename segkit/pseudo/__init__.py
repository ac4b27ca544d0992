"""Pseudo-labels: confident predictions of a teacher as labels, with the other pixels left out of the loss.

Four teams reported -.007, -.002, -.002 and +.003: it pays with a teacher that is clearly better than the student, and
`rounds` refuses any other. `guard` keeps held-out scores honest.
"""

from segkit.pseudo.labels import Labels
from segkit.pseudo.selection import Kind, Selection, select
from segkit.pseudo.teaching import Round, Rounds, TeacherOutput, guard, rounds

__all__ = ["Kind", "Labels", "Round", "Rounds", "Selection", "TeacherOutput", "guard", "rounds", "select"]
