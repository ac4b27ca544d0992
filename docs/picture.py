"""The picture on the README's first screen, from a finished run: `python docs/picture.py runs/handbone`.

Beside the radiograph its predicted masks, as submission.csv has them. --masks takes another CSV (truth, say).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from segkit import submission
from segkit.files import read_json, replacing
from segkit.geometry import resize
from segkit.report.palette import class_colours
from segkit.samples import Samples

SIDE = 640


def coloured(image: np.ndarray, masks: dict[str, np.ndarray]) -> np.ndarray:
    """uint8 (h, w, 3), BGR: fills that let the bone show through, and outlines, one colour a class."""
    out = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.float32)
    for mask, colour in zip(masks.values(), class_colours(tuple(masks)).values()):
        bgr = np.array([int(colour[k : k + 2], 16) for k in (5, 3, 1)], np.float32)
        share = resize.coverage(mask, (SIDE, SIDE))[..., None]
        edge = cv2.morphologyEx((share[..., 0] > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8))
        out += share * 0.42 * (bgr - out)
        out[edge > 0] = bgr
    return out.round().astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--masks", type=Path, help="default: submission.csv of the run folder")
    parser.add_argument("--image", help="image_name; default: the first of the test images")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "result.jpg")
    given = parser.parse_args()
    config = given.run / "config.json"
    data = read_json(config)["settings"]["data"] if config.is_file() else None
    samples = Samples.from_folder(data or given.run / "data", "test")
    name = given.image or samples.ids[0]
    image = samples.read_image(name)[..., 0]
    row = submission.read(given.masks or given.run / "submission.csv", sizes=samples.sizes)[name]
    small = resize.resize_image(image, (SIDE, SIDE))
    pair = np.hstack([cv2.cvtColor(small, cv2.COLOR_GRAY2BGR), coloured(small, {c: row[c].mask() for c in row})])
    with replacing(given.out) as part:
        part.write_bytes(cv2.imencode(".jpg", pair, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
    print(f"{given.out}: {name}")


if __name__ == "__main__":
    main()
