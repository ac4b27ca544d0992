"""Every problem of a data set, with file, image and class, before anything is trained."""

from segkit.audit.checks import Case, Problem, audit, summarise

__all__ = ["Case", "Problem", "audit", "summarise"]
