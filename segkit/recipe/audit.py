"""Stage 1: the data is there, and every problem of it is known before anything is trained."""

from __future__ import annotations

import hashlib

from segkit.audit import UNUSABLE, Problem, audit, summarise
from segkit.files import digest, write_json
from segkit.recipe.line import Line
from segkit.samples import Samples


def run(line: Line) -> None:
    """Find or draw the data, audit it, write audit.json, print what is wrong."""

    def work() -> None:
        test = (line.data / "test" / "DCM").is_dir()
        splits = [Samples.from_folder(line.data, split, line.classes) for split in ("train", "test")[: 1 + test]]
        problems = audit(*splits, rules=line.recipe.rules)
        found = {"data": line.data, "train": train, "problems": [list(p) for p in problems]}
        write_json(line.folder / "audit.json", found)

    def find() -> None:
        line.say(f"  data: {line.data}")  # the embedded default is drawn here

    line.folder.run("audit.data", [line.config.data, line.config.seed], [], find)
    folder = line.data
    files = [[path.relative_to(folder).as_posix(), path.stat().st_size] for path in sorted(folder.glob("*/DCM/*/*"))]
    labels = hashlib.sha256()  # of what the annotations say: data that is only moved or copied is the same data
    for path in sorted(folder.glob("train/outputs_json/*/*.json"), key=lambda p: (p.parent.name, p.name)):
        labels.update(path.name.encode() + path.read_bytes())
    train = digest([[file for file in files if str(file[0]).startswith("train/")], labels.hexdigest(), line.classes])
    ran = line.folder.run("audit", [files, labels.hexdigest(), line.classes], [line.folder / "audit.json"], work)
    line.__dict__.pop("problems", None)
    show(line, line.problems, "" if ran else " (as before)")


def show(line: Line, problems: list[Problem], note: str) -> None:
    """Print the counts, and every problem in words; notes are common and harmless, audit.json has them."""
    kinds = summarise(problems)
    line.say(f"  {line.data}: {len(problems)} findings{note}" + (f": {kinds}" if kinds else ""))
    serious = [p for p in problems if p.severity == "problem"]
    for p in serious:
        out = " (left out of training)" if p.kind in UNUSABLE else ""
        where = f"{p.file}, class {p.cls}" if p.cls else p.file
        line.say(f"  {p.kind}: {where}: {p.message}{out}")
    for fix in line.fixes:
        line.say(f"  fix: {fix.image}: {fix.kind} {', '.join(fix.labels)} ({fix.why})")
