import itertools
from functools import partial

import pytest
import torch
from torch import nn

from foveate.errors import OptionError
from foveate.explain.record import record
from foveate.mechanisms.map_tap import MapTap
from foveate.models import create_model
from tests.drawn import drawn, unset

nightly = partial(pytest.param, marks=pytest.mark.nightly)


def unit(channels, out):
    """Return the parameters of a residual unit: three kernels, a normalisation before each, a shortcut."""
    kernels = channels * out // 4 + 9 * (out // 4) ** 2 + out // 4 * out
    return kernels + 2 * channels + 4 * (out // 4) + (channels * out if channels != out else 0)


@pytest.mark.parametrize(
    ("name", "modules", "p", "r"), [("56", (1, 1, 1), 1, 1), nightly("92", (1, 2, 3), 1, 2)]
)
def test_parameters_by_closed_form(name, modules, p, r):
    total = 3 * 49 * 64 + 2 * 64 + 2 * unit(2048, 2048) + 2 * 2048 + 2049 * 1000
    for channels, out in ((64, 256), (256, 512), (512, 1024), (1024, 2048)):
        total += unit(channels, out)
    for channels, count, levels in zip((256, 512, 1024), modules, (3, 2, 1), strict=True):
        units = 2 * p + 2 + 2 * r * levels
        total += count * (units * unit(channels, channels) + 2 * channels**2 + 5 * channels)
    with torch.device("meta"):
        model = create_model(f"residual_attention{name}", mask=r)
    assert sum(q.numel() for q in model.parameters()) == total


@pytest.mark.parametrize(("name", "depth"), [("56", 56), nightly("92", 92)])
def test_layers_on_the_way_through_the_trunks_are_as_many_as_the_name_says(name, depth):
    with torch.device("meta"):
        model = create_model(f"residual_attention{name}")
    aside = ("shortcut", ".down.", ".up.", ".logits.")
    layers = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and not any(part in path for part in aside)
    ]
    assert len(layers) == depth


@pytest.mark.parametrize(("name", "modules"), [("56", (1, 1, 1)), nightly("92", (1, 2, 3))])
def test_masks_have_the_sizes_of_their_stages_and_the_input_may_have_any(name, modules):
    model = drawn(unset(create_model, f"residual_attention{name}", classes=5))
    with torch.no_grad(), record(model) as maps:
        assert model(torch.rand(1, 3, 97, 66)).shape == (1, 5)
    assert [tuple(m.shape[1:]) for m in maps.values()] == [
        *[(256, 25, 17)] * modules[0],
        *[(512, 13, 9)] * modules[1],
        *[(1024, 7, 5)] * modules[2],
    ]


@pytest.mark.slow
def test_masks_of_zero_leave_the_trunk_alone():
    """What the paper calls naive attention learning fails here: without "1 +" nothing would pass."""
    model = drawn(unset(create_model, "residual_attention56", classes=5))
    for module in model.modules():
        if isinstance(module, MapTap):
            module.register_forward_hook(lambda tap, inputs, mask: torch.zeros_like(mask))
    x = torch.rand(1, 3, 40, 40)
    y = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    for stage in (model.layer1, model.layer2, model.layer3):
        widen, attention = stage
        y = attention.after(attention.trunk(attention.before(widen(y))))
    assert torch.allclose(model(x), model.fc(model.layer4(y).mean((2, 3))), atol=1e-5)


@pytest.mark.slow
def test_trains_every_weight():
    model = create_model("residual_attention56", classes=3)
    model(torch.randn(2, 3, 40, 33)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_impossible_options_are_refused():
    with pytest.raises(OptionError, match='residual_attention has no option "depth"'):
        create_model("residual_attention56", depth=3)


@pytest.mark.parametrize(("name", "modules"), [("56", (1, 1, 1)), nightly("92", (1, 2, 3))])
def test_tengshaofengs_names_are_known(name, modules):
    """The names and shapes of its networks, idle convolutions too."""

    def block(at, channels, out):
        hidden = out // 4
        layers = {"bn1": channels, "bn2": hidden, "bn3": hidden}
        norms = ("weight", "bias", "running_mean", "running_var")
        shapes = {f"{at}.{n}.{part}": (c,) for n, c in layers.items() for part in norms}
        kernels = {"conv1": (hidden, channels, 1, 1), "conv2": (hidden, hidden, 3, 3)}
        kernels |= {"conv3": (out, hidden, 1, 1), "conv4": (out, channels, 1, 1)}
        return {**shapes, **{f"{at}.{n}.weight": shape for n, shape in kernels.items()}}

    def norm(at, channels):
        return {f"{at}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}

    shapes = {"conv1.0.weight": (64, 3, 7, 7), **norm("conv1.1", 64), **norm("mpool2.0", 2048)}
    shapes |= {"fc.weight": (10, 2048), "fc.bias": (10,)}
    widths = (64, 256, 512, 1024, 2048)
    for stage, (come, go) in enumerate(itertools.pairwise(widths), start=1):
        shapes |= block(f"residual_block{stage}", come, go)
    shapes |= block("residual_block5", 2048, 2048) | block("residual_block6", 2048, 2048)
    for stage, (c, count) in enumerate(zip(widths[1:], modules, strict=False), start=1):
        levels = 4 - stage
        for number in range(1, count + 1):
            at = f"attention_module{stage}" + ("" if number == 1 else f"_{number}")
            units = ["first_residual_blocks", "trunk_branches.0", "trunk_branches.1", "last_blocks"]
            units += [f"softmax{n}_blocks" for n in range(1, 2 * levels) if n != levels]
            units += [f"softmax{levels}_blocks.{n}" for n in (0, 1)]
            units += [f"skip{n}_connection_residual_block" for n in range(1, levels)]
            for each in units:
                shapes |= block(f"{at}.{each}", c, c)
            last = f"{at}.softmax{2 * levels}_blocks"
            shapes |= {f"{last}.2.weight": (c, c, 1, 1), f"{last}.5.weight": (c, c, 1, 1)}
            shapes |= norm(f"{last}.0", c) | norm(f"{last}.3", c)
    with torch.device("meta"):
        model = create_model(f"residual_attention{name}", classes=10, layout="tengshaofeng")
        found = model.from_published({n: torch.zeros(s) for n, s in shapes.items()})
        own = {n: v.shape for n, v in model.state_dict().items() if "num_batches" not in n}
    assert {n: v.shape for n, v in found.items()} == own


@pytest.mark.slow
def test_the_authors_network_has_its_parameters_and_pools_as_caffe_does():
    with torch.device("meta"):
        for name, total in (("56", 31_810_728), ("92", 52_466_344)):
            model = create_model(f"residual_attention{name}", layout="authors")
            assert sum(p.numel() for p in model.parameters()) == total
    assert (model.maxpool.padding, model.maxpool.ceil_mode) == (0, True)
