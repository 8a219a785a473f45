import logging
import re
from functools import partial

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.layers.cbam import CbamModule
from torch import nn

from foveate.errors import CheckpointError, OptionError
from foveate.models import create_model, load_published, model_normalisation
from tests.drawn import drawn, unset

slow, nightly = (partial(pytest.param, marks=mark) for mark in (pytest.mark.slow, pytest.mark.nightly))

BAM = {  # of a stage of C channels: its kind, shape of the weight, and whether it is a normalisation
    "channel_att.gate_c.gate_c_fc_0": ("r", "c"),
    "channel_att.gate_c.gate_c_bn_1": ("r",),
    "channel_att.gate_c.gate_c_fc_final": ("c", "r"),
    "spatial_att.gate_s.gate_s_conv_reduce0": ("r", "c", 1, 1),
    "spatial_att.gate_s.gate_s_bn_reduce0": ("r",),
    "spatial_att.gate_s.gate_s_conv_di_0": ("r", "r", 3, 3),
    "spatial_att.gate_s.gate_s_bn_di_0": ("r",),
    "spatial_att.gate_s.gate_s_conv_di_1": ("r", "r", 3, 3),
    "spatial_att.gate_s.gate_s_bn_di_1": ("r",),
    "spatial_att.gate_s.gate_s_conv_final": (1, "r", 1, 1),
}
GATES = {  # of a block of C channels, by the name that the authors give: SE, CBAM
    "moskomule": {"se.fc.0.weight": ("r", "c"), "se.fc.2.weight": ("c", "r")},
    "cbam": {
        "cbam.ChannelGate.mlp.1.weight": ("r", "c"),
        "cbam.ChannelGate.mlp.1.bias": ("r",),
        "cbam.ChannelGate.mlp.3.weight": ("c", "r"),
        "cbam.ChannelGate.mlp.3.bias": ("c",),
        "cbam.SpatialGate.spatial.conv.weight": (1, 2, 7, 7),
        "cbam.SpatialGate.spatial.bn.weight": (1,),
        "cbam.SpatialGate.spatial.bn.bias": (1,),
        "cbam.SpatialGate.spatial.bn.running_mean": (1,),
        "cbam.SpatialGate.spatial.bn.running_var": (1,),
    },
}


def same_output(model, other, size=(2, 3, 71, 58)):
    x = torch.randn(size, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours, theirs = model.eval()(x), other.eval()(x)
    assert theirs.std() > 1e-3
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def saved(tmp_path, state, prefix="", nest=None):
    state = {prefix + name: value for name, value in state.items()}
    path = tmp_path / "published.pth"
    torch.save({nest: state, "epoch": 90} if nest else state, path)
    return path


def legacy(name):
    return lambda: timm.create_model(f"legacy_{name}")


def timm_resnet50(**attention):
    return lambda: timm.create_model("resnet50", block_args=attention)


@pytest.mark.slow
@pytest.mark.parity("classification.gc_resnet", "classification.sknet")
@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        nightly("se_resnet50", {}, lambda: timm.create_model("seresnet50")),
        ("se_resnet18", {"least": 8}, lambda: timm.create_model("seresnet18")),
        nightly("se_resnext50", {}, lambda: timm.create_model("seresnext50_32x4d")),
        ("se_resnet50", {"caffe": True}, legacy("seresnet50")),
        nightly("se_resnext50", {"caffe": True}, legacy("seresnext50_32x4d")),
        nightly("eca_resnet50", {}, timm_resnet50(attn_layer="eca")),
        ("gc_resnet50", {"reduction": 8, "stages": (1, 2, 3, 4)}, timm_resnet50(attn_layer="gca")),
        nightly(
            "gc_resnet50",
            {"reduction": 8, "stages": (1, 2, 3, 4), "fuse": "scale"},
            timm_resnet50(attn_layer="gc"),
        ),
        ("sknet50", {}, lambda: timm.create_model("skresnext50_32x4d")),
        ("cbam_resnet50", {}, timm_resnet50(attn_layer=partial(CbamModule, mlp_bias=True))),
        nightly("cbam_resnet50", {"bias": False}, timm_resnet50(attn_layer="cbam")),
    ],
)
def test_timms_weights_give_timms_output(tmp_path, name, options, theirs):
    other = drawn(unset(theirs))
    path = tmp_path / "published.safetensors"
    save_file(other.state_dict(), path)
    model = unset(create_model, name, **options)
    assert load_published(model, path) == ()
    same_output(model, other)


@pytest.mark.parametrize(("bias", "needed"), [(True, "bias=False"), (False, "bias=True")])
def test_whether_timms_cbam_has_biases_is_told(bias, needed):
    layer = partial(CbamModule, mlp_bias=not bias)
    with torch.device("meta"):
        theirs = timm.create_model("resnet18", block_args={"attn_layer": layer}).state_dict()
        with pytest.raises(CheckpointError, match=f"Create it with {needed}"):
            create_model("cbam_resnet18", bias=bias).from_published(theirs)


@pytest.mark.parametrize(
    ("depth", "sizes"),
    [
        (18, (3, 5, 7, 7)),
        slow(50, (3, 5, 5, 7)),
        *(nightly(depth, (3, 3, 5, 7)) for depth in (34, 101, 152)),
    ],
)
def test_the_five_files_of_ecas_authors_fit(depth, sizes):
    with torch.device("meta"):
        plain = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        model, usual = (
            create_model(f"eca_resnet{depth}", kernel_sizes=sizes),
            create_model(f"eca_resnet{depth}"),
        )
    blocks = {re.match(r"layer(\d)\.\d+", name)[0] for name in plain if name.startswith("layer")}
    theirs = {f"{at}.eca.conv.weight": torch.zeros(1, 1, sizes[int(at[5]) - 1]) for at in blocks}
    found, own = model.from_published({**plain, **theirs}), model.state_dict()
    assert {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in own.items()}
    with pytest.raises(CheckpointError, match=re.escape(f"Create it with kernel_sizes={sizes}")):
        usual.from_published({**plain, **theirs})


@pytest.mark.parity("classification.eca_resnet")
def test_a_file_of_ecas_authors_computes_what_it_did(tmp_path):
    plain, sizes = drawn(unset(torchvision.models.resnet18)), (3, 5, 7, 7)
    state, generator = plain.state_dict(), torch.Generator().manual_seed(1)
    for stage, size in enumerate(sizes, start=1):
        for number, block in enumerate(getattr(plain, f"layer{stage}")):
            kernel = torch.rand(1, 1, size, generator=generator) - 0.5
            state = {**state, f"layer{stage}.{number}.eca.conv.weight": kernel}

            def gated(module, inputs, y, kernel=kernel):
                means = y.mean((2, 3))[:, None]
                gates = nn.functional.conv1d(means, kernel, padding=kernel.shape[2] // 2).sigmoid()
                return y * gates[:, 0, :, None, None]

            block.bn2.register_forward_hook(gated)
    model = unset(create_model, "eca_resnet18", kernel_sizes=sizes)
    assert load_published(model, saved(tmp_path, state, prefix="module.", nest="state_dict")) == ()
    same_output(model, plain)


@pytest.mark.parametrize("sizes", [(3, 5, 7), 5, "3577", (3, 5, 7, 8)])
def test_impossible_kernels_are_told(sizes):
    with pytest.raises(OptionError, match="kernel_size"):
        create_model("eca_resnet18", kernel_sizes=sizes)
    with pytest.raises(OptionError, match="both given"):
        create_model("eca_resnet18", kernel_sizes=(3, 5, 7, 7), kernel_size=3)


@pytest.mark.nightly
@pytest.mark.parametrize("theirs", ["senet154", "legacy_senet154"])
def test_every_weight_of_senet154_finds_its_place(theirs):
    with torch.device("meta"):
        model, other = create_model("senet154", caffe="legacy" in theirs), timm.create_model(theirs)
        found = model.from_published(other.state_dict())
        own = model.state_dict()
    assert {name: value.shape for name, value in found.items()} == {n: v.shape for n, v in own.items()}


def authors_state(kind, depth=50):
    """Return random weights under the names and in the shapes of the authors' ResNet."""
    plain = unset(getattr(torchvision.models, f"resnet{depth}"))
    state = drawn(plain).state_dict()
    generator = torch.Generator().manual_seed(1)
    for stage in range(1, 5):
        for number, block in enumerate(getattr(plain, f"layer{stage}")):
            c = block.conv3.out_channels
            for name, shape in GATES[kind].items():
                sizes = [{"c": c, "r": c // 16}.get(size, size) for size in shape]
                state[f"layer{stage}.{number}.{name}"] = torch.rand(sizes, generator=generator) - 0.3
    return plain, {name: value.abs() if "running_var" in name else value for name, value in state.items()}


def gate(kind, state, path):
    """Return a hook that weighs the branch of the plain network as the authors do, by the formulas."""
    w = {name: state[f"{path}.{name}"] for name in GATES[kind]}

    def squeezed(v):
        if kind == "moskomule":
            return (v @ w["se.fc.0.weight"].T).relu() @ w["se.fc.2.weight"].T
        mlp = "cbam.ChannelGate.mlp."
        hidden = (v @ w[f"{mlp}1.weight"].T + w[f"{mlp}1.bias"]).relu()
        return hidden @ w[f"{mlp}3.weight"].T + w[f"{mlp}3.bias"]

    def hook(module, inputs, x):
        if kind == "moskomule":
            return x * squeezed(x.mean((2, 3))).sigmoid()[:, :, None, None]
        x = x * (squeezed(x.mean((2, 3))) + squeezed(x.amax((2, 3)))).sigmoid()[:, :, None, None]
        pooled = torch.stack([x.amax(1), x.mean(1)], dim=1)  # the maximum first
        bn = "cbam.SpatialGate.spatial.bn."
        logits = torch.conv2d(pooled, w["cbam.SpatialGate.spatial.conv.weight"], padding=3)
        logits = (logits - w[f"{bn}running_mean"]) / (w[f"{bn}running_var"] + 1e-5).sqrt()
        return x * (logits * w[f"{bn}weight"] + w[f"{bn}bias"]).sigmoid()

    return hook


@pytest.mark.slow
@pytest.mark.parity("classification.cbam_resnet")
@pytest.mark.parametrize(
    ("name", "kind", "options", "prefix", "nest"),
    [
        nightly("se_resnet50", "moskomule", {"bias": False}, "", None),
        ("cbam_resnet50", "cbam", {}, "module.", "state_dict"),
    ],
)
def test_authors_weights_give_the_authors_output(tmp_path, name, kind, options, prefix, nest):
    plain, state = authors_state(kind)
    model = unset(create_model, name, **options)
    old = {n: v for n, v in state.items() if "num_batches_tracked" not in n}  # as PyTorch 0.4 saved it
    assert load_published(model, saved(tmp_path, old, prefix, nest)) == ()
    for path, module in plain.named_modules():
        if path.endswith(".bn3"):
            module.register_forward_hook(gate(kind, state, path.removesuffix(".bn3")))
    same_output(model, plain)


def bam_state(channels):
    """Return random weights of one module under the names and in the shapes of the authors' code."""
    generator, state = torch.Generator().manual_seed(channels), {}
    for layer, shape in BAM.items():
        sizes = [{"c": channels, "r": channels // 16}.get(size, size) for size in shape]
        scale = torch.Size(sizes[1:]).numel() ** -0.5
        state[f"{layer}.weight"] = torch.randn(sizes, generator=generator) * scale
        state[f"{layer}.bias"] = torch.randn(sizes[0], generator=generator)
        if len(sizes) == 1:
            state[f"{layer}.running_mean"] = torch.randn(sizes, generator=generator)
            state[f"{layer}.running_var"] = torch.rand(sizes, generator=generator) + 0.5
            state[f"{layer}.num_batches_tracked"] = torch.tensor(9)
    return state


def bam(state, x):
    """Return what the authors' module computes, by its formulas: the branches are multiplied."""

    def layer(kind, x, **how):
        return torch.nn.functional.conv2d(x, state[f"{kind}.weight"], state[f"{kind}.bias"], **how)

    def normal(kind, x):
        held = (state[f"{kind}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, *held).relu()

    c, s = "channel_att.gate_c.gate_c_", "spatial_att.gate_s.gate_s_"
    hidden = x.mean((2, 3)) @ state[f"{c}fc_0.weight"].T + state[f"{c}fc_0.bias"]
    hidden = normal(f"{c}bn_1", hidden)
    channel = hidden @ state[f"{c}fc_final.weight"].T + state[f"{c}fc_final.bias"]
    y = normal(f"{s}bn_reduce0", layer(f"{s}conv_reduce0", x))
    for number in range(2):
        y = normal(f"{s}bn_di_{number}", layer(f"{s}conv_di_{number}", y, padding=4, dilation=4))
    return x * (1 + (channel[:, :, None, None] * layer(f"{s}conv_final", y)).sigmoid())


@pytest.mark.slow
def test_bams_authors_weights_give_the_authors_output(tmp_path):
    plain = drawn(unset(torchvision.models.resnet50))
    modules = {number: bam_state(128 * 2**number) for number in (1, 2, 3)}
    state = dict(plain.state_dict())
    for number, weights in modules.items():
        state |= {f"bam{number}.{name}": value for name, value in weights.items()}
        hook = lambda module, inputs, x, weights=weights: bam(weights, x)  # noqa: E731
        getattr(plain, f"layer{number}").register_forward_hook(hook)
    path = saved(tmp_path, state, "module.", "state_dict")
    with pytest.raises(CheckpointError, match="combine='multiply'; this one has combine='add'"):
        load_published(unset(create_model, "bam_resnet50"), path)
    model = unset(create_model, "bam_resnet50", combine="multiply")
    assert load_published(model, path) == ()
    same_output(model, plain)


def test_a_plain_network_leaves_the_mechanism_fresh_and_says_so(tmp_path, caplog):
    plain = drawn(unset(torchvision.models.resnet18))
    model = create_model("cbam_resnet18")
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with caplog.at_level(logging.WARNING, "foveate"):
        fresh = load_published(model, saved(tmp_path, plain.state_dict(), nest="model"))
    assert "no weights of the mechanism" in caplog.text
    own = model.state_dict()
    assert set(own) == {*fresh, *plain.state_dict()}
    assert all(torch.equal(own[name], start[name]) for name in fresh)
    assert all(torch.equal(own[name], value) for name, value in plain.state_dict().items())


def test_a_head_for_other_classes_stays_fresh(tmp_path):
    path = saved(tmp_path, drawn(unset(timm.create_model, "seresnet18", num_classes=7)).state_dict())
    model = unset(create_model, "se_resnet18", classes=5, least=8)
    assert load_published(model, path) == ("fc.weight", "fc.bias")


def test_create_model_reads_the_same_layouts(tmp_path):
    other = drawn(unset(timm.create_model, "seresnet18"))
    model = create_model("se_resnet18", least=8, weights=saved(tmp_path, other.state_dict()))
    same_output(model, other)


def test_images_are_brought_to_what_the_weights_expect(tmp_path):
    model = drawn(unset(create_model, "se_resnet18"))
    load_published(model, saved(tmp_path, model.state_dict()))
    assert model_normalisation(model)[0] == (0.485, 0.456, 0.406)
    small = drawn(unset(create_model, "se_resnet18", stem="cifar"))
    load_published(small, saved(tmp_path, small.state_dict()))
    assert model_normalisation(small)[0] == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "options", "theirs", "said"),
    [
        ("se_resnet18", {"placement": "post"}, "seresnet18", "placement='standard'"),
        ("se_resnet18", {}, "legacy_seresnet18", "caffe=True; this one has caffe=False"),
        slow("se_resnet18", {"caffe": True}, "legacy_seresnet18", "without bottlenecks that"),
        slow("se_resnet18", {"caffe": True}, "seresnet18", "caffe=False; this one has caffe=True"),
        ("eca_resnet18", {}, "seresnet18", "mechanism='se'"),
        (
            "sknet26",
            {},
            "resnet26",
            r"\d+ weights are missing.*\d+ are not in the model, such as \"layer1.0.conv2",
        ),
        slow(
            "se_resnet18", {}, "resnet26", r"such as \"layer1.0.conv1.weight\": \(64, 64, 1, 1\) in the file"
        ),
        slow(
            "se_resnet18", {}, "vit_tiny_patch16_224", r"weights are missing, such as \"conv1.weight\", \"bn1"
        ),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, name, options, theirs, said):
    path = saved(tmp_path, unset(timm.create_model, theirs).state_dict())
    with pytest.raises(CheckpointError, match=said):
        load_published(unset(create_model, name, **options), path)


def test_unknown_names_are_listed(tmp_path):
    state = drawn(unset(create_model, "se_resnet18")).state_dict()
    path = saved(tmp_path, {**state, "ema.decay": torch.zeros(1), "aux.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r'2 are not in the model, such as "ema.decay", "aux.weight"'):
        load_published(unset(create_model, "se_resnet18"), path)
