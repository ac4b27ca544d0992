"""The layers at run time: what `import segkit` loads, and what works on a laptop without torch."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import segkit

ROOT = Path(segkit.__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
(FORBIDDEN,) = (c for c in CONTRACTS if c["type"] == "forbidden")


def python(code):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_segkit_loads_nothing_heavy():
    assert (
        python(
            "import segkit, sys; print(*(m for m in ('torch', 'pandas', 'numpy', 'cv2', 'optuna') if m in sys.modules))"
        )
        == []
    )


def test_array_layers_work_where_there_is_no_torch():
    code = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FORBIDDEN["forbidden_modules"]!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in {FORBIDDEN["source_modules"]!r}:
    importlib.import_module(name)
    print(name)
"""
    assert python(code) == FORBIDDEN["source_modules"]


def test_array_layers_do_not_load_torch_where_there_is_one():
    code = f"""
import importlib, sys
for name in {FORBIDDEN["source_modules"]!r}:
    importlib.import_module(name)
print(*(m for m in {FORBIDDEN["forbidden_modules"]!r} if m in sys.modules))
"""
    assert python(code) == []


@pytest.mark.parametrize("name", segkit.__all__)
def test_every_public_part_is_there(name):
    assert (ROOT / "segkit" / f"{name}.py").is_file() or (ROOT / "segkit" / name / "__init__.py").is_file()


def test_parts_are_loaded_when_they_are_first_used():
    code = "import segkit, sys; was = 'segkit.rle' in sys.modules; segkit.rle.Runs; "
    code += "print(was, 'segkit.rle' in sys.modules, 'segkit.geometry.resize' in sys.modules)"
    assert python(code) == ["False", "True", "False"]
    assert segkit.rle.encode.__module__.startswith("segkit.rle")
    assert set(segkit.__all__) <= set(dir(segkit))


def test_an_unknown_part_is_an_attribute_error_with_the_known_ones():
    with pytest.raises(AttributeError, match="no part 'losess'; it has audit"):
        _ = segkit.losess
    assert not hasattr(segkit, "__wrapped__")
