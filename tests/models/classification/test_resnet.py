import pytest
import torch
import torchvision
from torch import nn

from drawn import drawn
from foveate.cost.count import cost
from foveate.errors import OptionError, ShapeError, UnknownNameError
from foveate.mechanisms.base import MapTap
from foveate.models import create_model
from foveate.models.classification.resnet import PLANS, ResNet
from foveate.models.classification.resnet_blocks import BasicBlock, Bottleneck, Width

PLACEMENTS = ["standard", "pre", "post", "identity", "inner"]


def parameters(name, **options):
    with torch.device("meta"):
        return sum(p.numel() for p in create_model(name, **options).parameters())


@pytest.mark.parametrize(("depth", "total"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_without_a_mechanism_it_is_torchvisions_network(depth, total):
    own = ResNet(PLANS[depth], None, classes=1000)
    assert sum(p.numel() for p in own.parameters()) == total
    plain = drawn(getattr(torchvision.models, f"resnet{depth}")())
    own.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 65, 40)
    assert torch.equal(own.eval()(x), plain(x))


@pytest.mark.parametrize(
    ("name", "options", "total"),
    [
        ("se_resnet18", {}, 11_778_592),
        ("se_resnet34", {}, 21_958_868),
        ("se_resnet50", {}, 28_088_024),
        ("se_resnet101", {}, 49_326_872),
        ("se_resnet152", {}, 66_821_848),
        ("se_resnext50", {}, 27_559_896),
        ("senet154", {}, 115_088_984),
        ("se_resnet50", {"bias": False}, 28_071_976),
        ("se_resnet50", {"reduction": 2}, 45_699_240),
        ("se_resnet50", {"reduction": 4}, 35_635_688),
        ("se_resnet50", {"reduction": 8}, 30_603_912),
        ("se_resnet50", {"reduction": 32}, 26_830_080),
        ("se_resnet50", {"stages": (1,)}, 25_582_424),
        ("se_resnet50", {"stages": (2,)}, 25_690_280),
        ("se_resnet50", {"stages": (3,)}, 26_349_992),
        ("se_resnet50", {"stages": (4,)}, 27_136_424),
        ("se_resnet50", {"placement": "pre"}, 27_562_140),
        ("se_resnet50", {"placement": "post"}, 28_088_024),
        ("se_resnet50", {"placement": "identity"}, 27_562_140),
        ("se_resnet50", {"placement": "inner"}, 25_718_228),
        ("eca_resnet50", {}, 25_557_032 + 86),
        ("cbam_resnet18", {}, 11_779_392),
        ("cbam_resnet34", {}, 21_960_468),
        ("cbam_resnet50", {}, 28_089_624),
        ("cbam_resnet101", {}, 49_330_172),
        ("cbam_resnet50", {"classes": 100, "stem": "cifar"}, 26_237_844),
    ],
)
def test_parameters_are_the_published_ones(name, options, total):
    assert parameters(name, **options) == total


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("depth", [18, 50])
def test_gates_forced_to_one_leave_the_plain_network(depth, placement):
    plain = drawn(getattr(torchvision.models, f"resnet{depth}")())
    model = create_model(f"se_resnet{depth}", placement=placement).eval()
    missing, foreign = model.load_state_dict(plain.state_dict(), strict=False)
    assert not foreign
    assert all(".attention." in name for name in missing)
    taps = [module for module in model.modules() if isinstance(module, MapTap)]
    assert len(taps) == sum(PLANS[depth].blocks)
    x = torch.randn(1, 3, 40, 33)
    assert not torch.allclose(model(x), plain(x), atol=1e-3)
    for tap in taps:
        tap.register_forward_hook(lambda module, inputs, gates: torch.ones_like(gates))
    assert torch.equal(model(x), plain(x))


def by_formula(block, x, placement):
    """Return what a bottleneck computes, as the SE paper's section 6.5 draws it."""
    first, second, third = (
        nn.Sequential(getattr(block, f"conv{n}"), getattr(block, f"bn{n}")) for n in (1, 2, 3)
    )
    weigh, shortcut = block.attention, block.downsample or nn.Identity()

    def branch(x, inner=lambda y: y):
        return third(inner(second(first(x).relu()).relu()))

    if placement == "standard":
        return (weigh(branch(x)) + shortcut(x)).relu()
    if placement == "pre":
        return (branch(weigh(x)) + shortcut(x)).relu()
    if placement == "post":
        return weigh((branch(x) + shortcut(x)).relu())
    if placement == "identity":
        return (branch(x) + shortcut(weigh(x))).relu()
    return (branch(x, inner=weigh) + shortcut(x)).relu()


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_compute_what_the_paper_draws(placement, stride):
    from foveate.mechanisms import mechanisms

    width = Width(8, 8, 16, groups=1, shortcut=1)
    block = drawn(Bottleneck(16, width, (1, stride), placement, mechanisms["se"]))
    x = torch.randn(2, 16, 9, 6)
    assert torch.allclose(block(x), by_formula(block, x, placement), atol=1e-6)
    basic = drawn(BasicBlock(16, 16, stride, placement, mechanisms["se"]))
    assert basic(x).shape == (2, 16, *((9, 6) if stride == 1 else (5, 3)))


def test_caffe_strides_in_the_first_convolution_unless_it_has_groups():
    with torch.device("meta"):
        model, grouped = (create_model(n, caffe=True) for n in ("se_resnet50", "se_resnext50"))
    assert (model.layer2[0].conv1.stride, model.layer2[0].conv2.stride) == ((2, 2), (1, 1))
    assert (grouped.layer2[0].conv1.stride, grouped.layer2[0].conv2.stride) == ((1, 1), (2, 2))


def test_macs_are_those_of_the_plain_network_and_the_gates():
    with torch.device("meta"):
        model, x = create_model("se_resnet50"), torch.zeros(1, 3, 224, 224)
        plain = cost(torchvision.models.resnet50(), x)
        assert cost(model, x).macs - plain.macs == 2_514_944  # each of SE's weights is used once


@pytest.mark.parametrize("stem", ["imagenet", "deep", "cifar"])
def test_takes_any_size_and_trains_every_weight(stem):
    model = create_model("se_resnet18", classes=5, stem=stem, reduction=8)
    model(torch.randn(2, 3, 37, 50)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_starts_of_mechanisms_are_kept():
    model = create_model("cbam_resnet18", classes=5)
    assert all(block.attention.spatial.norm.weight.item() == 0 for block in model.layer3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"placement": "inside"}, "placement: got 'inside', expected one of standard, pre"),
        ({"placement": "replace"}, "needs a network of bottlenecks"),
        ({"stem": "big"}, "stem: got 'big'"),
        ({"stages": (0, 1)}, "stages: got"),
        ({"stages": ()}, "stages: got"),
        ({"stages": 3}, "stages: got 3"),
        ({"classes": 0}, "classes: got 0"),
        ({"ratio": 16}, 'se has no option "ratio". Its options: reduction'),
        ({"mechanism": "eca"}, "mechanism"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(OptionError, match=said.replace("(", r"\(")):
        create_model("se_resnet18", **options)


def test_what_is_no_image_is_refused():
    with pytest.raises(ShapeError, match=r"\(1, 1, 64, 64\), expected images"):
        create_model("se_resnet18")(torch.rand(1, 1, 64, 64))


def test_names_are_listed_and_slips_answered():
    with pytest.raises(UnknownNameError, match="se_resnet50"):
        create_model("se_resnet51")


def test_options_without_a_mechanism_are_refused():
    with pytest.raises(OptionError, match="reduction: options of a mechanism"):
        ResNet(PLANS[18], None, classes=2, reduction=4)
