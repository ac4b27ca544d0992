"""--mix reaches training: other weights, and a folder that was trained without is not gone on with."""

import shutil
from pathlib import Path

import pytest
import tiny

from segkit.models import checkpoints
from segkit.recipe import Recipe, main

RECIPE = Recipe(
    name="toy",
    presets={
        "demo": {
            "model": "unet", "encoder": "tu-mobilenetv3_small_050", "size": 32, "crop": 32, "epochs": 1, "workers": 0,
            "model_options": "{decoder_channels: [16, 16, 8, 8, 8]}", "n_folds": 2, "batch_size": 2,
            "averaging": "none",
        }
    },
    class_swaps=tiny.SWAPS,
)  # fmt: skip


def weights(out: Path) -> dict:
    return checkpoints.load_weights(out / "fold0" / "last.safetensors")


def test_mixing_reaches_the_weights(tmp_path, capsys):
    image = next(iter(tiny.samples(tmp_path / "data", 8))).image
    shutil.copytree(image.parent, tmp_path / "data" / "test" / "DCM" / "ID100")
    common = ["audit", "train", "--data", str(tmp_path / "data")]
    outs = {mix: tmp_path / mix for mix in ("none", "copypaste")}
    for mix, out in outs.items():
        assert main(RECIPE, [*common, "--out", str(out), "--mix", mix, "--mix-share", "1"]) == 0
    plain, mixed = (weights(out) for out in outs.values())
    assert any(not plain[name].equal(mixed[name]) for name in plain)
    assert main(RECIPE, [*common, "--out", str(outs["copypaste"]), "--mix", "cutmix"]) == 2
    assert "mix 'copypaste', not 'cutmix'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(RECIPE, [*common, "--out", str(tmp_path / "other"), "--mix", "fade"])
