import pytest
import timm
import torch
import torchvision
from torch import nn

from foveate.errors import OptionError
from foveate.models.encoders.last_map import LastMap, as_memory, build_last_map


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "mobilenet_v2", "squeezenet1_0"])
def test_it_is_what_torchvision_pools(name):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    found = []
    pool = network.classifier[-1] if name == "squeezenet1_0" else getattr(network, "avgpool", None)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        if name == "squeezenet1_0":
            expected = network.features(images)
        elif name == "mobilenet_v2":
            expected = network.features(images)
        else:
            pool.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
            network(images)
            expected = found[0]
        encoder = LastMap(network).eval()
        torch.testing.assert_close(encoder(images), expected)
    assert encoder.channels == expected.shape[1]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {}),
        ("tf_efficientnet_lite0", {}),
        ("mobilenetv3_small_050", {}),
        ("vit_tiny_patch16_224", {"img_size": (64, 96), "embed_dim": 48, "depth": 1, "reg_tokens": 2}),
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "embed_dim": 24, "depths": (1, 1, 1, 1)}),
    ],
)
def test_it_is_what_timm_gives_as_features(name, options):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=7, **options).eval()
    images = torch.rand(2, 3, 64, 64 if "swin" in name else 96)
    with torch.no_grad():
        expected = network.forward_features(images)
        encoder = LastMap(network).eval()
        found = encoder(images)
    if name.startswith("vit"):
        torch.testing.assert_close(as_memory(found), expected[:, 3:])
        assert found.shape[2:] == (4, 6)
    elif name.startswith("swin"):
        torch.testing.assert_close(found, expected.permute(0, 3, 1, 2))
    else:
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["timm/mobilenetv3_small_050", "timm/resnet10t", "resnet18"])
def test_every_weight_that_is_left_is_used(name):
    encoder = build_last_map(name, pretrained=False, trainable="all")
    encoder(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_what_is_frozen_does_not_drift():
    encoder = LastMap(torchvision.models.resnet18(), trainable="layer[34]").train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(torch.rand(4, 3, 64, 64)).sum().backward()
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith(("network.layer3", "network.layer4")) for name in changed)
    learns = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert learns == {
        n for n, _ in encoder.named_parameters() if n.startswith(("network.layer3", "network.layer4"))
    }
    frozen = LastMap(torchvision.models.resnet18()).train()
    assert not any(module.training for module in frozen.network.modules())
    assert not frozen(torch.rand(1, 3, 64, 64)).requires_grad


def test_what_cannot_be_one_is_told():
    with pytest.raises(OptionError, match=r"trainable: got 'stage\*'.*layer4"):
        LastMap(torchvision.models.resnet18(), trainable="stage*")
    with pytest.raises(OptionError, match="forward_features"):
        LastMap(nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(OptionError, match="cannot run"):
        network = nn.Linear(2, 2)
        network.forward_features = network.forward
        LastMap(network)
