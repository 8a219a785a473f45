"""The contract of models that look with a goal: batches, padding, copies, half precision, export, maps."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch.nn import functional as F

import foveate as fv
from foveate.errors import OptionError, ShapeError
from foveate.models import create_model
from foveate.models.question.question_model import QuestionModel

SMALL = {"embedding": 4, "channels": 6, "classes": 5, "words": 9}
TOP = {"state": 5, "hidden": 7, "encoder": None}
MODELS = {
    "top_down": ("top_down", TOP),
    "lstm": ("top_down", TOP | {"goal": "lstm", "attention": "general", "hops": 2, "fuse": "sum"}),
    "product": (
        "top_down",
        TOP | {"attention": "cosine", "glimpses": 1, "fuse": "product", "projection": 3, "norm": "batch"},
    ),
    "stacked": ("stacked_attention", {"width": 6, "attention": 4}),
    "conv": ("stacked_attention", {"question": "conv", "filters": (2, 3, 2), "attention": 4, "hops": 3}),
    "released": ("stacked_attention", {"width": 6, "attention": 4, "released": True}),
    "baseline": ("show_ask_attend_answer", {"state": 5, "attention": 4, "hidden": 6}),
}
EVERY = pytest.mark.parametrize("key", MODELS)
WORDS = torch.tensor([[4, 5, 6, 7], [8, 4, 0, 0], [5, 0, 0, 0]])


def build(key, **more):
    torch.manual_seed(0)
    name, options = MODELS[key]
    return create_model(name, **{**SMALL, **options, **more}).eval()


def features(items=3, dtype=torch.float64, seed=1):
    return torch.randn(items, 4, 6, generator=torch.Generator().manual_seed(seed)).to(dtype)


@EVERY
@torch.no_grad()
def test_weights_sum_to_one_and_are_recorded(key):
    model = build(key).double()
    with fv.record(model) as maps:
        found = model.answer(features(), WORDS)
    assert found.weights.shape == (3, len(model.looks), 4)
    torch.testing.assert_close(found.weights.sum(dim=2), torch.ones(3, len(model.looks)).double())
    recorded = torch.cat([maps[path].reshape(3, -1, 4) for path in maps], dim=1)
    torch.testing.assert_close(recorded, found.weights)


@EVERY
@torch.no_grad()
def test_padding_and_the_rest_of_the_batch_change_nothing(key):
    model = build(key).double()
    expected = model(features(), WORDS)
    assert torch.equal(model(features(), F.pad(WORDS, (0, 3))), expected)
    turned = torch.tensor([2, 0, 1])
    torch.testing.assert_close(model(features()[turned], WORDS[turned]), expected[turned])
    for item in range(3):
        alone = model(features()[item : item + 1], WORDS[item : item + 1])
        torch.testing.assert_close(alone[0], expected[item])
    assert not torch.allclose(model(features()[[1, 1, 1]], WORDS), expected)


@EVERY
def test_goals_and_places_decide_and_every_weight_learns(key):
    model = build(key, dropout=0.0).double().train()
    same = features()[:1].expand(3, -1, -1)
    logits = model(same, WORDS)
    assert (logits[0] - logits[1]).abs().max() > 1e-6
    F.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert without <= {"energy.bias", *(f"hops.{k}.energy.bias" for k in range(3))}  # a softmax ignores it


@EVERY
@pytest.mark.parametrize("kind", ["autocast", "bfloat16", "float16"])
def test_half_precision(key, kind):
    dtype = torch.float32 if kind == "autocast" else getattr(torch, kind)
    model, exact = build(key).to(dtype), build(key)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "autocast"), torch.no_grad():
        found = model(features(dtype=dtype), WORDS)
    torch.testing.assert_close(found.float(), exact(features(dtype=torch.float32), WORDS), rtol=0.1, atol=0.1)


@EVERY
@torch.no_grad()
def test_copies_are_equal(key):
    model = build(key)
    expected = model(features(dtype=torch.float32), WORDS)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(features(dtype=torch.float32), WORDS), expected)


def exported(model):
    """Return the program for questions of up to four words and any number of items."""
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = {"pictures": {0: batch}, "goal": {0: batch}}
    return torch.export.export(model, (features(2, torch.float32), WORDS[:2]), dynamic_shapes=shapes)


@pytest.mark.slow
@EVERY
@torch.no_grad()
def test_it_is_exported_for_any_batch(key):
    model = build(key)
    program = exported(model).module()
    for items in (1, 3):
        given = features(items, torch.float32), WORDS[:items]
        torch.testing.assert_close(program(*given), model(*given), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["top_down", "stacked", pytest.param("baseline", marks=pytest.mark.nightly)])
@torch.no_grad()
def test_it_runs_in_onnx(key):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, stream = build(key), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(exported(model), dynamo=True, opset_version=18, verbose=False).save(stream)
    session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    given = features(3, torch.float32), WORDS
    names = [put.name for put in session.get_inputs()]
    found = session.run(None, {name: x.numpy() for name, x in zip(names, given, strict=True)})[0]
    torch.testing.assert_close(torch.from_numpy(found), model(*given), rtol=1e-4, atol=1e-5)


def test_the_formulas_of_the_top_down_classifier():
    """Two hops of one glimpse with scaled dot products, written out for one picture."""
    model = build("top_down", attention="scaled_dot", glimpses=1, hops=2, state=6).double()
    weights, places = dict(model.named_parameters()), features()[0]
    q = torch.zeros(6).double()
    for word in WORDS[1, :2]:
        x = weights["goal.embedding.weight"][word]
        gates = weights["goal.recurrent.weight_ih_l0"] @ x + weights["goal.recurrent.bias_ih_l0"]
        back = weights["goal.recurrent.weight_hh_l0"] @ q + weights["goal.recurrent.bias_hh_l0"]
        r, z = (torch.sigmoid(gates[s : s + 6] + back[s : s + 6]) for s in (0, 6))
        q = (1 - z) * torch.tanh(gates[12:] + r * back[12:]) + z * q
    seen, looks = None, []
    for hop in range(2):
        if hop:
            q = q + weights["refine.0.weight"] @ seen + weights["refine.0.bias"]
        energies = torch.stack([q @ place / 6**0.5 for place in places])
        a = torch.exp(energies) / torch.exp(energies).sum()
        seen = sum(weight * place for weight, place in zip(a, places, strict=True))
        looks.append(a)
    hidden = torch.relu(weights["hidden.weight"] @ torch.cat([seen, q]) + weights["hidden.bias"])
    expected = weights["logits.weight"] @ hidden + weights["logits.bias"]
    found = model.answer(features()[:1], WORDS[1:2])
    torch.testing.assert_close(found.logits[0], expected)
    torch.testing.assert_close(found.weights[0], torch.stack(looks))


def test_the_norm_is_that_of_the_batch():
    model = build("top_down", norm="batch").double().train()
    seen = {}
    model.readers[0].register_forward_hook(lambda *given: seen.update(memory=given[1][1]))
    model.hidden.register_forward_hook(lambda *given: seen.update(hidden=given[1][0]))
    places = torch.stack([features(), features(seed=2)]).flatten(0, 1) * 3 + 1
    model(places, WORDS.repeat(2, 1))
    wanted = (places - places.mean((0, 1))) / (places.var((0, 1), correction=0) + 1e-5).sqrt()
    held = [x for x in seen["memory"] if torch.is_tensor(x) and x.shape == wanted.shape]
    torch.testing.assert_close(held[0], wanted)
    pooled = seen["hidden"][:, :12]  # two glimpses of six channels, before the goal
    assert pooled.mean(dim=0).abs().max() < 1e-9
    assert (pooled.var(dim=0, correction=0) - 1).abs().max() < 0.05


def test_scores_of_zero_read_the_mean():
    model = build("top_down", glimpses=1).double()
    mean = build("top_down", glimpses=1, attention="none").double()
    with torch.no_grad():
        model.readers[0].read.scores.energy.weight.zero_()
    mean.load_state_dict({n: w for n, w in model.state_dict().items() if "readers" not in n})
    torch.testing.assert_close(model(features(), WORDS), mean(features(), WORDS))


@pytest.mark.parametrize(
    ("goal", "given"),
    [
        ("class", torch.tensor([1, 3, 3])),
        ("vector", torch.randn(3, 9, generator=torch.Generator().manual_seed(3))),
    ],
)
def test_goals_may_be_classes_or_vectors(goal, given):
    model = build("top_down", goal=goal)
    logits = model(features(dtype=torch.float32)[[0, 0, 0]], given)
    assert torch.equal(logits[1], logits[2]) == (goal == "class")
    assert (logits[0] - logits[1]).abs().max() > 1e-6
    with pytest.raises(ShapeError, match=f"goal={goal}: got"):
        model(features(dtype=torch.float32), WORDS)


@pytest.mark.parametrize("encoder", ["resnet8", "resnet18", "timm/resnet10t"])
def test_pictures_come_in_through_any_encoder(encoder):
    model = build("top_down", encoder=encoder, places=2).train()
    found = model.answer(torch.rand(3, 3, 40, 48), WORDS)
    assert found.weights.shape == (3, 2, 4)
    found.logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_blind_models_do_not_notice_what_they_do_not_get():
    inner = "top_down(encoder=resnet8, state=5, hidden=7, embedding=4)"
    torch.manual_seed(0)
    pictures, sees = torch.rand(3, 3, 16, 16), create_model(inner, classes=5, words=9).eval()
    for kind, hidden in (("goal_blind", "goal"), ("picture_blind", "picture")):
        model = create_model(f"{kind}(of={inner})", classes=5, words=9).eval()
        assert isinstance(model, QuestionModel)
        other = (pictures, WORDS.flip(0)) if hidden == "goal" else (pictures.flip(0), WORDS)
        assert torch.equal(model(*other), model(pictures, WORDS))
        model.of.load_state_dict(sees.state_dict())
        assert not torch.allclose(model(pictures, WORDS), sees(pictures, WORDS))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("top_down", {"goal": "words"}, "goal: got 'words'"),
        ("top_down", {"norm": "layer"}, "norm: got"),
        ("top_down", {"fuse": "mean"}, "fuse: got 'mean'"),
        ("top_down", {"norm": "layer"}, "norm: got 'layer'"),
        ("top_down", {"attention": "se"}, "se takes a map"),
        ("top_down", {"attention": "reinforce"}, "attention: got reinforce"),
        ("top_down", {"glimpses": 0}, "glimpses: got 0"),
        ("stacked_attention", {"question": "gru"}, "question: got 'gru'"),
        ("stacked_attention", {"hops": 0}, "hops: got 0"),
        ("show_ask_attend_answer", {"dropout": 1.0}, "dropout: got 1.0"),
        ("show_ask_attend_answer", {"places": 3}, "Name one with encoder="),
    ],
)
def test_what_cannot_be_is_told(name, options, text):
    with pytest.raises(OptionError, match=text):
        create_model(name, classes=5, **options)


def test_wrong_inputs_are_told():
    model = build("stacked")
    with pytest.raises(ShapeError, match="expected features"):
        model(torch.rand(3, 4, 5), WORDS)
    with pytest.raises(ShapeError, match=r"expected numbers of words \(B, T\)"):
        model(features(dtype=torch.float32), torch.rand(3, 4))
