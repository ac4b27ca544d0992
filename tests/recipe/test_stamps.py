"""Stamps of stages, and what a stage costs."""

import subprocess
import sys

from segkit.recipe.stamps import Meter, Stamps


def test_a_stage_is_done_only_when_it_is_finished(tmp_path):
    stamps = Stamps(tmp_path / "run")
    assert (stamps.key("tune"), stamps.begun("tune"), stamps.all()) == ("", None, {})
    stamps.begin("tune", {"config": {}})
    assert (stamps.key("tune"), stamps.begun("tune")) == ("", {"config": {}})
    with Meter() as meter:
        pass
    stamps.finish("tune", "abc", meter)
    assert stamps.key("tune") == "abc"
    assert stamps.all()["tune"]["peak_rss_mb"] > 1
    stamps.begin("tune", {"config": {"tune": {}}})
    assert stamps.key("tune") == ""  # a killed one is not taken for a finished one


def test_the_meter_sees_memory_that_is_gone_again():
    program = """
import time
from segkit.recipe.stamps import Meter
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
