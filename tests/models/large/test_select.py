"""Classifiers of large pictures by patches: the published sizes, any network, training, what is seen."""

import copy

import pytest
import torch
import torchvision
from torch import nn

import foveate as fv
from foveate.errors import CheckpointError, OptionError
from foveate.large_pictures import PicturesInMemory
from foveate.mechanisms import mechanisms
from foveate.models.outputs import further_loss
from foveate.tasks import Classification
from foveate.train import TrainConfig, fit
from tests.picture_samples import Mixed
from tests.train.train_samples import feeds

SMALL = "attention_sampling(patches=3, size=14, scale=0.25)"
SELECTIONS = sorted(name for name in mechanisms if mechanisms[name].interface == "select")


def small(select=SMALL, **options):
    torch.manual_seed(0)
    return fv.create_model(f"select(select={select})", classes=4, in_channels=1, **options)


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_parameters_and_multiply_adds_are_those_of_the_reference_design():
    model = fv.create_model("select(in_channels=1)", classes=10).eval()
    assert count(model) == 30_411
    overview = 9 * 8 * (1 + 8 + 1) * 180 * 180
    patch = 49 * 32 * 44**2 + 9 * 32 * 32 * (42**2 + 40**2 + 38**2)
    macs = fv.cost(model, torch.zeros(1, 1, 1500, 1500)).macs
    assert macs == overview + 10 * patch + 32 * 10
    assert round(macs / 1e9, 3) == 0.497


def test_iterative_patch_selection_has_the_published_number_of_parameters():
    spec = "select(backbone=patch_resnet18, outputs=4, select=iterative_patch_selection(queries=4))"
    assert count(fv.create_model(spec, classes=10, in_channels=1)) == 880_232


def ips_file(path, model):
    """Write the weights of a model in the names and shapes of the authors' code."""
    layers = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5}
    ours = {
        "to_query": "crs_attn.q_w",
        "to_key": "crs_attn.k_w",
        "to_value": "crs_attn.v_w",
        "out": "crs_attn.fc",
        "norm": "crs_attn.layer_norm",
        "wide": "mlp.w_1",
        "narrow": "mlp.w_2",
        "last_norm": "mlp.layer_norm",
    }
    state = {}
    for name, value in model.state_dict().items():
        first, layer, rest = name.split(".", 2) if name.count(".") > 1 else (*name.split("."), "")
        if first == "backbone":
            state[f"encoder.{layers[layer]}.{rest}"] = value
        elif name == "choice.transformer.queries":
            state["transf.crs_attn.q"] = value.unsqueeze(0)
        elif first == "choice":
            part, end = rest.split(".")
            state[f"transf.{ours[part]}.{end}"] = value
        else:
            state[f"output_layers.{('majority', 'max')[int(layer)]}.0.{rest}"] = value
    torch.save(state, path)


def test_weights_of_the_authors_code_load(tmp_path):
    spec = "select(backbone=patch_resnet18, outputs=2, select=iterative_patch_selection(queries=2, size=20))"
    torch.manual_seed(1)
    theirs = fv.create_model(spec, classes=4, in_channels=1).eval()
    ips_file(tmp_path / "ips.pth", theirs)
    torch.manual_seed(2)
    ours = fv.create_model(spec, classes=4, in_channels=1).eval()
    assert fv.load_published(ours, tmp_path / "ips.pth") == ()
    x = torch.rand(1, 1, 60, 60)
    assert torch.equal(ours(x), theirs(x))
    with pytest.raises(CheckpointError):
        fv.load_published(fv.create_model("select(in_channels=1)", classes=4), tmp_path / "ips.pth")


@pytest.mark.parity("large.patch_resnet18")
def test_the_patch_network_is_the_start_of_torchvisions_resnet():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=3).eval()
    ours = fv.create_model("patch_resnet18", classes=3).eval()
    state = {n: v for n, v in theirs.state_dict().items() if not n.startswith("fc.")}
    ours.load_state_dict({**ours.state_dict(), **ours.from_published(state)})
    x = torch.rand(2, 3, 50, 50)
    stem = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    features = theirs.layer2(theirs.layer1(stem)).mean(dim=(2, 3))
    torch.testing.assert_close(ours(x), ours.fc(features))


@pytest.mark.parametrize("name", SELECTIONS)
def test_any_selection_trains_any_network_and_leaves_it_alone(name):
    torch.manual_seed(0)
    network = fv.create_model("resnet8", classes=3)
    before = copy.deepcopy(network.state_dict())
    model = fv.select(network, f"{name}(size=16)").train()
    targets = torch.tensor([0, 2])
    outputs = model(torch.rand(2, 3, 64, 48))
    logits = getattr(outputs, "logits", outputs)
    assert logits.shape == (2, 3)
    further = further_loss(outputs, targets)
    loss = nn.functional.cross_entropy(logits, targets) + (0 if further is None else further)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_weights_of_the_network_and_its_head_are_kept():
    torch.manual_seed(0)
    network = fv.create_model("timm/resnet18", classes=5).eval()
    model = fv.select(network, "centre_crops(patches=1, size=32)").eval()
    x = torch.rand(2, 3, 96, 64)
    torch.testing.assert_close(model(x), network(x[:, :, 32:64, 16:48]))
    plain = fv.create_model("timm/resnet18", classes=5)
    assert fv.load_published(model, _saved(plain)) == ()
    torch.testing.assert_close(model(x), plain.eval()(x[:, :, 32:64, 16:48]))


def _saved(model):
    import tempfile
    from pathlib import Path

    path = Path(tempfile.mkdtemp()) / "plain.pth"
    torch.save(model.state_dict(), path)
    return path


def test_a_network_without_a_linear_head_pools_its_scores():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            return self.conv(x).mean(dim=(2, 3))

    network = Own()
    model = fv.select(network, "centre_crops(patches=4, size=8)").eval()
    x = torch.rand(2, 1, 16, 16)
    crops = x.unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(model(x), network(crops).unflatten(0, (2, 4)).mean(dim=1))


def test_attention_over_features_is_their_softmax_where_patches_count_alike():
    model = small("centre_crops(patches=4, size=14)", aggregation="attention").eval()
    x = torch.rand(2, 1, 40, 40)
    patches = model.choice.select(x).patches
    features = model.encode(patches.flatten(0, 1)).unflatten(0, (2, 4))
    scores = model.gate.score(model.gate.embed(features).tanh())
    by_hand = model.scores((scores.softmax(dim=1) * features).sum(dim=1))
    torch.testing.assert_close(model(x), by_hand)


def test_the_regulariser_is_the_mean_negative_entropy():
    model = small(entropy=0.5).train()
    outputs = model(torch.rand(2, 1, 40, 40))
    a = outputs.attention.double()
    expected = 0.5 * sum((one * (one + 1e-6).log()).sum() for one in a) / 2
    torch.testing.assert_close(further_loss(outputs, None).double(), expected, rtol=1e-5, atol=1e-7)
    plain = small(entropy=0.0).train()(torch.rand(2, 1, 40, 40))
    assert isinstance(plain, torch.Tensor)


def test_several_scales_see_the_same_centre():
    model = small(scales=(1, 0.5)).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.zeros(1, 1, 64, 64)
    x[..., 32:] = 1.0
    found = model.look(x)[1]
    near, far = (patches.mean(dim=(1, 2, 3)) for patches in seen)
    column = found.places[0, :, 1].double()
    torch.testing.assert_close(near.double(), ((column + 14 - 32) / 14).clamp(0, 1))
    wide = ((column - 7 + 28).clamp(max=64) - 32).clamp(0, 28) / 28
    inside = (found.places[0, :, 0] >= 7) & (found.places[0, :, 0] <= 43)
    torch.testing.assert_close(far.double()[inside], wide[inside], rtol=0, atol=1e-5)


def test_what_was_looked_at_is_recorded():
    model = small().eval()
    x = torch.rand(2, 1, 40, 40)
    with fv.record(model) as maps:
        model(x)
    assert maps["choice.map"].shape == (2, 10, 10)
    found = model.look(x)[1]
    torch.testing.assert_close(maps["choice.places"], found.places, check_dtype=False)
    torch.testing.assert_close(maps["choice.weights"], found.weights)


def test_pictures_in_any_form_are_taken():
    model = small().eval()
    pictures = torch.rand(2, 1, 40, 60)
    expected = model(pictures)
    assert torch.equal(model(PicturesInMemory(pictures)), expected)
    assert torch.equal(model(Mixed(pictures)), expected)
    assert model(Mixed([pictures[0], torch.rand(1, 30, 20)])).shape == (2, 4)
    given = PicturesInMemory(pictures, {0.25: torch.zeros(2, 1, 10, 15)})
    assert not torch.equal(model(given), expected)


@pytest.mark.parametrize(
    "spec",
    [
        "select(backbone=resnet8, select=attention_sampling(size=8))",
        "downscaled(backbone=resnet8, scale=0.7)",
    ],
)
def test_the_training_loop_takes_it(spec, tmp_path):
    data, classes = feeds(), 3
    torch.manual_seed(0)
    model = fv.create_model(spec, classes=classes)
    task = Classification(("a", "b", "c"))
    result = fit(model, task, data, TrainConfig(epochs=1, batch_size=8), tmp_path)
    assert 0 <= result.val_score <= 1


def test_a_downscaled_network_sees_the_overview():
    torch.manual_seed(0)
    model = fv.create_model("downscaled(scale=0.5)", classes=4, in_channels=1).eval()
    pictures = PicturesInMemory(torch.rand(2, 1, 60, 40))
    torch.testing.assert_close(model(pictures), model.backbone(pictures.overview(0.5)))
    whole = fv.create_model("downscaled(scale=1)", classes=4, in_channels=1).eval()
    torch.testing.assert_close(whole(pictures), whole.backbone(pictures.pixels))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: small("se"), "se does not select patches"),
        (lambda: small(scales=(0.5,)), "expected 1 first"),
        (lambda: small("attention_sampling(size=5)"), "cannot run on patches of 1 x 5 x 5"),
        (lambda: small("iterative_patch_selection", aggregation="attention"), "weighs features already"),
        (lambda: small("iterative_patch_selection", scales=(1, 0.5)), "looks at all patches"),
        (
            lambda: fv.create_model("select(backbone=resnet8)", classes=2, in_channels=1),
            "built for 3 channels",
        ),
        (lambda: fv.select("resnet8", "random_patches"), "got a str"),
    ],
)
def test_what_cannot_be_built_is_explained(make, said):
    with pytest.raises(OptionError) as refused:
        make()
    assert said in str(refused.value)
