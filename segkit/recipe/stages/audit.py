"""Stage audit: the data is there, and every problem of it is known before anything is trained."""

from __future__ import annotations

from segkit.audit import UNUSABLE, Problem, audit, summarise
from segkit.files import read_json, write_json
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute


def work(run: Run) -> None:
    """Write audit.json: the data folder, every finding, and the training images that cannot be used."""
    train, test = run.inputs.everything
    problems = audit(train, test, rules=run.recipe.rules)
    unusable = sorted({problem.image for problem in problems if problem.kind in UNUSABLE})
    found = {"data": run.inputs.data, "unusable": unusable, "problems": [list(problem) for problem in problems]}
    write_json(run.folder / "audit.json", found)


AUDIT = Stage("audit", work, makes=("audit.json",), facts=("rules",), inputs=("everything",))


def run_stage(run: Run) -> None:
    """Find or draw the data, audit it, and print what is wrong."""
    run.say(f"  data: {run.inputs.data}")  # the recipe's own data is drawn here
    ran = execute(AUDIT, run)
    problems = read_problems(run)
    kinds = summarise(problems)
    note = "" if ran else " (as before)"
    run.say(f"  {run.inputs.data}: {len(problems)} findings{note}" + (f": {kinds}" if kinds else ""), markup=False)
    for p in (p for p in problems if p.severity == "problem"):
        out = " (left out of training)" if p.kind in UNUSABLE else ""
        where = f"{p.file}, class {p.cls}" if p.cls else p.file
        run.say(f"  {p.kind}: {where}: {p.message}{out}", markup=False)
    for fix in run.inputs.fixes:
        run.say(f"  fix: {fix.image}: {fix.kind} {', '.join(fix.labels)} ({fix.why})", markup=False)


def read_problems(run: Run) -> list[Problem]:
    """Read what the audit found."""
    return [Problem(*row) for row in read_json(run.folder / "audit.json")["problems"]]
