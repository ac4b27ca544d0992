"""What views and windows hold: the highest resident memory above model and image, each in a process of its own.

    python -m benchmarks.memory

29 classes; the network is one 1 x 1 convolution, so that what is measured is held by the merging and not by layers.
"plain" is one forward pass, "stacked" the eight views stacked and averaged, as is often done. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CLASSES = 29
LIMITS = {"d4": 400, "sliding": 600}
"""MiB that must be enough."""


def peak_mib() -> float:
    """The highest resident memory since the last `forget`, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def forget() -> None:
    """Begin to look for the highest anew."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(case: str, side: int, window: int) -> float:
    """MiB above what is there before, in this process."""
    import torch

    from segkit.inference.sliding import Sliding
    from segkit.tta import SYMMETRIES, TTA, as_views

    torch.manual_seed(0)
    model = torch.nn.Conv2d(1, CLASSES, 1).eval()
    slides, looks = Sliding(model, (window, window), overlap=0.5), TTA(model, "d4")

    def stacked(image: torch.Tensor) -> torch.Tensor:
        size = (image.shape[2], image.shape[3])
        views = as_views(list(SYMMETRIES))
        return torch.stack([view.undo(model(view.apply(image)), size, size) for view in views]).mean(0)

    def strips(image: torch.Tensor) -> None:
        for _, rows in slides.strips(image):
            rows.mean()  # whatever a strip is reduced to

    cases: dict[str, Callable[[torch.Tensor], object]] = {
        "plain": model, "stacked": stacked, "d4": looks, "sliding": slides, "strips": strips,
        "std": lambda image: looks.uncertainty(image, "std"),
    }  # fmt: skip
    image = torch.randn(1, 1, side, side)
    with torch.inference_mode():
        cases[case](image[..., :64, :64].contiguous())  # libraries set themselves up
        forget()
        before = peak_mib()
        out = cases[case](image)
        after = peak_mib()
    del out
    return after - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views-side", type=int, default=1024)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--case", nargs=2, metavar=("CASE", "SIDE"), help="one of them, here and now")
    given = parser.parse_args()
    if given.case:
        print(measure(given.case[0], int(given.case[1]), given.window))
        return 0
    print("| what | image | result, MiB | held above model and image, MiB | limit |")
    print("|---|---|---|---|---|")
    late = 0
    for case, side in [*((c, given.views_side) for c in ("plain", "d4", "std", "stacked")),
                       *((c, given.side) for c in ("plain", "sliding", "strips"))]:  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.memory", "--case", case, str(side), "--window", str(given.window)]
        held = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        limit = LIMITS.get(case)
        late |= limit is not None and held > limit
        print(f"| {case} | {side} | {CLASSES * side**2 / 2**18:.0f} | {held:.0f} | {limit or ''} |", flush=True)
    return late


if __name__ == "__main__":
    sys.exit(main())
