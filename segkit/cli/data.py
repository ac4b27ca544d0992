"""What can be asked of a data folder, and of the networks."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from segkit.cli.shared import class_names


def audit(data: tyro.conf.Positional[Path], classes: str | None = None, everything: bool = False) -> int:
    """Every problem of a data folder, with file, image and class.

    Args:
        data: Folder that holds train/DCM, train/outputs_json and, where there is one, test/DCM.
        classes: The labels: a file with one a line, or names with commas; default: DATA/classes.txt, else any.
        everything: Print also what is common and harmless, line by line.
    """
    from segkit.audit import audit as look
    from segkit.audit import summarise
    from segkit.samples import Samples

    train = Samples.from_folder(data, "train", class_names(data, classes))
    test = Samples.from_folder(data, "test", train.classes) if (data / "test" / "DCM").is_dir() else None
    problems = look(train, test)
    for p in problems:
        if everything or p.severity == "problem":
            where = f"{p.file}, class {p.cls}" if p.cls else p.file
            print(f"{p.kind}: {where}: {p.message}")
    print(f"{len(problems)} findings: {summarise(problems)}")
    return 1 if any(p.severity == "problem" for p in problems) else 0


def eda(data: tyro.conf.Positional[Path], out: Path = Path("eda.html"), classes: str | None = None) -> int:
    """One page about a data folder: sizes, areas, places and overlaps of the classes, groups.

    Args:
        data: Folder in the competition's layout.
        out: The page to write.
        classes: As for audit.
    """
    from segkit import report
    from segkit.samples import Samples

    train = Samples.from_folder(data, "train", class_names(data, classes))
    test = None
    try:
        test = Samples.from_folder(data, "test", train.classes)
    except ValueError:
        print(f"{data} has no test images; the page is about the training images", file=sys.stderr)
    sheet = data / "meta_data.xlsx"
    metadata = report.read_metadata(sheet) if sheet.is_file() else None
    report.write_eda(out, report.eda(train, test, metadata=metadata), title=str(data))
    print(out)
    return 0
