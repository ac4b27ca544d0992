"""A stage runs once for the same settings, and again when settings or outputs change."""

import subprocess
import sys

import pytest

from segkit.recipe.folder import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_a_stage_is_skipped_only_while_settings_and_outputs_stand(folder):
    output, calls = folder / "out.txt", []

    def work():
        calls.append(1)
        output.write_text("done")

    assert folder.run("tune", {"a": 1}, [output], work)
    assert not folder.run("tune", {"a": 1}, [output], work)
    assert folder.run("tune", {"a": 2}, [output], work)
    output.unlink()
    assert folder.run("tune", {"a": 2}, [output], work)
    assert len(calls) == 3


def test_a_stage_that_fails_is_not_done(folder):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        folder.run("tune", 1, [], fail)
    assert folder.stamp("tune") == {}
    assert folder.key("tune") == ""


def test_a_stamp_tells_seconds_and_memory(folder):
    folder.run("tune", 1, [], lambda: None)
    stamp = folder.stamp("tune")
    assert stamp["seconds"] >= 0
    assert stamp["peak_rss_mb"] > 1


def test_the_meter_sees_memory_that_is_gone_again():
    program = """
import time
from segkit.recipe.folder import Meter
with Meter(interval=0.01) as meter:
    before = meter.peak_rss_mb
    block = bytearray(80 * 2**20)
    for place in range(0, len(block), 4096):
        block[place] = 1
    time.sleep(0.8)
    del block
print(meter.peak_rss_mb - before)
"""
    grown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert 60 < float(grown) < 160
