"""For all tests: hypothesis looks for wrong answers, not slow ones, and a data folder is made file by file."""

import json
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("segkit", deadline=None)
settings.load_profile("segkit")
SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
SHAPE = (40, 30)


class DataFolder:
    """ROOT/{train,test}/..., written by the methods; root is what segkit gets."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, name="a.png", *, person="ID001", split="train", pixels=None, shape=SHAPE) -> Path:
        path = self.root / split / "DCM" / person / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if pixels is None:
            seed = zlib.crc32(f"{split}/{person}/{name}".encode())  # no two pictures are the same
            pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
        path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())
        return path

    def json(self, name="a.json", rings=(("one", SQUARE),), *, person="ID001", split="train", **more) -> Path:
        """rings: (label, points) in the file's order; more: replaces what the file says of itself."""
        path = self.root / split / "outputs_json" / person / name
        path.parent.mkdir(parents=True, exist_ok=True)
        annotations = [
            {"id": f"3-{n}", "type": "poly_seg", "attributes": {}, "points": points, "label": label}
            for n, (label, points) in enumerate(rings)
        ]
        said = {"filename": path.stem + ".png", "metadata": {"height": SHAPE[0], "width": SHAPE[1]}}
        path.write_text(json.dumps({"annotations": annotations, **said, **more}))
        return path

    def pair(self, stem="a", rings=(("one", SQUARE),), *, person="ID001", **more) -> None:
        self.image(f"{stem}.png", person=person)
        self.json(f"{stem}.json", rings, person=person, **more)


@pytest.fixture
def data(tmp_path) -> DataFolder:
    return DataFolder(tmp_path / "data")
