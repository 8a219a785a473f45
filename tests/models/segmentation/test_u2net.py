import torch
from pytest import mark, param, raises
from torch.nn import functional as F

import foveate as fv
from foveate.errors import OptionError
from foveate.models.published import load_published
from foveate.models.segmentation.u2net import Stage

STAGES = {
    "u2net": [206_016, 305_856, 1_108_992, 3_986_688, 10_034_688, 10_034_688],
    "u2netp": [67_200, 95_328, 88_320, 81_312, 81_312, 81_312],
}
UP = {
    "u2net": [139_200, 323_904, 1_181_952, 4_280_064, 12_393_984],
    "u2netp": [139_200, 132_192, 125_184, 118_176, 118_176],
}
SIDES = {"u2net": [577, 577, 1153, 2305, 4609, 4609], "u2netp": [577] * 6}


def count(module):
    return sum(p.numel() for p in module.parameters())


@mark.parametrize("name, total, size", [("u2net", 44_009_869, 176_155_572), ("u2netp", 1_131_181, 4_548_404)])
def test_parameters_of_every_stage_as_the_authors_have_them(name, total, size):
    with torch.device("meta"):
        model = fv.create_model(name, classes=1)
    assert count(model) == total
    assert [count(getattr(model, f"stage{n}")) for n in range(1, 7)] == STAGES[name]
    assert [count(getattr(model, f"stage{n}d")) for n in range(1, 6)] == UP[name]
    assert [count(getattr(model, f"side{n}")) for n in range(1, 7)] == SIDES[name]
    state = model.state_dict()
    assert len(state) == 798 and sum(v.numel() * v.element_size() for v in state.values()) == size


def published(name):
    """Return a checkpoint under the authors' names, of random numbers."""
    state = fv.create_model(name, classes=1).state_dict()
    for key, value in state.items():
        if key.endswith(("running_mean", "bias")):
            value.normal_(std=0.1)
        elif value.ndim == 1:
            value.uniform_(0.5, 1.5)
    return {key.replace("fusion.fuse", "outconv"): value for key, value in state.items()}


def reference(state, x):
    """Return the seven maps by the paper's table, as functions of the published weights."""

    def unit(path, x, rate=1):
        y = F.conv2d(
            x, state[f"{path}.conv_s1.weight"], state[f"{path}.conv_s1.bias"], padding=rate, dilation=rate
        )
        norm = [state[f"{path}.bn_s1.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(y, *norm))

    def up(x, like):
        return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)

    def pool(x):
        return F.max_pool2d(x, 2, 2, ceil_mode=True)

    def nested(path, number, layers, x):
        """Recurse: a layer, what lies below it, and the layer back up."""
        x = unit(f"{path}.rebnconv{number}", x, 2 if number == layers else 1)
        if number == layers:
            return x
        below = nested(path, number + 1, layers, x if number == layers - 1 else pool(x))
        return unit(f"{path}.rebnconv{number}d", torch.cat([up(below, x), x], 1))

    def flat(path, x):
        a = unit(f"{path}.rebnconv1", x)
        b = unit(f"{path}.rebnconv2", a, 2)
        c = unit(f"{path}.rebnconv3", b, 4)
        d = unit(f"{path}.rebnconv4", c, 8)
        c = unit(f"{path}.rebnconv3d", torch.cat([d, c], 1), 4)
        b = unit(f"{path}.rebnconv2d", torch.cat([c, b], 1), 2)
        return unit(f"{path}.rebnconv1d", torch.cat([b, a], 1))

    def stage(path, x):
        x, layers = unit(f"{path}.rebnconvin", x), {"1": 7, "2": 6, "3": 5, "4": 4}.get(path[5])
        return x + (nested(path, 1, layers, x) if layers else flat(path, x))

    maps = [stage("stage1", x)]
    for n in range(2, 7):
        maps.append(stage(f"stage{n}", pool(maps[-1])))
    for n in range(4, -1, -1):
        maps[n] = stage(f"stage{n + 1}d", torch.cat([up(maps[n + 1], maps[n]), maps[n]], 1))
    sides = [
        F.conv2d(y, state[f"side{n}.weight"], state[f"side{n}.bias"], padding=1)
        for n, y in enumerate(maps, 1)
    ]
    sides = [up(side, x) for side in sides]
    fused = F.conv2d(torch.cat(sides, 1), state["outconv.weight"], state["outconv.bias"])
    return [y.sigmoid() for y in (fused, *sides)]


@mark.parametrize("size", [param((65, 97), marks=mark.nightly), (33, 47)])
def test_a_checkpoint_of_the_authors_computes_the_seven_maps(tmp_path, size):
    state, x = published("u2netp"), torch.rand(1, 3, *size)
    torch.save(state, tmp_path / "u2netp.pth")
    model = fv.create_model("u2netp", classes=1, official_output=True).eval()
    assert load_published(model, tmp_path / "u2netp.pth") == ()
    with torch.no_grad():
        ours, theirs = model(x), reference(state, x)
    assert len(ours) == 7
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-5, rtol=1e-5)
    model.official_output = False
    torch.testing.assert_close(model(x).sigmoid(), theirs[0], atol=1e-5, rtol=1e-5)


def test_seven_outputs_while_training_on_one_image():
    model = fv.create_model("u2netp", classes=2, in_channels=1)
    logits = model(torch.rand(1, 1, 21, 34))
    assert list(logits) == ["out", *(f"aux{n}" for n in range(1, 7))]
    assert all(y.shape == (1, 2, 21, 34) for y in logits.values())
    logits["out"].square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.eval()(torch.rand(2, 1, 1, 1)).shape == (2, 2, 1, 1)


def test_sides_weigh_as_they_are_fused():
    for fusion, kept in (("conv", (2, 6, 2)), ("softmax", (6,))):
        model = fv.create_model("u2netp", classes=2, fusion=fusion)
        assert model.fusion_weights().shape == kept
    with torch.no_grad(), fv.record(model.eval()) as maps:
        logits = model.heads(torch.rand(1, 3, 16, 16))
    assert torch.equal(maps["fusion"], torch.full((1, 6), 1 / 6))
    sides = torch.stack([logits[f"aux{n}"] for n in range(1, 7)])
    torch.testing.assert_close(logits["out"], sides.mean(0))
    model = fv.create_model("u2netp", classes=2, fusion="spatial").eval()
    with torch.no_grad(), fv.record(model) as maps:
        model(torch.rand(1, 3, 16, 16))
    torch.testing.assert_close(maps["fusion"].sum(1), torch.ones(1, 16, 16))
    with raises(OptionError, match="fusion"):
        fv.create_model("u2netp", classes=1, fusion="mean")


@mark.nightly
def test_an_exported_stage_takes_sizes_of_its_own():
    stage = Stage(3, 2, 4, 5).eval()
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    exported = torch.export.export(stage, (torch.rand(2, 3, 80, 96),), dynamic_shapes=(free,)).module()
    x = torch.rand(3, 3, 77, 101)
    with torch.no_grad():
        torch.testing.assert_close(exported(x), stage(x), atol=1e-5, rtol=1e-4)
