"""What the network is shown: a picture of each augmentation preset and of each mix, of phantom hands.

`PYTHONPATH=. python docs/pictures_of_samples.py` writes docs/images/augmentation.jpg and docs/images/mixing.jpg.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from competitions.handbone.facts import CLASSES
from competitions.handbone.phantom import draw
from segkit.data import Mixed, SegmentationData
from segkit.data.augment import Augment, light, medium, strong
from segkit.data.mixing import MIXES
from segkit.files import replacing
from segkit.report.palette import class_colours
from segkit.samples import Samples

SIDE, COLUMNS = 208, 5


def shown(sample: Mapping[str, Any], title: str) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3), BGR: the image, its classes over it as strong as they are in the target."""
    image = sample["image"][0].numpy()
    low, high = image.min(), image.max()
    out = np.repeat(((image - low) / max(high - low, 1e-6) * 255)[..., None], 3, axis=2)
    for plane, colour in zip(sample["target"].numpy(), class_colours(CLASSES).values()):
        bgr = np.array([int(colour[k : k + 2], 16) for k in (5, 3, 1)], np.float32)
        out += plane[..., None] * 0.45 * (bgr - out)
    out = np.ascontiguousarray(out.round().astype(np.uint8))
    for thickness, ink in ((3, (0, 0, 0)), (1, (255, 255, 255))):
        cv2.putText(out, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, thickness, cv2.LINE_AA)
    return out


def write(rows: list[list[np.ndarray]], path: Path) -> None:
    sheet = np.vstack([np.hstack(row) for row in rows])
    with replacing(path) as part:
        part.write_bytes(cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 72])[1].tobytes())
    print(f"{path}: {path.stat().st_size // 1000} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(Path(folder), persons=2, test_persons=0, seed=3, size=768, traps=False, workers=1)
        samples = Samples.from_folder(drawn, classes=CLASSES)

        def data(transform: Augment | None) -> SegmentationData:
            return SegmentationData(samples, size=(SIDE, SIDE), transform=transform, seed=1)

        presets = {
            "light": light(), "medium": medium(), "strong": strong(), "bend 0.3": Augment(bend=0.3),
            "clahe 3": Augment(clahe=3.0),
        }  # fmt: skip
        rows = []
        for name, preset in presets.items():
            seen, before = data(preset), data(None)
            row = [shown(before[0], "as it is")]
            while len(row) < COLUMNS:
                if shown(seen[0], "").tobytes() != shown(before[0], "").tobytes():  # a knob acts in some samples alone
                    row.append(shown(seen[0], name))
                seen.set_epoch(seen.epoch + 1)
            rows.append(row)
        write(rows, given.out / "augmentation.jpg")
        rows = []
        for name in MIXES:
            mixed, row = Mixed(data(light()), name, share=1.0, seed=2), []
            for epoch in range(COLUMNS):
                mixed.set_epoch(epoch)
                row.append(shown(mixed[0], name))
            rows.append(row)
        write(rows, given.out / "mixing.jpg")


if __name__ == "__main__":
    main()
