"""The lecture's drawings in the docs are what docs/drawings.py draws, and stand on its pages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from segkit.models.papers import vgg

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ["decoders", "dilation", "fcn", "hrnet-segformer", "unets", "weak-supervision"]
NUMBER = re.compile(r"-?\d+\.?\d*")


@pytest.fixture(scope="module")
def drawings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drawings", DOCS / "drawings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(file: Path) -> tuple[list[str], list[float]]:
    """The words, and the coordinates of all lines; ids and what else a release of matplotlib writes are left out."""
    text = file.read_text()
    lines = re.findall(r'<path d="([^"]*)"', text)
    return re.findall(r"<text[^>]*>([^<]*)", text), [float(n) for line in lines for n in NUMBER.findall(line)]


def test_every_page_has_its_drawing(drawings: ModuleType) -> None:
    assert sorted(drawings.DRAWINGS) == NAMES
    for name in NAMES:
        assert f"(../images/{drawings.path(name).name})" in (DOCS / "lecture" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_docs_hold_what_the_command_draws(drawings: ModuleType, tmp_path: Path, name: str) -> None:
    """After a change: python docs/drawings.py."""
    drawings.save(name, tmp_path / "again.svg")
    words, points = drawn(tmp_path / "again.svg")
    kept_words, kept_points = drawn(drawings.path(name))
    assert words == kept_words
    assert len(words) > 10
    assert points == pytest.approx(kept_points, abs=1)


def test_the_fcn_s_skips_are_as_wide_as_vgg_s_third_and_fourth_block(drawings: ModuleType) -> None:
    words, _ = drawn(drawings.path("fcn"))
    assert [words[words.index(pool) - 1] for pool in ("pool3", "pool4")] == [str(vgg.CHANNELS[i]) for i in (2, 3)]


@pytest.mark.parametrize(
    ("name", "said"), [("dilation", {"rate 24,", "sum"}), ("hrnet-segformer", {"regions: C vectors,", "softmax over"})]
)
def test_deeplab_v2_s_pyramid_and_ocr_are_drawn(drawings: ModuleType, name: str, said: set[str]) -> None:
    assert said <= set(drawn(drawings.path(name))[0])
