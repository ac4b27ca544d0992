"""What exists is whole, JSON says what was meant, and equal settings have equal hashes."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from segkit import files


def test_text_and_bytes_arrive_as_they_are(tmp_path):
    files.write_atomic(tmp_path / "new/folder/a.txt", "뼈\nend\r\n")
    assert (tmp_path / "new/folder/a.txt").read_bytes() == "뼈\nend\r\n".encode()
    files.write_atomic(tmp_path / "a.bin", b"\x00\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("before", [None, "old"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "a.txt"
    if before is not None:
        path.write_text(before)

    def fails():
        with files.replacing(path) as part:
            part.write_text("half")
            assert part.parent == path.parent
            assert part.suffix == path.suffix
            assert not path.exists() or path.read_text() == before
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fails()
    assert sorted(p.name for p in tmp_path.iterdir()) == ([] if before is None else ["a.txt"])
    assert before is None or path.read_text() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read_what_is_written(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        files.write_atomic(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_link_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real/a.txt")
    (tmp_path / "new.txt").symlink_to("real/new.txt")
    for name, target in (("link.txt", "a.txt"), ("new.txt", "new.txt")):
        files.write_atomic(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "real" / target).read_text() == "new"
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["a.txt", "new.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_devices_and_pipes_are_written_to_and_stay(tmp_path):
    files.write_atomic("/dev/null", "x")
    assert not Path("/dev/null").is_file()
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: seen.append((tmp_path / "pipe").read_bytes()))
    seen = []
    reader.start()
    files.write_atomic(tmp_path / "pipe", "through")
    reader.join(5)
    assert seen == [b"through"]
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    code = "from segkit import files; files.write_atomic('/dev/stdout', 'said')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "said"


def write_often(path, letter):
    for _ in range(50):
        files.write_atomic(path, letter * 20_000)


def test_two_writers_never_mix(tmp_path):
    path = tmp_path / "a.txt"
    write_often(path, "a")
    writer = multiprocessing.get_context("spawn").Process(target=write_often, args=(path, "b"))
    writer.start()
    seen = set()
    while writer.is_alive():
        text = path.read_text()
        seen.add((text[0], len(text), len(set(text))))
        files.write_atomic(path, "c" * 20_000)
    writer.join()
    assert writer.exitcode == 0
    assert seen <= {(letter, 20_000, 1) for letter in "abc"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_round_trip_in_plain_terms(tmp_path):
    value = {
        "tuple": (1, 2.5),
        3: np.float32(0.5),
        "array": np.arange(3),
        "path": Path("a/b"),
        "nan": float("nan"),
        "infinite": [np.inf, -np.inf],
        "true": np.bool_(True),
        "text": "뼈",
        "mapping": MappingProxyType({"x": (1,)}),
        "set": {"b", "a"},
        "none": None,
    }
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == {
        "tuple": [1, 2.5],
        "3": 0.5,
        "array": [0, 1, 2],
        "path": str(Path("a/b")),
        "nan": None,
        "infinite": [None, None],
        "true": True,
        "text": "뼈",
        "mapping": {"x": [1]},
        "set": ["a", "b"],
        "none": None,
    }
    assert "뼈" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_floats_keep_every_bit(tmp_path):
    numbers = np.random.default_rng(0).normal(0, 1, 100).tolist()
    files.write_json(tmp_path / "a.json", numbers)
    assert files.read_json(tmp_path / "a.json") == numbers


@pytest.mark.parametrize("content", [b"", b'{"a": 1,}', b"\xff\xfe", b'{"a": 1'])
def test_broken_json_names_the_file(tmp_path, content):
    (tmp_path / "broken.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json is not valid JSON"):
        files.read_json(tmp_path / "broken.json")


def test_equal_settings_equal_hash():
    a = {"x": (1, 2), "y": {"p", "q", "r"}, "z": np.float64(0.1)}
    b = {"z": 0.1, "y": {"r", "q", "p"}, "x": [1, 2]}
    assert files.digest(a) == files.digest(b)
    assert files.digest(a) != files.digest({**a, "z": 0.2})
    assert files.digest({"x": 1}) != files.digest({"x": "1"})


def test_a_hash_is_the_same_in_another_process():
    code = "from segkit.files import digest; print(digest({'y': {'p', 'q', 'r', 's'}}))"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(files.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }
    assert len(hashes) == 1


def test_near_names():
    assert files.nearest("Pisifrom", ["Pisiform", "Ulna"]) == "did you mean Pisiform? Known: Pisiform, Ulna"
    assert files.nearest("zzz", ["b", "a"]) == "Known: a, b"
    assert files.nearest("zzz", []) == "there are none"


def test_neighbours_are_found_by_their_beginnings_and_whatever_the_case():
    assert files.nearest("U-Net++", ["unet", "unetplusplus"]).startswith("did you mean unetplusplus or unet?")
    assert files.nearest("radius", ["Radius", "Ulna"]).startswith("did you mean Radius?")
    assert files.nearest("hrnet", ["hrnetv2_ocr_w18", "hrnetv2_w18", "unet"]).startswith("did you mean hrnetv2_w18 or")
    assert files.nearest("finger_1", ["Finger-1", "finger.1"]).startswith("did you mean Finger-1 or finger.1?")
    assert files.nearest("요골2", ["요골", "척골"]).startswith("did you mean 요골?")
    assert files.nearest("--", ["a"]) == "Known: a"
    assert files.nearest("n7", [f"name{k}" for k in range(99)]).endswith("99 names are known")
