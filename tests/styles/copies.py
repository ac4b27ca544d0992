"""Small faithful copies of eight competitions' files: a few drawn masks in each one's layout, names and conventions.

A copy returns the true masks of its test images, {name in the submission: {class: mask}}. Its images show the masks, so
that a function of pixels can stand in for the network.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Truth = dict[str, dict[str, np.ndarray]]
RNG = np.random.default_rng(7)


def disc(size: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    yy, xx = np.mgrid[: size[0], : size[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= radius**2


def pairs(flat: np.ndarray) -> list[list[int]]:
    """(first, length) of each run of ones, pixel by pixel: nothing of segkit."""
    out: list[list[int]] = []
    for place, value in enumerate(flat.tolist()):
        if value and out and out[-1][0] + out[-1][1] == place:
            out[-1][1] += 1
        elif value:
            out.append([place, 1])
    return out


def by_rows(mask: np.ndarray) -> str:
    return " ".join(f"{first + 1} {length}" for first, length in pairs(mask.ravel()))


def by_columns(mask: np.ndarray) -> str:
    return by_rows(mask.T)


def relative(mask: np.ndarray) -> str:
    """As SIIM-ACR's mask_functions.py: down the columns, from the end of the run before."""
    out, end = [], 0
    for first, length in pairs(mask.T.ravel()):
        out += [first - end, length]
        end = first + length
    return " ".join(map(str, out)) or "-1"


def coloured(
    size: tuple[int, int], masks: dict[str, np.ndarray], colours: dict[str, tuple[int, int, int]]
) -> np.ndarray:
    image = np.full((*size, 3), 25, np.uint8) + RNG.integers(0, 10, (*size, 1)).astype(np.uint8)
    for cls, mask in masks.items():
        image[mask] = colours[cls]
    return image


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def jpg(path: Path, pixels: np.ndarray) -> None:
    save(path, pixels, quality=95, subsampling=0)


def lines(path: Path, rows: list[str]) -> None:
    path.write_text("\n".join(rows) + "\n")


def carvana(data: Path) -> Truth:
    truth: Truth = {}
    for car, split in (("00087a6bd4dc", "train"), ("02159e548029", "train"), ("0004d4463b50", "test")):
        for view in range(1, 4):
            name, mask = f"{car}_{view:02d}", disc((128, 192), 64 + 5 * view, 90, 40)
            jpg(data / split / f"{name}.jpg", coloured((128, 192), {"car": mask}, {"car": (220, 220, 220)}))
            if split == "train":
                save(data / "train_masks" / f"{name}_mask.gif", mask.astype(np.uint8) * 255)
            else:
                truth[f"{name}.jpg"] = {"car": mask}
    lines(data / "sample_submission.csv", ["img,rle_mask", *(f"{name},1 1" for name in truth)])
    return truth


STEEL = {"1": (230, 20, 20), "2": (20, 230, 20), "3": (20, 20, 230), "4": (230, 230, 20)}


def severstal(data: Path) -> Truth:
    truth: Truth = {}
    rows = ["ImageId_ClassId,EncodedPixels"]
    for number, split in enumerate(["train", "train", "train", "test", "test"]):
        name, size = f"{number:04x}f269f.jpg", (64, 400)
        masks = {cls: disc(size, 32, 60 + 80 * k, 12 + number) for k, cls in enumerate(STEEL)}
        for k, cls in enumerate(STEEL):
            if (k + number) % 3 == 0:
                masks[cls] = np.zeros(size, bool)
        jpg(data / f"{split}_images" / name, coloured(size, masks, STEEL))
        if split == "train":
            rows += [f"{name}_{cls},{by_columns(mask)}" for cls, mask in masks.items()]
        else:
            truth.update({f"{name}_{cls}": {cls: mask} for cls, mask in masks.items()})
    lines(data / "train.csv", rows)
    lines(data / "sample_submission.csv", ["ImageId_ClassId,EncodedPixels", *(f"{key},1 1" for key in truth)])
    return truth


def siim(data: Path) -> Truth:
    truth: Truth = {}
    rows = ["ImageId, EncodedPixels"]
    for number, split in enumerate(["train", "train", "train", "test", "test"]):
        uid, size = f"1.2.276.0.7230010.3.1.4.8323329.{1000 + number}.1517875165.87802{number}", (128, 128)
        parts = [] if number % 3 == 2 else [disc(size, 40, 30 + 3 * number, 14), disc(size, 90, 90, 18)]
        mask = np.any([np.zeros(size, bool), *parts], axis=0)
        dicom(
            data / f"dicom-{split}" / f"{uid}.a" / f"{uid}.b" / f"{uid}.dcm", np.where(mask, 210, 40).astype(np.uint8)
        )
        if split == "train":
            rows += [f"{uid}, {relative(part)}" for part in parts] or [f"{uid}, -1"]
        else:
            truth[uid] = {"pneumothorax": mask}
    lines(data / "train-rle.csv", rows)
    lines(data / "sample_submission.csv", ["ImageId,EncodedPixels", *(f"{uid},-1" for uid in truth)])
    return truth


def dicom(path: Path, pixels: np.ndarray) -> None:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    path.parent.mkdir(parents=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = path.stem
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta, data.SOPClassUID, data.SOPInstanceUID = meta, SecondaryCaptureImageStorage, path.stem
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelData = 7, pixels.tobytes()
    data.save_as(path, enforce_file_format=True)


ORGANS = ("large_bowel", "small_bowel", "stomach")


def uw_madison(data: Path) -> Truth:
    truth: Truth = {}
    rows = ["id,class,segmentation"]
    for case, split in (("case123", "train"), ("case77", "train"), ("case101", "test")):
        for number in range(1, 4):
            size, key = (60, 72), f"{case}_day20_slice_{number:04d}"
            masks = {cls: disc(size, 25 + 3 * k, 20 + 14 * k + number, 12) for k, cls in enumerate(ORGANS)}
            masks["stomach"] &= number != 3
            levels = sum(8000 * 2**k * masks[cls].astype(np.uint16) for k, cls in enumerate(ORGANS))
            folder = data / split / case / f"{case}_day20" / "scans"
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"slice_{number:04d}_72_60_1.50_1.50.png"), levels.astype(np.uint16))
            for cls, mask in masks.items():
                rows += [f"{key},{cls},{by_rows(mask)}"] if split == "train" else []
            if split == "test":
                truth[key] = masks
    lines(data / "train.csv", rows)
    keys = [f"{key},{cls}," for key in truth for cls in ORGANS]
    lines(data / "sample_submission.csv", ["id,class,predicted", *keys])
    return truth


def hubmap(data: Path) -> Truth:
    import tifffile

    truth: Truth = {}
    for number, split in enumerate(["train", "train", "test"]):
        name, size = f"{number}486052be", (300, 400)
        polygons = [square_ring(60 + 20 * number, 80, 35), square_ring(190, 250, 60)]
        mask = np.zeros(size, np.uint8)
        for ring in polygons:
            cv2.fillPoly(mask, [np.array(ring, np.int32)], 1)
        (data / split).mkdir(parents=True, exist_ok=True)
        image = coloured(size, {"glomerulus": mask > 0}, {"glomerulus": (220, 220, 220)})
        tifffile.imwrite(data / split / f"{name}.tiff", image, tile=(64, 64))
        features = [{"geometry": {"type": "Polygon", "coordinates": [ring]}} for ring in polygons]
        if split == "train":
            (data / split / f"{name}.json").write_text(json.dumps(features))
        else:
            truth[name] = {"glomerulus": mask > 0}
    lines(data / "sample_submission.csv", ["id,predicted", *(f"{name}," for name in truth)])
    return truth


def square_ring(y: int, x: int, side: int) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


LITTER = {n: (20 + 200 * (n % 3 > 0), 40 * (n % 6), 15 * n + 40) for n in range(11)}


def litter(data: Path) -> Truth:
    truth: Truth = {}
    for number, batch in enumerate(["batch_01_vt", "batch_01_vt", "batch_02_vt"]):
        labels = np.zeros((512, 512), np.uint8)
        for k in range(1, 11):
            labels[disc((512, 512), 120 + 250 * (k % 2), 40 + 44 * k, 30 + 3 * number)] = k
        name = f"{batch}/{number:04d}.jpg"
        image = np.array([LITTER[n] for n in range(11)], np.uint8)[labels]
        jpg(data / name, image)
        if batch == "batch_01_vt":
            save(data / "maps" / f"{number:04d}.png", labels)
        else:
            truth[name] = {str(n): labels[::2, ::2] == n for n in range(11)}
    zeros = " ".join(["0"] * 256 * 256)
    lines(data / "sample_submission.csv", ["image_id,PredictionString", *(f"{name},{zeros}" for name in truth)])
    return truth


def tgs(data: Path) -> Truth:
    truth: Truth = {}
    for number, split in enumerate(["train", "train", "train", "test", "test"]):
        name, size = f"{number}55410d6fa", (101, 101)
        mask = disc(size, 50, 30 + 10 * number, 25) if number != 1 else np.zeros(size, bool)
        save(
            data / split / "images" / f"{name}.png",
            np.repeat(np.where(mask, 200, 30).astype(np.uint8)[..., None], 3, 2),
        )
        if split == "train":
            (data / "train" / "masks").mkdir(exist_ok=True)
            cv2.imwrite(str(data / "train" / "masks" / f"{name}.png"), mask.astype(np.uint16) * 65535)
        else:
            truth[name] = {"salt": mask}
    lines(data / "sample_submission.csv", ["id,rle_mask", *(f"{name},1 1" for name in truth)])
    return truth


def kelp(data: Path) -> Truth:
    import tifffile

    truth: Truth = {}
    for folder in ("train_satellite", "train_kelp", "test_satellite", "sample_submission"):
        (data / folder).mkdir(parents=True)
    for number, split in enumerate(["train", "train", "train", "test", "test"]):
        name, size = f"AA49848{number}", (70, 70)
        mask = disc(size, 35, 20 + 6 * number, 15)
        bands = np.stack([np.where(mask, 12000, 3000) + 100 * k for k in range(7)], -1).astype(np.int16)
        bands[:2, :, :5] = -32768  # no data
        tifffile.imwrite(
            data / f"{split}_satellite" / f"{name}_satellite.tif",
            bands,
            photometric="minisblack",
            planarconfig="contig",
        )
        if split == "train":
            save(data / "train_kelp" / f"{name}_kelp.tif", mask.astype(np.uint8))
        else:
            save(data / "sample_submission" / f"{name}_kelp.tif", np.zeros(size, np.uint8))
            truth[name] = {"kelp": mask}
    return truth
