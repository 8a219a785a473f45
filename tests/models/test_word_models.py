"""The contract of models that answer in words: search and training give the same numbers, and more."""

import copy
import io
import itertools
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms import mechanisms
from foveate.mechanisms.switch import as_written
from foveate.models.decoders.word_model import Memory, real_words
from tests.models.word_models import FAMILIES, MODELS, build, sentences, sources, written

EVERY = pytest.mark.parametrize("key", MODELS)
LENGTHS = (4, 6, 1)


def test_every_model_that_answers_in_words_is_here():
    assert written() == FAMILIES.keys()


def tolerance(dtype):
    return {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 1e-6}


def step_by_step(model, memory, fed):
    state, logits, weights = model.start(memory), [], []
    for words in fed.unbind(1):
        step = model.step(memory, state, words)
        state = step.state
        logits.append(step.logits)
        weights.append(step.weights)
    return torch.stack(logits, dim=1), torch.stack(weights, dim=1)


def check_steps(model, source, target):
    fed, there = model.shifted(target), real_words(target, model.pad, model.end)
    memory = model.encode(source)
    decoded = model.decode(memory, fed)
    logits, weights = step_by_step(model, memory, fed)
    torch.testing.assert_close(decoded.logits[there], logits[there], **tolerance(logits.dtype))
    torch.testing.assert_close(decoded.weights[there], weights[there], **tolerance(logits.dtype))


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_words_one_by_one_are_words_at_once(key, dtype):
    model = build(key).to(dtype)
    check_steps(model, sources(key, model, dtype=dtype), sentences(LENGTHS, model))


READS = sorted(name for name in mechanisms if mechanisms[name].interface == "read")
CHOICES = ("soft", "reinforce", "gumbel", "marginal", "marginal(places=2, choose=marginal)", "monotonic")
TIMES = (
    {"reads": "before", "readout": "state"},
    {"reads": "before", "readout": "maxout", "cell": "lstm", "layers": 2},
    {"reads": "between", "cell": "cho_gru"},
    {"reads": "after", "readout": "deep_add", "readout_width": 4},
    {"reads": "after", "readout": "vector", "feeding": True, "cell": "lstm"},
)


@pytest.mark.parametrize("attention", [*READS, "none", "none(of=last)", "local_p(window=1)"])
def test_every_read_goes_with_every_choice_and_time(attention):
    """Equal numbers, a gradient for every weight; what does not go together is said."""
    built = 0
    for choice, time in itertools.product(CHOICES, TIMES):
        try:
            model = build("translator", attention=attention, choice=choice, **time).double()
        except OptionError as error:
            assert "choice" in str(error)
            continue
        built += 1
        source, target = sources("translator", model), sentences(LENGTHS, model)
        with torch.no_grad():
            check_steps(model, source, target)
        model.train()
        model.loss(model(source, model.shifted(target)), target).backward()
        without = {name for name, p in model.named_parameters() if p.grad is None}
        assert without <= ({"decoder.reader.read.sentinel"} if attention == "sentinel" else set())
    soft = attention not in ("none", "none(of=last)", "sentinel", "reinforce", "gumbel", "top_k")
    assert built == (len(TIMES) * 4 + 2 if soft else len(TIMES))


@EVERY
@torch.no_grad()
def test_padding_size_and_order_of_the_batch_change_nothing(key):
    model = build(key).double()
    source, target = sources(key, model), sentences(LENGTHS, model)
    expected, fed = model(source, model.shifted(target)), model.shifted(target)
    there = real_words(target, model.pad, model.end)
    far = F.pad(source, (0, 3), value=model.pad) if source.dtype == torch.int64 else source
    padded = model(far, F.pad(fed, (0, 2), value=model.pad)).logits[:, : fed.shape[1]]
    torch.testing.assert_close(padded[there], expected.logits[there], **tolerance(padded.dtype))
    order = torch.tensor([2, 0, 1])
    turned = model(source[order], fed[order]).logits
    torch.testing.assert_close(turned[there[order]], expected.logits[order][there[order]])
    for item in range(3):
        alone = model(source[item : item + 1], fed[item : item + 1]).logits
        torch.testing.assert_close(alone[0][there[item]], expected.logits[item][there[item]])


@EVERY
def test_the_gradients_are_those_of_the_numbers(key):
    """In evaluation, where nothing is drawn: the exact marginal and the expected path are checked below."""
    model = build(key).double()
    source, target = sources(key, model, (3, 2)), sentences((3, 1), model)
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}

    def loss(*values):
        call = functional_call(
            model, dict(zip(weights, values, strict=True)), (source, model.shifted(target))
        )
        return F.cross_entropy(call.logits[real_words(target, model.pad, model.end)], target[target >= 0][:4])

    assert torch.autograd.gradcheck(loss, tuple(weights.values()), fast_mode=True)


@EVERY
def test_the_fast_path_has_the_plain_ones_gradients(key):
    found = []
    for plain in (False, True):
        model = build(key).double().train()
        source, target = sources(key, model), sentences(LENGTHS, model)
        torch.manual_seed(3)
        if plain:
            with as_written():
                loss = model.loss(model(source, model.shifted(target)), target)
        else:
            loss = model.loss(model(source, model.shifted(target)), target)
        loss.backward()
        found.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[1].items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-10, atol=1e-12)


@EVERY
@pytest.mark.parametrize("kind", ["autocast", "bfloat16", "float16"])
def test_half_precision_runs(key, kind):
    model = build(key).train()
    dtype = torch.float32 if kind == "autocast" else getattr(torch, kind)
    model = model.to(dtype)
    source, target = sources(key, model, dtype=dtype), sentences(LENGTHS, model)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "autocast"):
        loss = model.loss(model(source, model.shifted(target)), target)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@EVERY
@torch.no_grad()
def test_copies_are_equal(key):
    model = build(key)
    source, target = sources(key, model, dtype=torch.float32), sentences(LENGTHS, model)
    expected = model(source, model.shifted(target)).logits
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(source, twin.shifted(target)).logits, expected)


class Encoding(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, source):
        memory = self.model.encode(source)
        state = self.model.start(memory)
        kept = {
            name: value.clone() for name, value in state.items()
        }  # an exported output is no other's alias
        return memory.entries, memory.mask, {n: v.clone() for n, v in memory.extra.items()}, kept


class Stepping(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, entries, mask, extra, state, words):
        step = self.model.step(Memory(entries, mask, extra), state, words)
        return step.logits, step.state, step.weights


def exported(key):
    """Return the two modules, their inputs for export and for use, and which axes are open."""
    model = build(key)
    encoding, stepping = Encoding(model).eval(), Stepping(model).eval()
    dim = torch.export.Dim.DYNAMIC
    small, large = (sources(key, model, n, dtype=torch.float32) for n in ((4, 3), (7, 5, 6, 1)))
    axes = {0: dim, 1: dim} if small.dtype == torch.int64 else {0: dim}
    cases = []
    for source in (small, large):
        entries, mask, extra, state = encoding(source)
        words = torch.arange(4, 4 + len(source))
        cases.append(((source,), (entries, mask, extra, state, words)))
    first = cases[0][1]
    parts = [
        {n: {0: dim, 1: dim} if n in ("keys", "alignment") else {0: dim} for n in named}
        for named in first[2:4]
    ]
    shapes = ({0: dim, 1: dim}, None if first[1] is None else {0: dim, 1: dim}, *parts, {0: dim})
    return (encoding, stepping), cases, ((axes,), shapes)


def nightly(*keys):
    return [pytest.param(key, marks=pytest.mark.nightly) for key in keys]


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        *("translator", "rnn_search", "show_attend_tell", "adaptive_captioner"),
        *nightly(
            "lstm", "luong_translator", "monotonic", "marginal", "authors", "tutorial", "hard_captioner"
        ),
    ],
)
@torch.no_grad()
def test_encoder_and_step_are_exported_for_any_size(key):
    modules, cases, shapes = exported(key)
    for module, shape, small, large in zip(modules, shapes, *cases, strict=True):
        program = torch.export.export(module, small, dynamic_shapes=shape).module()
        for inputs in (small, large):
            torch.testing.assert_close(program(*inputs), module(*inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["translator", *nightly("lstm", "show_attend_tell", "adaptive_captioner")])
@torch.no_grad()
def test_encoder_and_step_run_in_onnx_for_any_size(key):
    onnxruntime = pytest.importorskip("onnxruntime")
    modules, cases, shapes = exported(key)
    for module, shape, small, large in zip(modules, shapes, *cases, strict=True):
        program, stream = torch.export.export(module, small, dynamic_shapes=shape), io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own
            torch.onnx.export(program, dynamo=True, opset_version=18, verbose=False).save(stream)
        session = onnxruntime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
        flat = [x.numpy() for x in torch.utils._pytree.tree_leaves(large) if x is not None]
        found = session.run(None, {put.name: x for put, x in zip(session.get_inputs(), flat, strict=True)})
        expected = [x for x in torch.utils._pytree.tree_leaves(module(*large)) if x is not None]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-4, atol=1e-5)
