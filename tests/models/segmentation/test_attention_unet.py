from itertools import pairwise

import torch
from monai.networks.nets import AttentionUnet
from pytest import mark, raises
from torch import nn
from torch.nn import functional as F

import foveate as fv
from foveate.errors import OptionError
from foveate.models.published import load_published
from foveate.models.segmentation.attention_unet import GRID


def built(**options):
    return fv.create_model("attention_unet", **options)


@mark.parametrize(
    "options, total",
    [
        ({"classes": 4, "in_channels": 1, "dimensions": 3, "gates": 2}, 6_473_322),
        ({"classes": 4, "in_channels": 1, "dimensions": 3}, 6_214_151),
        ({"classes": 4, "in_channels": 1, "dimensions": 3, "gates": 0}, 5_888_004),
        ({"classes": 1, "kind": "additive"}, 34_878_573),
        ({"classes": 2, "in_channels": 1, "kind": "monai"}, 31_739_250),
        ({"classes": 2, "in_channels": 1, "kind": "monai", "dimensions": 3}, 94_482_930),
        ({"classes": 2, "in_channels": 1, "kind": "monai", "widths": GRID}, 1_987_434),
        ({"classes": 2, "in_channels": 1, "kind": "monai", "widths": GRID, "dimensions": 3}, 5_909_130),
    ],
)
def test_published_numbers_of_parameters(options, total):
    with torch.device("meta"):
        assert sum(p.numel() for p in built(**options).parameters()) == total


def randomised(state):
    """Draw what a fresh network has as zeros and ones, so that no weight is without effect."""
    for name, value in state.items():
        if name.endswith(("running_mean", "bias")):
            value.normal_(std=0.2)
        elif value.ndim == 1:
            value.uniform_(0.5, 1.5)
    return state


@mark.parametrize("dimensions", [2, 3])
def test_a_checkpoint_of_monai_computes_the_same(tmp_path, dimensions):
    widths = (4, 8, 16, 32)
    theirs = AttentionUnet(dimensions, 2, 3, channels=widths, strides=(2, 2, 2)).eval()
    theirs.load_state_dict(randomised(theirs.state_dict()))
    torch.save(theirs.state_dict(), tmp_path / "monai.pth")
    ours = built(classes=3, in_channels=2, kind="monai", dimensions=dimensions, widths=widths).eval()
    assert load_published(ours, tmp_path / "monai.pth") == ()
    x = torch.rand(1, 2, *[16, 24, 16][:dimensions])
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


class Layers:
    """What the two other references are made of: functions of published weights by name."""

    def __init__(self, state):
        self.state = state
        self.space = next(iter(state.values())).ndim - 2

    def conv(self, path, x, **options):
        function = F.conv2d if self.space == 2 else F.conv3d
        weight = self.state[f"{path}.weight"]
        options.setdefault("padding", weight.shape[-1] // 2)
        return function(x, weight, self.state.get(f"{path}.bias"), **options)

    def norm(self, path, x):
        return F.batch_norm(
            x, *(self.state[f"{path}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        )

    def layer(self, path, x, conv="0", norm="1"):
        return F.relu(self.norm(f"{path}.{norm}", self.conv(f"{path}.{conv}", x)))

    def linear(self, x, size):
        return F.interpolate(x, size=size, mode="bilinear" if self.space == 2 else "trilinear")


def lee_jun_hyun(state, x, gated=True):
    """Return the logits of AttU_Net, or of U_Net, by its description, and the gates from the finest."""
    net, maps, gates = Layers(state), [], []

    def pair(path, x):
        return net.layer(f"{path}.conv", net.layer(f"{path}.conv", x), "3", "4")

    for number in range(1, 6):
        maps.append(pair(f"Conv{number}", F.max_pool2d(maps[-1], 2) if maps else x))
    y = maps.pop()
    for number in range(5, 1, -1):
        up = net.layer(f"Up{number}.up", F.interpolate(y, scale_factor=2.0), "1", "2")
        skip, gate = maps.pop(), f"Att{number}"
        if not gated:
            y = pair(f"Up_conv{number}", torch.cat([skip, up], 1))
            continue
        seen = net.norm(f"{gate}.W_g.1", net.conv(f"{gate}.W_g.0", up))
        seen = F.relu(seen + net.norm(f"{gate}.W_x.1", net.conv(f"{gate}.W_x.0", skip)))
        gates.insert(0, net.norm(f"{gate}.psi.1", net.conv(f"{gate}.psi.0", seen)).sigmoid())
        y = pair(f"Up_conv{number}", torch.cat([skip * gates[0], up], 1))
    return net.conv("Conv_1x1", y), gates


def lee_jun_hyun_names(widths):
    """Return the shapes of AttU_Net's weights by name."""
    shapes = {"Conv_1x1.weight": (2, widths[0], 1, 1), "Conv_1x1.bias": (2,)}

    def layer(path, come, out, conv, norm, size=3):
        shapes[f"{path}.{conv}.weight"], shapes[f"{path}.{conv}.bias"] = (out, come, size, size), (out,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{path}.{norm}.{part}"] = (out,)
        shapes[f"{path}.{norm}.num_batches_tracked"] = ()

    for number, (come, out) in enumerate(zip((3, *widths), widths, strict=False), 1):
        layer(f"Conv{number}.conv", come, out, 0, 1)
        layer(f"Conv{number}.conv", out, out, 3, 4)
    for number, (out, come) in enumerate(pairwise(widths), 2):
        layer(f"Up{number}.up", come, out, 1, 2)
        for part, width, inner in (("W_g", out, out // 2), ("W_x", out, out // 2), ("psi", out // 2, 1)):
            layer(f"Att{number}.{part}", width, inner, 0, 1, size=1)
        layer(f"Up_conv{number}.conv", 2 * out, out, 0, 1)
        layer(f"Up_conv{number}.conv", out, out, 3, 4)
    return shapes


def test_a_checkpoint_of_lee_jun_hyun_computes_the_same(tmp_path):
    widths = (4, 8, 8, 12, 16)
    shapes = lee_jun_hyun_names(widths)
    state = randomised({name: torch.randn(shape) / 4 for name, shape in shapes.items()})
    torch.save(state, tmp_path / "attunet.pth")
    model = built(classes=2, kind="additive", widths=widths).eval()
    assert load_published(model, tmp_path / "attunet.pth") == ()
    x = torch.rand(1, 3, 48, 32)
    with torch.no_grad(), fv.record(model) as maps:
        logits, gates = lee_jun_hyun(state, x)
        torch.testing.assert_close(model(x), logits, atol=1e-4, rtol=1e-4)
    for number, gate in enumerate(gates):
        torch.testing.assert_close(maps[f"skips.{number}"], gate)
    plain = {name: value for name, value in state.items() if not name.startswith("Att")}
    torch.save(plain, tmp_path / "unet.pth")
    model = fv.create_model("unet", classes=2, encoder=None, widths=widths).eval()
    assert load_published(model, tmp_path / "unet.pth") == ()
    with torch.no_grad():
        torch.testing.assert_close(model(x), lee_jun_hyun(plain, x, gated=False)[0], atol=1e-4, rtol=1e-4)


def authors(state, x, gates):
    """Return the logits of the authors' 3-D network by the paper and its code's description."""
    net, maps = Layers(state), []

    def pair(path, x):
        return net.layer(f"{path}.conv2", net.layer(f"{path}.conv1", x))

    for name in ("conv1", "conv2", "conv3", "conv4", "center"):
        maps.append(pair(name, F.max_pool3d(maps[-1], 2) if maps else x))
    y = maps.pop()
    asking, sides = net.layer("gating.conv1", y), []
    for number in range(4, 0, -1):
        skip = maps.pop()
        if number > 1:
            block, seen = f"attentionblock{number}", []
            for gate in (f"{block}.gate_block_{n}" for n in range(1, gates + 1)):
                theta = net.conv(f"{gate}.theta", skip, stride=2, padding=0)
                phi = net.linear(net.conv(f"{gate}.phi", asking), theta.shape[2:])
                alpha = net.linear(net.conv(f"{gate}.psi", F.relu(theta + phi)).sigmoid(), skip.shape[2:])
                seen.append(net.norm(f"{gate}.W.1", net.conv(f"{gate}.W.0", alpha * skip)))
            skip = net.layer(f"{block}.combine_gates", torch.cat(seen, 1))
        y = asking = pair(f"up_concat{number}.conv", torch.cat([skip, net.linear(y, skip.shape[2:])], 1))
        side = net.conv(f"dsv{number}.dsv.0" if number > 1 else "dsv1", y)
        sides.insert(0, net.linear(side, x.shape[2:]))
    return net.conv("final", torch.cat(sides, 1))


def authors_names(widths, gates):
    """Return the shapes of the authors' weights by name."""
    shapes, classes = {}, 3

    def conv(path, come, out, size, bias=True):
        shapes[f"{path}.weight"] = (out, come, size, size, size)
        if bias:
            shapes[f"{path}.bias"] = (out,)

    def layer(path, come, out, size=1):
        conv(f"{path}.0", come, out, size)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{path}.1.{part}"] = (out,)

    for name, come, out in zip(
        ("conv1", "conv2", "conv3", "conv4", "center"), (1, *widths), widths, strict=False
    ):
        layer(f"{name}.conv1", come, out, 3)
        layer(f"{name}.conv2", out, out, 3)
    layer("gating.conv1", widths[-1], widths[-1])
    for number, (out, below) in enumerate(pairwise(widths), 1):
        layer(f"up_concat{number}.conv.conv1", out + below, out, 3)
        layer(f"up_concat{number}.conv.conv2", out, out, 3)
        conv(f"dsv{number}.dsv.0" if number > 1 else "dsv1", out, classes, 1)
        for gate in (f"attentionblock{number}.gate_block_{n}" for n in range(1, gates + 1) if number > 1):
            layer(f"{gate}.W", out, out)
            conv(f"{gate}.theta", out, out, 2, bias=False)
            conv(f"{gate}.phi", below, out, 1)
            conv(f"{gate}.psi", out, 1, 1)
        if number > 1:
            layer(f"attentionblock{number}.combine_gates", gates * out, out)
    conv("final", 4 * classes, classes, 1)
    return shapes


@mark.parity("segmentation.attention_unet")
@mark.parametrize("gates", [1, 2])
def test_a_checkpoint_of_the_authors_computes_the_same(tmp_path, gates):
    widths = (2, 4, 6, 8, 10)
    shapes = authors_names(widths, gates)
    state = randomised({name: torch.randn(shape) / 4 for name, shape in shapes.items()})
    torch.save(state, tmp_path / "gated.pth")
    options = {"classes": 3, "in_channels": 1, "gates": gates, "dimensions": 3, "widths": widths}
    model = built(**options).eval()
    assert load_published(model, tmp_path / "gated.pth") == ()
    x = torch.rand(1, 1, 16, 32, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(x), authors(state, x, gates), atol=1e-4, rtol=1e-4)


@mark.parametrize("dimensions", [2, 3])
@mark.parametrize("kind", ["grid", "additive", "monai"])
def test_any_size_any_channels_one_image(kind, dimensions):
    model = built(classes=2, in_channels=5, kind=kind, dimensions=dimensions, widths=(4, 6, 8))
    size = (9, 7, 5)[:dimensions]
    y = model(torch.rand(1, 5, *size))
    assert y.shape == (1, 2, *size)
    y.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model(torch.rand(1, 5, *(1,) * dimensions)).shape == (1, 2, *(1,) * dimensions)


def test_gates_sit_at_every_skip_connection_but_the_authors_finest():
    def gated(**options):
        with torch.device("meta"):
            model = built(classes=2, **options)
        return [number for number, skip in enumerate(model.skips) if not isinstance(skip, nn.Identity)]

    assert gated() == [1, 2, 3]
    assert gated(kind="additive") == gated(kind="monai") == [0, 1, 2, 3]
    assert gated(gates=0) == gated(kind="additive", gates=0) == []


def test_impossible_options_are_named():
    for options, said in (
        ({"kind": "soft"}, "kind"),
        ({"kind": "monai", "gates": 2}, "gates"),
        ({"kind": "additive", "deep_supervision": True}, "deep_supervision"),
        ({"dimensions": 4}, "dimensions"),
        ({"widths": (8,)}, "widths"),
    ):
        with raises(OptionError, match=said):
            built(classes=2, **options)
