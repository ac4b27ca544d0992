"""What the first page says can be done, done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import snippets

README = snippets.ROOT / "README.md"


def test_every_python_block_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = snippets.run(README)
    said = capsys.readouterr().out
    assert len(snippets.blocks(README, "python")) == 3
    assert names["mask"].dice(names["truth"]) > 0.999  # what soft targets keep at a quarter of the side
    assert names["mask"].text()[:24] in said
    assert {file.name for file in tmp_path.iterdir()} == {"oof.zarr", "truth.csv", "study.journal"}
    trials = names["study"].trials
    assert trials[1].value == max(trial.value for trial in trials) > trials[0].value  # the exact optimum, enqueued


def test_a_front_door_is_ten_lines() -> None:
    for language in ("python", "bash"):
        for line, code in snippets.blocks(README, language):
            assert sum(map(bool, code.splitlines())) <= 10, f"README.md, line {line}"


def test_what_the_readme_points_at_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (snippets.ROOT / link).exists(), link
