from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from foveate.cost.count import cost
from foveate.errors import OptionError, ShapeError, UnknownNameError
from foveate.mechanisms.map_tap import MapTap
from foveate.models import create_model
from foveate.models.classification.resnet import PLANS, ResNet
from foveate.models.classification.resnet_blocks import BasicBlock, Bottleneck, Width
from tests.drawn import drawn, unset

slow, nightly = (partial(pytest.param, marks=mark) for mark in (pytest.mark.slow, pytest.mark.nightly))
PLACEMENTS = ["standard", "pre", "post", "identity", "inner"]


def parameters(name, **options):
    with torch.device("meta"):
        return sum(p.numel() for p in create_model(name, **options).parameters())


def gc(channels):
    """Return the parameters of global context: scores, two layers with biases, the normalisation between."""
    hidden = channels // 16
    return (channels + 1) + (channels + 1) * hidden + (hidden + 1) * channels + 2 * hidden


@pytest.mark.parametrize(
    ("depth", "total"), [(18, 11_689_512), nightly(34, 21_797_672), slow(50, 25_557_032)]
)
def test_without_a_mechanism_it_is_torchvisions_network(depth, total):
    own = unset(ResNet, PLANS[depth], None, classes=1000)
    assert sum(p.numel() for p in own.parameters()) == total
    plain = drawn(unset(getattr(torchvision.models, f"resnet{depth}")))
    own.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 65, 40)
    assert torch.equal(own.eval()(x), plain(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "total"),
    [
        ("se_resnet18", {}, 11_778_592),
        nightly("se_resnet34", {}, 21_958_868),
        ("se_resnet18", {"least": 8}, 11_779_624),  # timm's seresnet18 and 34
        nightly("se_resnet34", {"least": 8}, 21_960_416),
        ("se_resnet50", {}, 28_088_024),
        nightly("se_resnet101", {}, 49_326_872),
        nightly("se_resnet152", {}, 66_821_848),
        ("se_resnext50", {}, 27_559_896),
        nightly("senet154", {}, 115_088_984),
        ("se_resnet50", {"bias": False}, 28_071_976),
        ("se_resnet50", {"reduction": 2}, 45_699_240),
        nightly("se_resnet50", {"reduction": 4}, 35_635_688),
        nightly("se_resnet50", {"reduction": 8}, 30_603_912),
        nightly("se_resnet50", {"reduction": 32}, 26_830_080),
        ("se_resnet50", {"stages": (1,)}, 25_582_424),
        nightly("se_resnet50", {"stages": (2,)}, 25_690_280),
        nightly("se_resnet50", {"stages": (3,)}, 26_349_992),
        nightly("se_resnet50", {"stages": (4,)}, 27_136_424),
        ("se_resnet50", {"placement": "pre"}, 27_562_140),
        nightly("se_resnet50", {"placement": "post"}, 28_088_024),
        nightly("se_resnet50", {"placement": "identity"}, 27_562_140),
        ("se_resnet50", {"placement": "inner"}, 25_718_228),
        ("eca_resnet50", {}, 25_557_032 + 86),
        ("cbam_resnet18", {}, 11_779_392),
        nightly("cbam_resnet34", {}, 21_960_468),
        ("cbam_resnet50", {}, 28_089_624),
        nightly("cbam_resnet101", {}, 49_330_172),
        ("cbam_resnet50", {"classes": 100, "stem": "cifar"}, 26_237_844),
        ("bam_resnet50", {}, 25_915_099),
        ("sknet50", {}, 27_479_784),
        nightly("sknet101", {}, 48_736_040),
        ("gc_resnet50", {}, 25_557_032 + sum(n * gc(c) for c, n in ((512, 4), (1024, 6), (2048, 3)))),
    ],
)
def test_parameters_are_the_published_ones(name, options, total):
    assert parameters(name, **options) == total


@pytest.mark.parametrize("placement", ["standard", slow("identity"), *map(nightly, ("pre", "post", "inner"))])
@pytest.mark.parametrize("depth", [18, nightly(50)])
def test_gates_forced_to_one_leave_the_plain_network(depth, placement):
    plain = drawn(unset(getattr(torchvision.models, f"resnet{depth}")))
    model = drawn(unset(create_model, f"se_resnet{depth}", placement=placement))
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


@pytest.mark.slow
def test_macs_are_those_of_the_plain_network_and_the_gates():
    with torch.device("meta"):
        model, x = create_model("se_resnet50"), torch.zeros(1, 3, 224, 224)
        plain = cost(torchvision.models.resnet50(), x)
        assert cost(model, x).macs - plain.macs == 2_514_944  # each of SE's weights is used once


@pytest.mark.slow
@pytest.mark.parametrize(("name", "macs"), [("sknet50", 4.463e9), nightly("sknet101", 8.449e9)])
def test_macs_of_sknet_are_the_published_ones(name, macs):
    with torch.device("meta"):
        counted = cost(create_model(name), torch.zeros(1, 3, 224, 224)).macs
    assert counted == pytest.approx(macs, rel=2e-4)


def test_sknet_starts_as_the_authors_have_it():
    torch.manual_seed(0)
    convolution = create_model("sknet26", classes=2).layer3[1].attention
    assert convolution.select.select.weight.std().item() == pytest.approx(0.01, rel=0.05)
    kernel = convolution.branches[0][0].weight  # as torchvision has it: all 512 channels count, not a group's
    assert kernel.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.05)


def test_sknet_halves_the_size_in_its_kernels():
    block = create_model("sknet26", classes=2).layer2[0]
    assert (block.conv1.stride, block.attention.branches[1][0].stride) == ((1, 1), (2, 2))
    assert [branch[0].dilation for branch in block.attention.branches] == [(1, 1), (2, 2)]


def test_bam_sits_once_after_each_of_the_first_three_stages():
    model = create_model("bam_resnet18", classes=2)
    names = [path for path, module in model.named_modules() if path.endswith("attention")]
    assert names == ["layer1.attention", "layer2.attention", "layer3.attention"]
    assert model(torch.randn(2, 3, 40, 33)).shape == (2, 2)


def test_gc_starts_as_the_plain_network():
    plain = drawn(unset(torchvision.models.resnet18))
    model = create_model("gc_resnet18").eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 3, 40, 33)
    assert torch.equal(model(x), plain(x))


@pytest.mark.parametrize("stem", ["imagenet", nightly("deep"), slow("cifar")])
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
        ({"placement": "inside"}, "placement: got 'inside', expected one of 'standard', 'pre'"),
        ({"placement": "replace"}, "is for sk_conv in a network of bottlenecks"),
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
