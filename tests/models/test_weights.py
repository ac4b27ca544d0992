"""Pretrained weights: loaded whole and rightly, or refused with a way out."""

import socket

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import skimage.data
import timm
import torch
from huggingface_hub import constants
from torchvision.models import ResNet50_Weights, resnet50, segmentation

from segkit import models
from segkit.geometry.resize import resize_image
from segkit.models import lite, weights
from segkit.models.checkpoints import save_weights
from segkit.models.registry import FAMILIES

LITE = sorted(lite.LITE)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No name can be looked up and no cache helps."""

    def refuse(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def random_like(module):
    return {key: torch.rand_like(v) if v.is_floating_point() else v for key, v in module.state_dict().items()}


def photo(picture, size):
    """The central square of an RGB photograph as timm's EfficientNet-Lite takes it."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    planes = [resize_image(np.ascontiguousarray(square[..., c]), (size, size)) for c in range(3)]
    return (torch.from_numpy(np.stack(planes)).float()[None] / 255 - 0.5) / 0.5


@pytest.mark.parametrize("name", LITE)
def test_lite_classifies_a_cat_and_a_coffee(name, offline):
    """ImageNet: 281 tabby, 282 tiger cat, 285 Egyptian cat; 967 espresso, 968 cup. One wrong layer and it is noise."""
    network = timm.create_model(name).eval()
    network.load_state_dict(lite.lite_state(name))  # strict: every name once, every shape right
    size = network.default_cfg["input_size"][-1]
    with torch.no_grad():
        cat = network(photo(skimage.data.chelsea(), size)).softmax(1)[0].topk(5).indices.tolist()
        coffee = network(photo(skimage.data.coffee(), size)).softmax(1)[0].topk(5).indices.tolist()
    assert cat[0] in range(281, 286)
    assert len(set(cat) & {281, 282, 285}) == 3
    assert coffee[0] == 967
    assert 968 in coffee


@pytest.mark.parametrize("name", LITE)
def test_lite_encoders_need_no_network(name, offline):
    """The encoder's deepest map is the classifier's, and untouched by the decoder around it."""
    model = models.create("unet", classes=1, in_channels=3, encoder=f"tu-{name}", weights="imagenet").eval()
    network = timm.create_model(name, features_only=True).eval()
    head = lite.LITE_CLASSIFIER
    network.load_state_dict({k: v for k, v in lite.lite_state(name).items() if not k.startswith(head)})
    image = photo(skimage.data.coffee(), 224)
    with torch.no_grad():
        assert torch.equal(model.body.encoder(image)[-1], network(image)[-1])


def test_one_channel_sums_rgb_weights(offline):
    """A grey image through the 1-channel stem is what its three equal channels give through the RGB stem."""
    grey, rgb = (
        models.create("unet", classes=1, in_channels=n, encoder="tu-tf_efficientnet_lite0.in1k", weights="imagenet")
        for n in (1, 3)
    )
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        one = grey.eval().body.encoder(image)[-1]
        three = rgb.eval().body.encoder(image.expand(1, 3, 64, 64))[-1]
    torch.testing.assert_close(one, three, atol=1e-4, rtol=1e-4)


def test_other_numbers_of_channels_keep_the_sum():
    stem = torch.randn(8, 3, 3, 3)
    six = weights.adapt_input(stem, 6)
    assert six.shape == (8, 6, 3, 3)
    torch.testing.assert_close(six.sum(1), stem.sum(1))
    assert torch.equal(weights.adapt_input(stem, 3), stem)


OFFLINE = [
    ("unet", {"encoder": "resnet18"}),
    ("unet", {"encoder": "tu-resnet18"}),
    ("unetpp", {"encoder": "tu-mobilenetv3_small_050"}),
    ("segformer_b0", {}),
    ("dpt", {"encoder": "tu-vit_tiny_patch16_224"}),
    ("deeplabv3plus_dense", {"encoder": "mobilenet_v2"}),
    ("fcn_resnet50", {}),
    ("deeplabv3_resnet50", {"weights": "coco"}),
    ("fcn8s_vgg16", {"width": 1 / 16}),
    ("segnet", {"width": 1 / 16}),
    ("deconvnet", {"width": 1 / 32}),
    ("dilatednet_basic", {"width": 1 / 16}),
    ("deeplabv1_largefov", {"width": 1 / 16}),
    ("deeplabv2_resnet101", {"blocks": (1, 1, 1, 1)}),
    ("hrnetv2_w18", {}),
]


@pytest.mark.parametrize(("name", "options"), OFFLINE)
def test_offline_the_error_says_what_to_do(name, options, offline):
    """A network of each family that loads weights."""
    with pytest.raises(models.WeightsError) as caught:
        models.create(name, **{"classes": 1, "weights": "imagenet"} | options)
    for way_out in ("copy", "weights='FILE.safetensors'", "segkit[weights]", "weights=None"):
        assert way_out in str(caught.value)
    assert constants.HF_HUB_OFFLINE is False


def test_every_family_that_loads_weights_is_asked():
    asked = {name for name, _ in OFFLINE}
    for family in FAMILIES:
        loading = {row.name for row in family.NETWORKS if row.weights or row.encoder_variant}
        assert not loading or loading & asked, family.__name__


def test_without_the_package_lite_goes_through_the_hub(offline, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(models.WeightsError, match=r"segkit\[weights\]"):
        models.create("unet", classes=1, encoder="tu-tf_efficientnet_lite0", weights="imagenet")


def test_smp_weights_go_into_the_encoder(monkeypatch):
    rgb = random_like(smp.encoders.get_encoder("resnet18"))
    rgb |= {f"fc.{leaf}": torch.zeros(1) for leaf in ("weight", "bias")}  # smp drops it itself
    monkeypatch.setattr(smp.encoders, "hf_hub_download", lambda *a, **k: "file")
    monkeypatch.setattr(smp.encoders, "load_file", lambda *a, **k: dict(rgb))
    model = models.create("fpn", classes=1, encoder="resnet18", weights="imagenet")
    own = model.encoder.state_dict()
    torch.testing.assert_close(own.pop("conv1.weight"), rgb["conv1.weight"].sum(1, keepdim=True))
    assert all(torch.equal(value, rgb[key]) for key, value in own.items())


@pytest.mark.parametrize("aux", [False, True])
def test_torchvision_weights_go_where_they_belong(aux, monkeypatch):
    imagenet = random_like(resnet50())
    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", lambda self, **k: imagenet)
    model = models.create("fcn_resnet50", classes=5, weights="imagenet", aux=aux)
    own = model.encoder.state_dict()
    assert own.keys() == {key for key in imagenet if not key.startswith("fc.")}
    torch.testing.assert_close(own.pop("conv1.weight"), imagenet["conv1.weight"].sum(1, keepdim=True))
    assert all(torch.equal(value, imagenet[key]) for key, value in own.items())

    coco = random_like(segmentation.fcn_resnet50(weights_backbone=None, aux_loss=True))
    monkeypatch.setattr(segmentation.FCN_ResNet50_Weights, "get_state_dict", lambda self, **k: coco)
    model = models.create("fcn_resnet50", classes=5, in_channels=3, weights="coco", aux=aux)
    own = model.body.state_dict()
    lasts = ("classifier.4.", "aux_classifier.4.")
    assert any(key.startswith("aux_classifier.0") for key in own) == aux
    assert all(torch.equal(value, coco[key]) for key, value in own.items() if not key.startswith(lasts))
    assert own["classifier.4.weight"].shape[0] == 5


def test_a_file_of_a_whole_network_or_of_its_encoder(tmp_path):
    def build(**options):
        return models.create("unet", **({"classes": 2, "encoder": "resnet18"} | options))

    trained = build()
    trained.load_state_dict(random_like(trained))
    whole, plain, encoder = (tmp_path / name for name in ("whole.safetensors", "plain.pth", "encoder.safetensors"))
    save_weights(trained, whole)
    torch.save(trained.body.state_dict(), plain)
    save_weights(trained.encoder, encoder)
    for file in (whole, str(plain)):
        again = build(weights=file)
        assert all(torch.equal(v, trained.state_dict()[k]) for k, v in again.state_dict().items()), file
    again = build(weights=encoder, classes=7)
    assert all(torch.equal(v, trained.encoder.state_dict()[k]) for k, v in again.encoder.state_dict().items())
    bias = again.body.segmentation_head[0].bias
    torch.testing.assert_close(bias.sigmoid(), torch.full((7,), 0.01))

    with pytest.raises(models.WeightsError, match=r"whole.safetensors: .*segmentation_head.*classes"):
        build(weights=whole, classes=7)
    with pytest.raises(models.WeightsError, match=r"whole.safetensors .* entries"):
        build(weights=whole, encoder="resnet34")
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        build(weights=tmp_path / "absent.pth")
