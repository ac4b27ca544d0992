"""Every source gives the same samples of the same data."""

import os
import pickle
import shutil

import numpy as np
import pytest
from sources import CLASSES, SIZE, SOURCES, masks

from segkit.images import ImageSpec
from segkit.rle import Runs
from segkit.samples import Samples

BOTH_ONLY = ("coco polygons", "coco runs", "table")
"""Sources that list their images themselves: c.png, which has no annotation, is none of them."""


@pytest.fixture(params=SOURCES)
def source(request):
    return request.param


def test_the_same_samples(source, tmp_path):
    samples = SOURCES[source](tmp_path / "data")
    assert samples.ids == (("a.png", "b.png") if source in BOTH_ONLY else ("a.png", "b.png", "c.png"))
    assert samples.classes == CLASSES
    assert samples.labelled == ("a.png", "b.png")
    assert samples.exclusive == source.startswith("label ")
    assert samples.sizes == dict.fromkeys(samples.ids, SIZE)
    truth = samples.truth
    for cls, mask in masks().items():
        assert np.array_equal(truth["a.png"][cls].mask(), mask), cls
        assert truth["a.png"][cls] == samples.truth["a.png"][cls]
        assert truth["b.png"][cls] == Runs([])
        assert truth["b.png"][cls].shape == SIZE
    assert list(samples.regions("a.png")) == list(CLASSES)
    assert not any(samples.regions("b.png").values())
    assert samples.ignore("a.png") is None
    assert [problem for problem in samples.problems if problem.kind != "passed-over"] == []


def test_images_groups_and_strata_are_read_alike(source, tmp_path):
    samples = SOURCES[source](
        tmp_path / "data", image=ImageSpec("rgb"), group=r"^(.)\.png$", strata={"pose": {"b.png": "up"}}
    )
    assert [samples.groups[image] for image in ("a.png", "b.png")] == ["a", "b"]
    assert samples.strata == {"pose": {"b.png": "up"}}
    assert samples.read_image("a.png").shape == (*SIZE, 3)
    image = np.random.default_rng(ord("a")).integers(0, 255, SIZE, dtype=np.uint8)
    assert np.array_equal(samples.read_image("a.png")[..., 1], image)


def test_moving_changes_no_fingerprint_and_nothing_hidden_counts(source, tmp_path):
    first = SOURCES[source](tmp_path / "first")
    mark = first.fingerprint()
    for folder in [tmp_path / "first", *folders(tmp_path / "first")]:
        for file in [path for path in folder.iterdir() if path.is_file()]:
            for inside in (".ipynb_checkpoints", "__MACOSX"):
                (folder / inside).mkdir(exist_ok=True)
                shutil.copy(file, folder / inside / file.name)
            shutil.copy(file, folder / f"._{file.name}")
    again = SOURCES[source](tmp_path / "first")
    assert again.ids == first.ids
    assert again.problems == first.problems
    assert again.fingerprint() == mark == SOURCES[source](tmp_path / "second").fingerprint()


def test_linked_folders_are_followed(source, tmp_path):
    SOURCES[source](tmp_path / "data")
    for number, folder in enumerate(reversed(folders(tmp_path / "data"))):
        shutil.move(folder, tmp_path / f"far{number}")
        os.symlink(tmp_path / f"far{number}", folder)
    samples = SOURCES[source](tmp_path / "data")
    assert samples.labelled == ("a.png", "b.png")
    assert np.array_equal(samples.truth["a.png"]["one"].mask(), masks()["one"])


def folders(root):
    """Every folder below, those above first."""
    return sorted(path for path in root.rglob("*") if path.is_dir())


def test_worker_processes_get_the_same(source, tmp_path):
    samples = SOURCES[source](tmp_path / "data")
    samples.truth["a.png"]["one"]
    again = pickle.loads(pickle.dumps(samples))
    assert again.truth["a.png"]["one"] == samples.truth["a.png"]["one"]
    assert again.fingerprint() == samples.fingerprint()


def test_every_source_has_a_row():
    made = {name for name in vars(Samples) if name.startswith("from_")} - {"from_images"}
    used = {name for function in SOURCES.values() for name in function.__code__.co_names if name.startswith("from_")}
    assert made <= used
