"""`python -m benchmarks [NAME ...]`: every claim, measured. Each benchmark is a module with options of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DATA = os.environ.get("SEGKIT_DATA")
CHEST = [str(Path(DATA) / "chest_xray")] if DATA else []

BENCHMARKS: dict[str, list[list[str]]] = {
    "last_mile": [[]],
    "losses": [[]],
    "augmentation": [[], ["--size", "512"]],
    "networks": [[]],
    "overfit": [[]],
    "lecture": [["--write"]],
    "round_trip": [["--chest", *CHEST] if CHEST else []],
    "study_budget": [[]],
    "memory": [[]],
    "training_overhead": [["--size", "224", "--batch", "4", "--persons", "24"]],
    "weak_supervision": [["--seed", "0", "1", "2"]],
    "targets": [["--data", "phantom"], *([["--data", *CHEST]] if CHEST else [])],
}

LONG = {"overfit", "lecture"}
"""Twenty minutes and more: only when they are named."""


def main() -> int:
    chosen = sys.argv[1:] or [name for name in BENCHMARKS if name not in LONG]
    unknown = [name for name in chosen if name not in BENCHMARKS]
    if unknown:
        print(f"error: no benchmark {unknown[0]}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in chosen:
        for options in BENCHMARKS[name]:
            print(f"\n## python -m benchmarks.{name} {' '.join(options)}\n", flush=True)
            code = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
