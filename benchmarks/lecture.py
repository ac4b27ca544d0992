"""The lecture, run: `python -m benchmarks.lecture`, each group of networks on phantom hands, twenty minutes on 2 cores.

48 images of 24 invented persons to learn from, 16 of 8 others to be scored on, all 29 bones at 128 px; every network
is untrained and gets the same 300 batches of 4 images in the same order, BCE + Dice, AdamW, one learning rate that
warms up and falls by a cosine. By-hand networks are narrowed as in `benchmarks.overfit`; DilatedNet's context has half
of the batches, its front end, which is trained first, the other half. The Dice is the mean over images and bones at
128 px, every 50th step: a learning curve, not a leaderboard. The last group learns masks from image labels
(`benchmarks.weak_supervision`, one seed).

Writes docs/lecture/runs.json after each network, and with --write the tables and the curves of the pages from it.
Names run these alone; what runs.json holds of others stays.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmarks import weak_supervision
from benchmarks.overfit import FIRST, SIDE, dice, settings
from competitions.handbone.facts import CLASSES
from competitions.handbone.phantom import draw
from segkit import losses, models
from segkit.data import SegmentationData
from segkit.files import read_json, write_atomic, write_json
from segkit.samples import Samples

PAGES = Path(__file__).parents[1] / "docs" / "lecture"
RUNS = PAGES / "runs.json"
GROUPS: dict[str, tuple[str, ...]] = {
    "fcn": ("fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16"),
    "decoders": ("deconvnet", "segnet", "segnet_basic", "fcdensenet56"),
    "dilation": ("dilatednet_frontend", "dilatednet_context", "deeplabv1_largefov", "deeplabv2_vgg16", "deeplabv3plus"),
    "unets": ("unet", "unetpp", "unet3plus", "resunet", "attention_unet", "multiresunet"),
    "hrnet-segformer": ("hrnetv2_w18", "hrnetv2_ocr_w18", "segformer_b0"),
}
WEAK = "weak-supervision"
WIDTHS = {"fcdensenet56": 0.5}  # its full width, which overfits within minutes, takes twelve here
BATCH, STEPS, EVERY, PERSONS, HELD_OUT = 4, 300, 50, 32, 8
SHOWN = (50, 150, 300)  # the steps whose Dice the tables have

Batch = tuple[Tensor, Tensor]


def hands() -> tuple[Batch, Batch]:
    """Images (N, 1, 128, 128) and soft masks (N, 29, 128, 128), to learn from and to be scored on: persons apart."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(Path(folder) / "phantom", persons=PERSONS, test_persons=0, seed=0, size=512)
        hands = Samples.from_folder(drawn, classes=CLASSES)
        data = SegmentationData(hands, size=(SIDE, SIDE))
        samples: list[dict[str, Any]] = [data[i] for i in range(len(hands))]
    groups = list(hands.groups.values())
    held_out = set(sorted(set(groups))[-HELD_OUT:])

    def of(wanted: bool) -> Batch:
        chosen = [s for s, group in zip(samples, groups) if (group in held_out) == wanted]
        return torch.stack([s["image"] for s in chosen]), torch.stack([s["target"] for s in chosen])

    return of(False), of(True)


def weak() -> dict[str, float]:
    """Masks from image labels, one seed: {stage: Dice}."""
    return {kind: round(score, 4) for kind, score in weak_supervision.run(seed=0).dice.items()}


def run(name: str, learn: Samples, held_out: Samples, steps: int, lr: float) -> dict[str, Any]:
    """Train one network; its learning curve [[step, Dice], ...] and what it cost."""
    torch.manual_seed(0)
    narrow = settings(name) | ({"width": WIDTHS[name]} if name in WIDTHS else {})
    parts, done, curve, seconds = [*([FIRST[name]] if name in FIRST else []), name], 0, list[list[float]](), 0.0
    front = None
    for place, part in enumerate(parts, 1):
        model = models.create(part, classes=CLASSES, **narrow)
        if front is not None and model.encoder is not None:
            model.encoder.load_state_dict(front.body.state_dict())
        last = steps * place // len(parts)
        seconds += train(model, learn, held_out, range(done + 1, last + 1), lr, curve)
        front, done = model, last
    return {
        "width": narrow.get("width"),
        "params": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds, 1),
        "curve": curve,
    }


def train(
    model: nn.Module, learn: Samples, held_out: Samples, steps: range, lr: float, curve: list[list[float]]
) -> float:
    """Train in place, with a rate that rises and falls over these steps, and append to the curve; -> seconds."""
    loss = losses.build("bce + dice")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=len(steps), pct_start=0.1)
    order = torch.Generator().manual_seed(steps.start)
    image, target = learn
    truth, seconds = (held_out[1] > 0.5).float(), 0.0
    for step in steps:
        begun = perf_counter()
        chosen = torch.randperm(len(image), generator=order)[:BATCH]
        optimizer.zero_grad()
        loss(model.train()(image[chosen]), target[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seconds += perf_counter() - begun
        if step % EVERY == 0 or step == steps[-1]:
            with torch.no_grad():
                logits = torch.cat([model.eval()(part) for part in held_out[0].split(8)])
            curve.append([step, round(dice(logits, truth), 4)])
    return seconds


def table(group: str, runs: dict[str, Any]) -> str:
    """The Markdown table of a group."""
    if group == WEAK:
        rows = [f"| {name} | {score:.3f} |" for name, score in runs[WEAK].items()]
        return "\n".join(["| of 64 held-out images | Dice |", "|---|---:|", *rows]) + "\n"
    columns = ("network", "width", "params M", "seconds", *(f"Dice after {step}" for step in SHOWN))
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    for name in GROUPS[group]:
        row, curve = runs[name], dict(map(tuple, runs[name]["curve"]))
        width = f"x {row['width']:g}" if row["width"] else "1"
        scores = (f"{curve[step]:.3f}" for step in SHOWN)
        lines.append(
            f"| `{name}` | {width} | {row['params'] / 1e6:.1f} | {row['seconds']:.0f} | {' | '.join(scores)} |"
        )
    return "\n".join(lines) + "\n"


def chart(group: str, runs: dict[str, Any], path: Path) -> None:
    """The learning curves of a group, each named at its end."""
    with matplotlib.rc_context({"svg.hashsalt": group, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7.5, 3.6), layout="constrained", facecolor="white")
        ax = figure.subplots()
        ends: list[tuple[float, str, Any]] = []
        for name in GROUPS[group]:
            steps, scores = zip(*runs[name]["curve"])
            (line,) = ax.plot(steps, scores, marker="o", markersize=3)
            ends.append((scores[-1], name, line.get_color()))
        height = -1.0
        for score, name, colour in sorted(ends):
            height = max(score, height + 0.055)
            ax.annotate(name, (steps[-1], height), (8, -3), textcoords="offset points", color=colour, fontsize=8)
        ax.set(xlabel="batches of 4 images", ylabel="Dice, persons held out", ylim=(0, max(1.0, height + 0.03)))
        ax.set_xlim(0, steps[-1] * 1.32)
        ax.set_xticks(steps[1::2])
        ax.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})


def write(runs: dict[str, Any]) -> None:
    """Tables between the marks of the pages, and the curves beside them."""
    for group in (*GROUPS, WEAK):
        page = PAGES / f"{group}.md"
        before, _, after = re.split("(?<=<!-- table -->\n)(.*)(?=<!-- end -->)", page.read_text(), flags=re.DOTALL)
        write_atomic(page, before + table(group, runs) + after)
        if group != WEAK:
            chart(group, runs, PAGES.parent / "images" / f"lecture-{group}-curves.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [name for group in GROUPS.values() for name in group]
    parser.add_argument("names", nargs="*", help=f"networks, or {WEAK}; default: all")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes, a thread each")
    parser.add_argument("--write", action="store_true", help="tables and curves of the pages, from runs.json")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in (*known, WEAK)]:
        parser.error(f"{unknown[0]} is not in the lecture; known: {', '.join(known)}, {WEAK}")
    runs: dict[str, Any] = read_json(RUNS) if RUNS.is_file() else {}
    names = given.names or [*known, WEAK]
    names.sort(key=lambda name: -runs.get(name, {}).get("seconds", 1e9))  # the longest first: none is left at the end
    learn, held_out = hands()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        making = {
            pool.submit(weak) if name == WEAK else pool.submit(run, name, learn, held_out, given.steps, given.lr): name
            for name in names
        }
        for made in as_completed(making):
            runs[making[made]] = made.result()
            write_json(RUNS, runs)
            print(f"{making[made]}: {list(made.result().values())[-1]}", flush=True)
    if given.write:
        write(runs)


if __name__ == "__main__":
    main()
