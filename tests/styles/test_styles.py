"""Eight competition styles from raw files to a valid file, each with a user's part of at most 40 lines.

The network is a function of pixels. What was written is read again by decoders that know nothing of segkit.
"""

import csv
import gzip
import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="prediction needs torch")
pytest.importorskip("pydicom", reason="DICOM needs the extra formats")
pytest.importorskip("tifffile", reason="TIFF needs the extra formats")

HERE = Path(__file__).parent
MOST_LINES = 40


def load(name):
    spec = importlib.util.spec_from_file_location(f"style_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


copies = load("copies")


def pixels(images):
    """[0, 1] again, of images that were normalised as ImageNet's."""
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return images * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]


def bright(images):
    return 20 * (images.mean(1, keepdim=True) - 0.45)


def bright_rgb(images):
    return bright(pixels(images))


def steel(images):
    red, green, blue = (pixels(images) > 0.5).unbind(1)
    return 8.0 * torch.stack([red & ~green, green & ~red, blue, red & green], 1) - 4


def organs(images):
    levels = torch.round(images[:, 0] * 65535 / 8000).long()
    return 8.0 * torch.stack([(levels >> bit) & 1 for bit in range(3)], 1) - 4


def nearest_colour(images):
    colours = torch.tensor([copies.LITTER[n] for n in range(11)]) / 255
    return -20 * (pixels(images)[:, None] - colours[None, :, :, None, None]).norm(dim=2)


NETWORKS = {
    "carvana": bright_rgb, "severstal": steel, "siim": bright, "uw_madison": organs, "hubmap": bright_rgb,
    "litter": nearest_colour, "tgs": bright, "kelp": bright,
}  # fmt: skip


def read_table(path):
    if path.suffix == ".gz":
        text = gzip.decompress(path.read_bytes()).decode()
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode()
    else:
        text = path.read_text()
    csv.field_size_limit(10**9)
    return list(csv.reader(io.StringIO(text)))[1:]


def filled(cells, size, relative=False, start=1):
    """The flat mask of RLE cells, pixel by pixel."""
    flat = np.zeros(size[0] * size[1], bool)
    for cell in cells:
        numbers, end = [int(token) for token in cell.split(" ") if cell], 0
        for first, length in zip(numbers[::2], numbers[1::2]):
            first = first - start + end * relative
            flat[first : first + length] = True
            end = first + length
    return flat


def decoded(style, path, key, cls, size):
    """One mask of what was written, as the competition's scorer reads it."""
    if style == "kelp":
        return np.asarray(Image.open(path / f"{key}_kelp.tif")).astype(bool)
    rows = read_table(path)
    if style == "litter":
        return np.array(dict(rows)[key].split(" "), int).reshape(256, 256) == int(cls)
    cells = [row[-1] for row in rows if row[:-1] == ([key, cls] if style == "uw_madison" else [key])]
    assert cells
    if style in ("carvana", "uw_madison"):
        return filled(cells, size).reshape(size)
    if style == "siim":
        return filled([c for c in cells if c != "-1"], size, True, 0).reshape(size[::-1]).T
    return filled(cells, size).reshape(size[::-1]).T


@pytest.mark.parametrize("style", NETWORKS)
def test_a_users_script_writes_what_the_sample_accepts(style, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    truth = getattr(copies, style)(tmp_path / "data")
    (tmp_path / "out").mkdir()
    path = load(style).solve(tmp_path / "data", tmp_path / "out", NETWORKS[style])
    assert "'images': " in capsys.readouterr().out
    for key, masks in truth.items():
        for cls, mask in masks.items():
            found = decoded(style, path, key, cls, mask.shape)
            dice = (2 * (found & mask).sum() + 1e-4) / (found.sum() + mask.sum() + 1e-4)
            assert dice > 0.93, (key, cls, dice)


@pytest.mark.parametrize("style", NETWORKS)
def test_a_users_part_is_short(style):
    text = (HERE / f"{style}.py").read_text()
    assert len(text.splitlines()) <= MOST_LINES  # its docstring and blank lines too
    assert max(map(len, text.splitlines())) <= 120


def test_every_script_is_run():
    assert {path.stem for path in HERE.glob("*.py")} == {*NETWORKS, "copies", "test_styles"}
