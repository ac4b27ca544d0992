"""The pages are whole, and what they tell the reader to type works."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import snippets
import tiny
import yaml

import segkit
from segkit import cli, submission
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.recipe import parse
from segkit.rle import Runs
from segkit.samples import Samples

DOCS = snippets.ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EVERY = [snippets.ROOT / "README.md", snippets.ROOT / "CONTRIBUTING.md", *PAGES]


def name(page: Path) -> str:
    return page.relative_to(snippets.ROOT).as_posix()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages' snippets find in their folder: DATA, two stores, some submissions, persons."""
    folder = tmp_path_factory.mktemp("docs")
    tiny.draw(folder / "DATA", 6)
    samples = Samples.from_folder(folder / "DATA")
    test = folder / "DATA" / "test" / "DCM" / "ID100"
    test.mkdir(parents=True)
    shutil.copy(samples["image0.png"].image, test / "image100.png")
    (folder / "DATA" / "classes.txt").write_text("\n".join(tiny.CLASSES) + "\n")
    truth = Samples.from_folder(folder / "DATA").truth
    for seed, store_name in enumerate(("oof.zarr", "oof2.zarr")):
        store = PredictionStore.create(
            folder / store_name, ids=truth.ids, classes=truth.classes, sizes=truth.sizes, grid=(48, 48)
        )
        noise = np.random.default_rng(seed)
        for image in truth.ids:
            cover = np.stack([resize.coverage(truth[image][cls].mask(), (48, 48)) for cls in truth.classes])
            store[image] = 4 * cover - 2.5 + noise.normal(0, 1, cover.shape)
    for csv in ("a.csv", "b.csv", "c.csv"):
        submission.write(folder / csv, ((i, c, truth[i][c]) for i in truth.ids for c in truth.classes))
    rows = "".join(f"{image},{group}\n" for image, group in samples.groups.items())
    (folder / "groups.csv").write_text(f"image_name,group\n{rows}")
    return folder


@pytest.mark.parametrize("page", [p for p in PAGES if snippets.blocks(p, "python")], ids=name)
def test_the_python_of_a_page_runs(
    page: Path, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(workplace, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "audit", "--data", "DATA"])  # for a page that writes a recipe
    snippets.run(page)


def typed() -> Iterator[Any]:
    for page in EVERY:
        for words in snippets.commands(page):
            yield pytest.param(words, id=f"{name(page)}: {' '.join(words)}")


def test_there_are_commands_to_check() -> None:
    assert len(list(typed())) > 30


@pytest.mark.parametrize("words", typed())
def test_a_command_line_is_understood(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in words if word not in ("wait", "&&", "&") and not re.fullmatch(r"[A-Z_]+=\S+", word)]
    if words[:2] == ["torchrun", "--nproc-per-node"]:
        words = ["python", *words[3:]]
    if words[:3] == ["python", "-m", "segkit.cli"]:
        words = ["segkit", *words[3:]]
    if words[0] == "python" and words[1].startswith("competitions/"):
        assert (snippets.ROOT / words[1]).is_file()
        recipe = importlib.import_module(words[1].removesuffix(".py").replace("/", ".")).RECIPE
        if "--config" in words:
            Path("mine.yaml").write_text(snippets.blocks(DOCS / "settings.md", "yaml")[0][1])
        if "--help" in words:
            with pytest.raises(SystemExit, match="0"):
                parse(recipe.name, recipe.presets, words[2:])
            return
        stages, config = parse(recipe.name, recipe.presets, words[2:])
        assert stages
        assert config.run.out
    elif words[0] == "segkit":
        asked: list[str] = []
        commands = {key: _remembered(key, command, asked) for key, command in cli.COMMANDS.items()}
        monkeypatch.setattr(cli, "COMMANDS", commands)
        assert cli.main(words[1:]) == 0
        assert asked == [words[1]]
    elif words[0] == "make":
        makefile = (snippets.ROOT / "Makefile").read_text()
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)
    elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        place = snippets.ROOT / words[2].replace(".", "/")
        source = (place / "__main__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
        assert all(f'"{word}"' in source for word in words[3:] if word.startswith("--"))
    elif words[0] in ("tensorboard", "optuna-dashboard"):
        assert f'"{words[0]}>=' in (snippets.ROOT / "pyproject.toml").read_text()
    else:
        assert words[:3] in (["python", "-m", "venv"], ["python", "-m", "pip"])
        if extra := re.search(r"\[(\w+)\]", " ".join(words)):
            assert re.search(rf"^{extra[1]} = ", (snippets.ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def _remembered(key: str, command: Callable[..., int], asked: list[str]) -> Callable[..., int]:
    """The command's own options, but nothing done."""

    @wraps(command)
    def instead(*args: Any, **kwargs: Any) -> int:
        asked.append(key)
        return 0

    return instead


def test_every_public_module_has_an_api_page() -> None:
    modules = {m.name for m in pkgutil.iter_modules(segkit.__path__) if not m.name.startswith("_")}
    pages = {page.stem for page in (DOCS / "api").glob("*.md")} - {"index"}
    assert pages == modules
    for module in modules:
        assert f"::: segkit.{module}\n" in (DOCS / "api" / f"{module}.md").read_text()
        assert f"[{module}]({module}.md)" in (DOCS / "api" / "index.md").read_text()


def test_every_page_is_in_the_navigation() -> None:
    def paths(nav: Any) -> Iterator[str]:
        for entry in nav:
            for value in entry.values() if isinstance(entry, dict) else [entry]:
                yield from paths(value) if isinstance(value, list) else [value]

    listed = list(paths(yaml.safe_load((snippets.ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_command_and_every_trick_is_listed() -> None:
    text = (DOCS / "command-line.md").read_text()
    assert set(re.findall(r"^\| `segkit (\w+)", text, re.MULTILINE)) == set(cli.COMMANDS)
    tricks = {page.name for page in (DOCS / "tricks").glob("*.md")} - {"index.md"}
    assert {*re.findall(r"\]\(([a-z-]+\.md)\)", (DOCS / "tricks" / "index.md").read_text())} == tricks
    heads = ("What.", "When.", "How.", "What teams reported.", "Cost.", "Where it failed.", "Measured here.")
    for trick in sorted(tricks):
        page = (DOCS / "tricks" / trick).read_text()
        assert [head for head in heads if f"\n**{head}**" not in page] == [], trick


def test_the_picture_of_a_run(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(workplace / "DATA", tmp_path / "data")
    mask = np.zeros((96, 96), bool)
    mask[:48] = True
    submission.write(tmp_path / "submission.csv", [("image100.png", "left", Runs.from_mask(mask))])
    monkeypatch.syspath_prepend(str(DOCS))
    picture = importlib.import_module("picture")
    monkeypatch.setattr(sys, "argv", ["picture.py", str(tmp_path), "--out", str(tmp_path / "out.jpg")])
    picture.main()
    drawn = cv2.imread(str(tmp_path / "out.jpg"))
    assert drawn.shape == (picture.SIDE, 2 * picture.SIDE, 3)
    plain, coloured = np.hsplit(drawn.astype(int), 2)
    assert np.abs(coloured - plain)[:300].mean() > 20  # a fill over the upper half, nothing over the lower
    assert np.abs(coloured - plain)[340:].mean() < 2


def test_docstrings_come_out_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    markdown = pytest.importorskip("markdown")
    pytest.importorskip("griffe")
    monkeypatch.syspath_prepend(str(DOCS))
    monkeypatch.delitem(sys.modules, "prose", raising=False)
    prose = importlib.import_module("prose")
    text = 'truth[id][cls] -> Runs; {"a": 1, "*": 0, "*": 2}; a <b> c_d_e, `x[0]`'
    html = markdown.markdown(prose.as_markdown(text))
    shown = re.sub(r"<[^>]+>", "", html).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    assert shown == text.replace("`", "")
    doctest = ">>> 2 * 3\n6"
    assert prose.as_markdown(f"What.\n\n{doctest}\n\nMore.") == f"What.\n\n\n```pycon\n{doctest}\n```\n\nMore."


def test_an_index_is_an_index(workplace: Path) -> None:
    """The pages say ids are file names with their ending and DATA is the folder above train."""
    assert list(Samples.from_folder(workplace / "DATA").ids) == [f"image{n}.png" for n in range(6)]
