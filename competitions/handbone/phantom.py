"""Phantom hands on disk, in the competition's own layout: the embedded default of the hand recipe.

train/DCM/ID001/image1661130828152_R.png            8 bit, grey stored as three channels
train/outputs_json/ID001/image1661130828152_R.json  29 labels, finger-3 twice where the sesamoid bone is seen
test/DCM/ID003/image1661131001733.png
meta_data.xlsx   test_truth.csv   poses.csv   phantom.json (settings; what it names is not drawn again)
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl

from competitions.handbone import anatomy, radiograph
from competitions.handbone.facts import CLASSES, POSES, SIDE
from segkit import files
from segkit.geometry import polygons
from segkit.rle import Runs

PARTS = ("train", "test", "meta_data.xlsx", "test_truth.csv", "poses.csv")
STAMP = "phantom.json"


@dataclass(frozen=True)
class _Job:
    out: Path
    split: str
    person: str
    name: str
    side: str
    pose: str
    seed: int
    size: int
    traps: bool


def draw(
    out: str | Path,
    *,
    persons: int,
    test_persons: int,
    seed: int,
    size: int = SIDE,
    tilted_train: float = 0.10,
    tilted_test: float = 0.58,
    workers: int | None = None,
    traps: bool = True,
) -> Path:
    """Draw radiographs of both hands of invented persons and everything that comes with them; returns `out`.

    persons, test_persons: how many in train and in test (two images each); their ids share one range. size: height
    and width in pixels. tilted_*: share of persons whose wrists are tilted, met to the nearest person. workers:
    processes, default one a core. traps: real-looking JSON (a wrong `filename` and `metadata`, annotations in any
    order); without it they are right and in class order.

    Nothing is drawn where `out` holds these very settings, drawn by this very code; other phantoms there are
    replaced. The same settings draw the same files, however many workers. ValueError for settings that make no
    sense and where `out` holds data that is no phantom.
    """
    if persons < 1 or test_persons < 0 or not 64 <= size <= SIDE or (workers is not None and workers < 1):
        raise ValueError(
            f"persons >= 1, test_persons >= 0, size from 64 to {SIDE} and workers >= 1 are wanted, got "
            f"persons={persons}, test_persons={test_persons}, size={size}, workers={workers}"
        )
    if not (0 <= tilted_train <= 1 and 0 <= tilted_test <= 1):
        raise ValueError(f"tilted_train and tilted_test are shares of 1, got {tilted_train} and {tilted_test}")
    out = Path(out)
    settings = {
        "persons": persons,
        "test_persons": test_persons,
        "seed": seed,
        "size": size,
        "tilted_train": tilted_train,
        "tilted_test": tilted_test,
        "traps": traps,
        "code": _code(),
    }
    if _is_drawn(out, settings):
        return out
    files.write_json(out / STAMP, settings | {"done": False})
    jobs = _plan(out, persons, test_persons, (tilted_train, tilted_test), seed, size, traps)
    truth = list(_run(jobs, workers))
    _write_csv(out / "test_truth.csv", ("image_name", "class", "rle"), [row for rows in truth for row in rows])
    _write_csv(out / "poses.csv", ("image_name", "pose"), [(f"{job.name}.png", job.pose) for job in jobs])
    _write_metadata(out / "meta_data.xlsx", jobs, seed)
    files.write_json(out / STAMP, settings | {"done": True})
    return out


def _code() -> str:
    """A hash of everything that decides what a phantom looks like."""
    here = Path(__file__).parent
    names = ["anatomy.py", "facts.py", "flesh.py", "phantom.py", "radiograph.py", "shapes.py"]
    names.append("phantom_statistics.json")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()[:16]


def _is_drawn(out: Path, settings: dict[str, Any]) -> bool:
    """Whether `out` holds these phantoms; others, or half of some, are cleared away."""
    parts = [part for part in PARTS if settings["test_persons"] or part != "test"]
    there = [out / part for part in PARTS if (out / part).exists()]
    if not (out / STAMP).exists():
        if there:
            raise ValueError(f"{there[0]} is there and was not drawn here: give phantoms a folder of their own")
        return False
    if files.read_json(out / STAMP) == settings | {"done": True} and len(there) == len(parts):
        return True
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return False


def _plan(
    out: Path, persons: int, test_persons: int, tilted: tuple[float, float], seed: int, size: int, traps: bool
) -> list[_Job]:
    """Who is where, in which pose and under which name: train first, each split in the order of its persons."""
    rng = np.random.default_rng([seed, 10])
    everyone = np.arange(2, persons + test_persons + 1)
    tested = np.sort(rng.choice(everyone, test_persons, replace=False))
    numbers = {"train": np.setdiff1d(np.arange(1, persons + test_persons + 1), tested), "test": tested}
    jobs = []
    clock = 1661130828152 + 240_000 * np.arange(persons + test_persons + 1) + rng.integers(0, 90_000)
    for (split, people), share in zip(numbers.items(), tilted):
        leaning = set(rng.choice(people, round(share * len(people)), replace=False).tolist())
        for number in people.tolist():
            person, pose = f"ID{number:03d}", POSES[number in leaning]
            first = int(clock[number - 1] + rng.integers(0, 90_000))
            for side, time in (("right", first), ("left", first + int(rng.integers(15_000, 60_000)))):
                name = f"image{time}" + (f"_{side[0].upper()}" if number == 1 else "")
                jobs.append(_Job(out, split, person, name, side, pose, _person_seed(seed, number), size, traps))
    return jobs


def _person_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, 11, number]).generate_state(1)[0])


def _run(jobs: Sequence[_Job], workers: int | None) -> Iterator[list[tuple[str, str, str]]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(workers or cores, (len(jobs) + 3) // 4)
    if workers == 1:
        yield from map(_draw_one, jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_draw_one, jobs, chunksize=2)


def _draw_one(job: _Job) -> list[tuple[str, str, str]]:
    """Write one image and, in train, its JSON; return its rows of the truth, in test."""
    person = anatomy.invent_person(job.seed)
    hand = anatomy.pose_hand(person, side=job.side, pose=job.pose)
    rings = anatomy.rings(hand, size=job.size)
    folder = job.out / job.split / "DCM" / job.person
    picture = cv2.merge([radiograph.render(hand, size=job.size)] * 3)
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED]
    files.write_atomic(folder / f"{job.name}.png", cv2.imencode(".png", picture, fast)[1].tobytes())
    if job.split == "test":
        return [(f"{job.name}.png", name, _runs(rings[name], job.size).text()) for name in CLASSES]
    label = job.out / job.split / "outputs_json" / job.person / f"{job.name}.json"
    files.write_atomic(label, _annotation(job, rings))
    return []


def _runs(rings: list[np.ndarray], size: int) -> Runs:
    points = np.concatenate(rings)
    corner = points.min(axis=0)
    width, height = (points.max(axis=0) - corner + 1).tolist()
    mask = polygons.rasterize([ring - corner for ring in rings], (height, width))
    return Runs.from_region(mask.astype(bool), int(corner[1]), int(corner[0]), (size, size))


def _annotation(job: _Job, rings: dict[str, list[np.ndarray]]) -> str:
    rng = np.random.default_rng([job.seed, 12, job.side == "left"])
    labels = [(name, ring) for name in CLASSES for ring in rings[name]]
    side = job.size
    if job.traps:
        labels = [labels[place] for place in rng.permutation(len(labels))]
        side = 3060
    content = {
        "annotations": [
            {
                "id": rng.bytes(12).hex(),
                "type": "poly_seg",
                "attributes": {},
                "points": ring.tolist(),
                "label": name,
            }
            for name, ring in labels
        ],
        "attributes": {},
        "file_id": rng.bytes(12).hex(),
        "filename": f"{job.name}.{'jpg' if job.traps else 'png'}",
        "parent_path": f"/{job.split}/DCM/{job.person}",
        "last_modifier_id": rng.bytes(12).hex(),
        "metadata": {"height": side, "width": side},
        "last_workers": [rng.bytes(12).hex()],
    }
    return json.dumps(content, ensure_ascii=False)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    files.write_atomic(path, text.getvalue())


def _write_metadata(path: Path, jobs: Sequence[_Job], seed: int) -> None:
    """The sheet as it was handed out: Korean headings, a nameless column, sexes typed in several ways."""
    rng = np.random.default_rng([seed, 13])
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("ID")
    sheet.append(["ID", "나이", "성별", "체중(몸무게)", "키(신장)", None])
    for number, person_seed in sorted({int(job.person[2:]): job.seed for job in jobs}.items()):
        person = anatomy.invent_person(person_seed)
        sex = {"F": "여", "M": "남"}[person.sex]
        typed = rng.choice([sex, f" {sex}", f"_x0008_{sex}"], p=[0.86, 0.09, 0.05])
        note = "R/L 표기" if number == 1 else None  # who typed it gave the column no heading
        sheet.append([number, person.age, str(typed), person.weight, person.height, note])
    content = io.BytesIO()
    book.save(content)
    files.write_atomic(path, content.getvalue())
