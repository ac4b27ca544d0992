"""The settings that tests build each network with, and its exact counts of parameters."""

from typing import Any, NamedTuple


class Row(NamedTuple):
    """The smallest settings that are still of the network's kind, and the exact count of parameters.

    counts: for RGB and 21 and 29 classes with the settings `counted`. frozen: beginnings of the names of the
    parameters that are not trained by design. extra: the keys of the outputs that `small` asks for. like: the row
    of the same code on a smaller encoder, which goes through what costs seconds for both.
    """

    counts: tuple[int, int]
    small: dict[str, Any] = {}  # noqa: RUF012
    counted: dict[str, Any] = {}  # noqa: RUF012
    frozen: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    like: str | None = None


RESNET18 = {"encoder": "resnet18"}
UNUSED = ("body.encoder._conv_head", "body.encoder._bn1")  # what smp's EfficientNets carry for a classifier

ROWS = {
    "deconvnet": Row((251_805_653, 251_806_173), {"width": 1 / 32}),
    "deeplabv1_largefov": Row((20_505_429, 20_513_629), {"width": 1 / 16}),
    "deeplabv2_resnet101": Row((44_048_532, 44_638_388), {"blocks": (1, 1, 1, 1)}),
    "deeplabv2_vgg16": Row((37_877_652, 37_910_452), {"width": 1 / 16}),
    "dilatednet_basic": Row((134_374_973, 134_433_413), {"width": 1 / 16}),
    "dilatednet_context": Row((141_149_720, 147_352_072), {"width": 1 / 16}),
    "dilatednet_frontend": Row((134_346_581, 134_379_357), {"width": 1 / 16}),
    "fcdensenet103": Row((9_324_661, 9_326_717), {"width": 1 / 8, "checkpointed": True}),
    "fcdensenet56": Row((1_378_725, 1_380_269), {"width": 1 / 4}),
    "fcdensenet67": Row((3_466_133, 3_468_445), {"width": 1 / 4}),
    "fcn16s_vgg16": Row((134_815_994, 135_268_874), {"width": 1 / 16}, frozen=("body.up",)),
    "fcn32s_vgg16": Row((136_152_917, 137_824_093), {"width": 1 / 16}, frozen=("body.up",)),
    "fcn8s_vgg16": Row((134_489_759, 134_643_895), {"width": 1 / 16}, frozen=("body.up",)),
    "segnet": Row((29_455_125, 29_459_741), {"width": 1 / 16}),
    "segnet_basic": Row((1_417_237, 1_417_757), {"width": 1 / 8}),
    "segnet_bayesian": Row((29_455_125, 29_459_741), {"width": 1 / 16}),
    "attention_unet": Row((34_879_873, 34_880_393), {"width": 0.125}),
    "deeplabv3": Row((26_012_245, 26_014_301), RESNET18),
    "deeplabv3_resnet101": Row((58_630_997, 58_633_053), like="deeplabv3_resnet50"),
    "deeplabv3_resnet50": Row((39_638_869, 39_640_925), {"aux": True}, extra=("aux",)),
    "deeplabv3plus": Row((26_682_725, 26_684_781), {"encoder": "tu-tf_efficientnet_lite0"}, {"encoder": "resnet50"}),
    "deeplabv3plus_dense": Row((40_352_181, 40_354_237), {"encoder": "mobilenet_v2"}),
    "deeplabv3plus_resnet101": Row((45_674_853, 45_676_909), like="deeplabv3plus_resnet50"),
    "deeplabv3plus_resnet50": Row((26_682_725, 26_684_781)),
    "dense_unet": Row((13_610_533, 13_611_693)),
    "dpt": Row(
        (121_012_757, 121_014_813),
        {"encoder": "tu-vit_tiny_patch16_224", "decoder_intermediate_channels": (8, 8, 8, 8)},
    ),
    "efficientunet_b0": Row((6_254_369, 6_255_529), frozen=UNUSED),
    "efficientunet_b1": Row((8_760_005, 8_761_165), frozen=UNUSED, like="efficientunet_b0"),
    "efficientunet_b2": Row((10_049_191, 10_050_351), frozen=UNUSED, like="efficientunet_b0"),
    "efficientunet_b3": Row((13_161_933, 13_163_093), frozen=UNUSED, like="efficientunet_b0"),
    "efficientunet_b4": Row((20_228_589, 20_229_749), frozen=UNUSED, like="efficientunet_b0"),
    "efficientunet_b5": Row((31_218_901, 31_220_061), frozen=UNUSED, like="efficientunet_b0"),
    "efficientunet_b6": Row((43_828_093, 43_829_253), frozen=UNUSED, like="efficientunet_b0"),
    "efficientunet_b7": Row((67_098_229, 67_099_389), frozen=UNUSED, like="efficientunet_b0"),
    "fcn_resnet50": Row((32_957_013, 32_961_117), {"aux": True}, extra=("aux",)),
    "fpn": Row((23_157_973, 23_159_005), {"encoder": "tu-mobilenetv3_small_050"}),
    "hrnetv2_ocr_w18": Row((12_082_386, 12_088_658), {"aux": True}, extra=("aux",)),
    "hrnetv2_ocr_w32": Row((32_955_882, 32_963_834), {"aux": True}, extra=("aux",), like="hrnetv2_ocr_w18"),
    "hrnetv2_ocr_w48": Row((70_375_146, 70_385_018), {"aux": True}, extra=("aux",), like="hrnetv2_ocr_w18"),
    "hrnetv2_w18": Row((9_641_661, 9_643_829)),
    "hrnetv2_w32": Row((29_547_477, 29_551_325), like="hrnetv2_w18"),
    "hrnetv2_w48": Row((65_860_821, 65_866_589), like="hrnetv2_w18"),
    "linknet": Row((21_772_597, 21_772_861), RESNET18),
    "manet": Row(
        (31_786_533, 31_787_693),
        {"encoder": "efficientnet-b0"},
        frozen=UNUSED,
    ),
    "mobile_unet": Row((6_631_845, 6_633_005)),
    "multiresunet": Row((7_252_360, 7_252_776), {"width": 0.25}),
    "pan": Row((21_481_596, 21_483_908), RESNET18),
    "pspnet": Row((21_530_165, 21_567_037), RESNET18, frozen=("body.encoder.layer3", "body.encoder.layer4")),
    "resunet": Row((8_225_109, 8_225_629), {"width": 0.125}),
    "segformer": Row((3_719_541, 3_721_597), {"encoder": "mit_b0"}),
    "segformer_b0": Row((3_719_541, 3_721_597)),
    "segformer_b1": Row((13_682_645, 13_684_701), like="segformer_b0"),
    "segformer_b2": Row((27_362_773, 27_368_925), like="segformer_b0"),
    "segformer_b3": Row((47_238_613, 47_244_765), like="segformer_b0"),
    "segformer_b4": Row((64_009_173, 64_015_325), like="segformer_b0"),
    "segformer_b5": Row((84_609_493, 84_615_645), like="segformer_b0"),
    "unet": Row((31_033_045, 31_033_565), {"width": 0.125, "dropout": 0.0}),
    "unet2015": Row((31_033_045, 31_033_565), {"width": 0.125, "dropout": 0.0}),
    "unet3plus": Row(
        (27_029_397, 27_052_445),
        {"width": 0.125, "deep_supervision": True, "cgm": True},
        extra=("deep", "cls"),
    ),
    "unetpp": Row((9_044_916, 9_045_972), {"width": 0.25, "deep_supervision": True}, extra=("deep",)),
    # split attention: a batch norm after pooling inside the encoder
    "unetplusplus": Row((26_081_509, 26_082_669), {"encoder": "tu-resnest14d", "decoder_channels": (32, 16, 16, 8, 8)}),
    "upernet": Row((29_604_821, 29_606_877), {"encoder": "tu-convnext_atto", "decoder_channels": 32}),
}
