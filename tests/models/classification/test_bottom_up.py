"""The bottom-up classifier: its formulas by loops in float64, its switches, any size, its maps, its cost."""

import io
import math
import warnings

import pytest
import torch
import torchvision
from torch.nn.functional import adaptive_avg_pool2d

import foveate as fv
from foveate.errors import OptionError, ShapeError, UnknownNameError
from foveate.mechanisms.spatial.pyramid_pool import PyramidPool, over_positions, regions
from tests.drawn import drawn

SWITCHES = [
    "",
    "region_attention=false",
    "level_attention=false",
    "region_attention=false, level_attention=false",
    "statistic=mean",
    "gated=true",
    "layer_attention=input",
    "layer_attention=equal",
    "layers=1",
    "concatenate=true",
    "levels=none",
    "levels=none, layers=1",
]


def small(options="", classes=4):
    inner = ", ".join(
        part for part in ("backbone=resnet8", "levels=(1, 2)", "hidden=6", "width=8", options) if part
    )
    if "levels=none" in options:
        inner = inner.replace("levels=(1, 2), ", "")
    return drawn(fv.create_model(f"bottom_up({inner})", classes=classes)).double()


def pooled(model, y, options):
    """One picture's vector of one layer (C,), from its map (C, H, W), by the formulas."""
    pool = model.pools[list(model.encoder.channels[-len(model.pools) :]).index(y.shape[0])]
    if "levels=none" in options:
        return torch.stack([channel.sum() / channel.numel() for channel in y])
    kept, levels, scores = [], [], []
    for number, level in enumerate((1, 2)):
        for i in range(level):
            for j in range(level):
                box = y[
                    :,
                    math.floor(i * y.shape[1] / level) : math.ceil((i + 1) * y.shape[1] / level),
                    math.floor(j * y.shape[2] / level) : math.ceil((j + 1) * y.shape[2] / level),
                ].flatten(1)
                kept.append(box.mean(dim=1) if "statistic=mean" in options else box.max(dim=1).values)
                levels.append(number)
    if "concatenate" in options:
        return torch.cat(kept)
    for region, number in zip(kept, levels, strict=True):
        if not pool.attends:
            scores.append(0.0)
            continue
        placed = region + pool.level[number]
        hidden = (pool.embed.weight @ placed + pool.embed.bias).tanh()
        if "gated" in options:
            hidden = hidden * (pool.gate_hidden.weight @ placed + pool.gate_hidden.bias).sigmoid()
        scores.append(float(pool.score.weight[0] @ hidden))
    sums = [sum(math.exp(s) for s, n in zip(scores, levels, strict=True) if n == number) for number in (0, 1)]
    z = 0
    for region, number, score in zip(kept, levels, scores, strict=True):
        level = sums[number] / sum(sums) if "level_attention=false" not in options else (1, 4)[number] / 5
        inside = math.exp(score) / sums[number]
        if "region_attention=false" in options:
            inside = 1 / (1, 4)[number]
        z = z + level * inside * region
    return z


def expected(model, x, options):
    rows = []
    for picture in range(len(x)):
        vectors = [pooled(model, y[picture], options) for y in model.encoder(x)]
        if "layers=1" in options:
            (z,) = vectors
        else:
            weigh, found = model.layer_weights, []
            for project, norm, vector in zip(weigh.projections, weigh.norms, vectors, strict=True):
                g = project.weight @ vector
                g = (g - g.mean()) / (((g - g.mean()) ** 2).mean() + 1e-5).sqrt()
                found.append(g * norm.weight + norm.bias)
            if "equal" in options:
                raised, gamma = [1.0] * 3, 1.0
            elif "input" in options:
                raised = [math.exp(weigh.score.weight[0] @ (weigh.see.weight @ g).tanh()) for g in found]
                gamma = 1.0
            else:
                raised, gamma = [math.exp(w) for w in weigh.logits], weigh.gamma
            z = gamma * sum(r / sum(raised) * g for r, g in zip(raised, found, strict=True))
        rows.append(model.scores.weight @ z + model.scores.bias)
    return torch.stack(rows)


@pytest.mark.parametrize("options", SWITCHES)
@torch.no_grad()
def test_equals_the_formulas_written_out(options):
    model, x = small(options), torch.randn(2, 3, 11, 14, dtype=torch.float64)
    torch.testing.assert_close(model(x), expected(model, x, options), rtol=0, atol=1e-9)


def head(model):
    return sum(p.numel() for n, p in model.named_parameters() if not n.startswith("encoder."))


@pytest.mark.parametrize("options", SWITCHES)
def test_parameters_follow_the_closed_form(options):
    widths = (64,) if "layers=1" in options else (16, 32, 64)
    levels, k, d, w, q, layers, features = 2, 5, 6, 8, 4, len(widths), sum(widths)
    gates = 2 if "gated" in options else 1
    attends = not ("none" in options or "concatenate" in options or options.count("=false") == 2)
    count = sum(levels * c + gates * d * (c + 1) + d for c in widths) if attends else 0
    if layers > 1:
        joined = k * features if "concatenate" in options else features
        weights = {"input": w * (w + 1), "equal": 0}.get(options.rpartition("=")[2], layers + 1)
        count += joined * w + 2 * layers * w + weights + q * (w + 1)
    else:
        count += q * (features + 1)
    assert head(small(options)) == count


@torch.no_grad()
def test_one_model_takes_pictures_of_any_size_and_no_picture_influences_another():
    model = small()
    for size in ((13, 13), (10, 17), (3, 40), (1, 1)):
        x = torch.randn(3, 3, *size, dtype=torch.float64)
        found = model(x)
        assert found.shape == (3, 4)
        torch.testing.assert_close(model(x[1:2]), found[1:2])


def test_maps_over_regions_levels_layers_and_positions_are_recorded_and_recording_changes_nothing():
    model, x = small("layer_attention=input"), torch.randn(2, 3, 16, 12, dtype=torch.float64)
    plain = model(x)
    with fv.record(model) as maps:
        assert torch.equal(model(x), plain)
    shapes = {path: tuple(weights.shape) for path, weights in maps.items()}
    pools = {f"pools.{n}.{tap}": (2, k) for n in range(3) for tap, k in (("map", 5), ("level_map", 2))}
    assert shapes == {**pools, "layer_weights": (2, 3), "positions": (2, 3, 16, 12)}
    for path, weights in maps.items():
        over = (2, 3) if path == "positions" else 1
        torch.testing.assert_close(weights.sum(dim=over), torch.ones_like(weights.sum(dim=over)))
    torch.testing.assert_close(
        maps["pools.1.level_map"],
        torch.stack([m.sum(dim=1) for m in maps["pools.1.map"].split([1, 4], 1)], 1),
    )


def test_weights_of_regions_are_spread_evenly_over_them():
    weights = torch.rand(1, 14, dtype=torch.float64)
    found = over_positions(weights, (1, 2, 3), 5, 7)[0]
    for y in range(5):
        for x in range(7):
            total, k = 0.0, 0
            for level in (1, 2, 3):
                for i in range(level):
                    for j in range(level):
                        rows = range(i * 5 // level, -(-(i + 1) * 5 // level))
                        columns = range(j * 7 // level, -(-(j + 1) * 7 // level))
                        if y in rows and x in columns:
                            total += weights[0, k].item() / (len(rows) * len(columns))
                        k += 1
            assert found[y, x].item() == pytest.approx(total)


@pytest.mark.parametrize("size", [(13, 13), (10, 17), (7, 5), (1, 1)])
def test_means_of_regions_equal_adaptive_pooling(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    wanted = torch.cat([adaptive_avg_pool2d(x, n).flatten(2) for n in (1, 3, 4)], dim=2)
    torch.testing.assert_close(regions(x, (1, 3, 4), "mean").transpose(1, 2), wanted)


def test_both_attentions_are_one_softmax_over_all_regions():
    pool, x = PyramidPool(5).double(), torch.randn(2, 5, 9, 8, dtype=torch.float64)
    _, weights = pool.read(x)
    scores = pool._scores(regions(x, pool.levels))
    torch.testing.assert_close(weights, scores.softmax(dim=1))


@pytest.mark.slow
def test_vision_transformers_and_networks_of_timm_and_torchvision_are_backbones():
    for name, layers, size in (
        ("timm/vit_tiny_patch16_224(img_size=32)", 1, 32),
        ("timm/test_efficientnet", 3, 64),
        ("torchvision/mobilenet_v3_small", 3, 64),
    ):
        bare, _, options = name.rstrip(")").partition("(")
        model = fv.create_model(f"bottom_up(backbone={bare}{options and ', ' + options})", classes=3).eval()
        assert len(model.pools) == layers and model(torch.rand(2, 3, size, size)).shape == (2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "concatenate=true", "levels=none, layers=1"])
def test_the_inference_path_is_exported_for_any_size(options):
    model, x = small(options).float(), torch.rand(2, 3, 16, 12)
    sizes = {
        0: torch.export.Dim("b", min=1),
        2: torch.export.Dim("h", min=8),
        3: torch.export.Dim("w", min=8),
    }
    program = torch.export.export(model, (x,), dynamic_shapes=(sizes,))
    for shape in ((3, 3, 21, 9), (1, 3, 32, 32)):
        other = torch.rand(shape)
        torch.testing.assert_close(program.module()(other), model(other))


@pytest.mark.nightly
@torch.no_grad()
def test_it_runs_in_onnx():
    onnxruntime = pytest.importorskip("onnxruntime")
    model, stream = small("").float(), io.BytesIO()
    batch = torch.export.Dim("b", min=1, max=64)
    program = torch.export.export(model, (torch.rand(2, 3, 16, 12),), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(program, dynamo=True, opset_version=18, verbose=False).save(stream)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    other = torch.rand(3, 3, 16, 12)
    (found,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(other), rtol=1e-4, atol=1e-4)


def test_weights_of_the_plain_classifier_are_kept(tmp_path, caplog):
    plain = drawn(torchvision.models.resnet18(num_classes=4))
    torch.save(plain.state_dict(), tmp_path / "mine.pth")
    x = torch.rand(2, 3, 64, 64)
    same = fv.create_model("bottom_up(backbone=resnet18, levels=none, layers=1)", classes=4).eval()
    assert fv.load_published(same, tmp_path / "mine.pth") == ()
    with torch.no_grad():
        torch.testing.assert_close(same(x), plain(x), rtol=1e-4, atol=1e-4)
    other = fv.create_model("bottom_up(backbone=resnet18, levels=(1, 2), layers=1)", classes=7)
    fresh = fv.load_published(other, tmp_path / "mine.pth")
    assert {name.split(".")[0] for name in fresh} == {"pools", "scores"}
    assert "starts afresh" not in caplog.text
    whole = fv.create_model("bottom_up(backbone=resnet18, levels=(1, 2))", classes=4)
    fv.load_published(whole, tmp_path / "mine.pth")
    assert torch.equal(whole.encoder.state_dict()["layer4.1.conv2.weight"], plain.layer4[1].conv2.weight)
    assert "scores starts afresh" in caplog.text


@pytest.mark.parametrize("start", ["identity", "paper"])
def test_the_pooling_is_inserted_into_a_model_whose_weights_and_output_are_kept(start):
    plain, x = drawn(torchvision.models.resnet18(num_classes=4)), torch.rand(2, 3, 64, 64)
    spec = "pyramid_pool(levels=(1, 2), level_attention=false, statistic=mean)@pool"
    attended = fv.insert(plain, spec, example=x, start=start)
    assert attended.state_dict().keys() > plain.state_dict().keys()
    with fv.record(attended) as maps, torch.no_grad():
        found = attended(x)
    assert torch.equal(found, plain(x)) == (start == "identity")
    assert sorted(tuple(weights.shape) for weights in maps.values()) == [(2, 2), (2, 5)]


def test_half_precision():
    model, x = small().float(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        plain = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(x).float(), plain, atol=0.1, rtol=0.1)
        torch.testing.assert_close(model.bfloat16()(x.bfloat16()).float(), plain, atol=0.1, rtol=0.1)


def test_every_weight_gets_a_gradient():
    for options in ("", "layer_attention=input", "region_attention=false", "concatenate=true"):
        model = small(options).train()
        model(torch.randn(3, 3, 12, 12, dtype=torch.float64)).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in model.parameters()), options


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ("layers=4", OptionError, "layers: got 4, expected a whole number of at most 3"),
        ("layer_attention=soft", OptionError, "layer_attention: got 'soft'"),
        ("levels=(2, 2)", OptionError, "levels"),
        ("levels=none, concatenate=true", OptionError, "concatenate: needs levels"),
        ("statistic=median", OptionError, "statistic: got 'median'"),
        ("backbone=resnet9", UnknownNameError, "resnet9"),
    ],
)
def test_impossible_options(options, error, said):
    backbone = "" if "backbone" in options else "backbone=resnet8, "
    with pytest.raises(error, match=said):
        fv.create_model(f"bottom_up({backbone}{options})", classes=3)


def test_images_of_other_channels_are_told():
    with pytest.raises(ShapeError, match="in_channels"):
        small()(torch.rand(2, 1, 12, 12, dtype=torch.float64))
