"""Every problem of a data set before anything is trained, with file, image and class; fixes of known bad labels."""

from segkit.audit.checks import UNUSABLE, audit, summarise
from segkit.audit.fixes import Fix, apply_fixes
from segkit.audit.looking import Case, Rule
from segkit.samples import Problem

__all__ = ["UNUSABLE", "Case", "Fix", "Problem", "Rule", "apply_fixes", "audit", "summarise"]
