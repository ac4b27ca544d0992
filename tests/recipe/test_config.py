"""Settings come from a preset, a YAML file, the run folder or the command line, and a misspelt name fails."""

import dataclasses
import json

import pytest

from segkit.files import plain
from segkit.recipe import Config, parse, replace

PRESETS = {"demo": {"size": 64, "lr": 2e-3}, "strong": {"size": 1024, "folds": (0, 1)}}


def test_no_stage_named_means_all_in_order(tmp_path):
    stages, config = parse("toy", PRESETS, ["--out", str(tmp_path)])
    assert stages == ["audit", "folds", "train", "predict", "tune", "submit", "report"]
    assert (config.model.size, config.train.lr, config.run.preset, config.run.out) == ((64,), 2e-3, "demo", tmp_path)


def test_stages_run_in_the_order_of_the_line_however_they_are_named(tmp_path):
    stages, _ = parse("toy", PRESETS, ["submit", "tune", "--out", str(tmp_path)])
    assert stages == ["tune", "submit"]
    stages, _ = parse("toy", PRESETS, ["report", "tune", "ensemble", "--out", str(tmp_path)])
    assert stages == ["ensemble", "tune", "submit", "report"]  # the blend is what is tuned


def test_the_command_line_beats_the_preset(tmp_path):
    _, config = parse(
        "toy", PRESETS, ["--preset", "strong", "--size", "768", "--folds", "1", "3", "--out", str(tmp_path)]
    )
    assert (config.model.size, config.run.folds, config.run.preset) == ((768,), (1, 3), "strong")


def test_a_plain_yaml_file_beats_the_preset_and_the_command_line_beats_it(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("lr: 1e-4\nfolds: [2]\nmodel_options: {decoder_channels: [8, 8]}\n", encoding="utf-8")
    _, config = parse("toy", PRESETS, ["--config", str(file), "--epochs", "3", "--out", str(tmp_path)])
    assert (config.train.lr, config.run.folds, config.train.epochs, config.model.size) == (1e-4, (2,), 3, (64,))
    assert config.model.model_options == "{decoder_channels: [8, 8]}"


def test_another_model_begins_without_the_encoder_of_the_first(tmp_path):
    presets = {"demo": {"model": "unet", "encoder": "resnet18", "weights": "imagenet", "model_options": "{depth: 4}"}}
    (tmp_path / "mine.yaml").write_text("model: hrnetv2_w18\nlr: 0.1\n", encoding="utf-8")

    def network(*words):
        _, config = parse("toy", presets, [*words, "--out", str(tmp_path)])
        return config.model.model, config.model.encoder, config.model.weights, config.model.model_options

    assert network() == network("--model", "unet") == ("unet", "resnet18", "imagenet", "{depth: 4}")
    assert network("--model", "hrnetv2_w18") == ("hrnetv2_w18", None, None, "")
    assert network("--model=fpn", "--encoder", "resnet34") == ("fpn", "resnet34", None, "")
    assert network("--config", str(tmp_path / "mine.yaml")) == ("hrnetv2_w18", None, None, "")


def test_a_run_folder_goes_on_with_its_own_settings(tmp_path):
    settings = plain(dataclasses.asdict(replace(Config(), {"size": 96, "preset": "strong", "out": tmp_path})))
    (tmp_path / "config.json").write_text(json.dumps({"settings": settings}), encoding="utf-8")
    _, config = parse("toy", PRESETS, ["tune", "--out", str(tmp_path), "--trials", "7"])
    assert (config.model.size, config.run.preset, config.tune.trials, config.run.folds) == ((96,), "strong", 7, (0,))
    _, config = parse("toy", PRESETS, ["tune", "--out", str(tmp_path), "--preset", "demo"])
    assert config.model.size == (64,)


def test_an_unknown_field_names_its_neighbours(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("bach_size: 4\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml: no setting 'bach_size'; did you mean batch_size"):
        parse("toy", PRESETS, ["--config", str(file), "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 2.5), ("epochs", None), ("lr", "fast"), ("targets", "sharp"), ("folds", "all"), ("compile", "yes")],
)
def test_a_value_of_a_wrong_kind_says_what_is_expected(field, value):
    with pytest.raises(ValueError, match=f"{field} is .*, expected"):
        replace(Config(), {field: value})


def test_replace_leaves_its_input_alone():
    base = Config()
    assert replace(base, {"lr": 3e-4}).train.lr == 3e-4
    assert base == Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        base.train.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("text", ["- a list", "lr: [", "just words"])
def test_a_file_that_is_no_mapping_is_named(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml"):
        parse("toy", PRESETS, ["--config", str(file)])


def test_an_unknown_preset_is_named(tmp_path):
    with pytest.raises(ValueError, match="preset 'huge'"):
        parse("toy", PRESETS, ["--preset", "huge", "--out", str(tmp_path)])


def test_settings_may_be_nested_by_group(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: {lr: 0.5, crop: 32}\nepochs: 2\n", encoding="utf-8")
    config = parse("toy", PRESETS, ["--config", str(file), "--out", str(tmp_path)])[1]
    assert (config.train.lr, config.train.crop, config.train.epochs) == (0.5, 32, 2)
    with pytest.raises(ValueError, match=r"train has no setting 'size'"):
        replace(Config(), {"train": {"size": 3}})


def test_names_are_unique_over_all_groups():
    names = [field.name for group in vars(Config()).values() for field in dataclasses.fields(group)]
    assert len(set(names)) == len(names)
