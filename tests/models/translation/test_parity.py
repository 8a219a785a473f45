"""The published translators, against numbers that the original's code computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foveate.models import create_model, load_published

ORIGINALS = Path(__file__).parent / "originals"
JOEY = {
    "joeynmt_bahdanau_gru_bridge": {"cell": "gru", "attention": "additive(bias=False, hidden=7)"},
    "joeynmt_bahdanau_lstm_zero": {
        "cell": "lstm",
        "attention": "additive(bias=False, hidden=7)",
        "start_state": "zero",
    },
    "joeynmt_luong_gru_last": {"cell": "gru", "feeding": False, "start_state": "copy", "state": 5},
    "joeynmt_luong_lstm_bridge": {"cell": "lstm", "layers": 2},
}
SPECIALS = {"layers": 1, "pad": 1, "start": 2, "end": 3}


def read(name):
    with np.load(ORIGINALS / f"{name}.npz") as file:
        parts = {"w": {}, "in": {}, "out": {}, "grad": {}}
        for key in file:
            part, _, rest = key.partition("/")
            parts[part][rest] = torch.from_numpy(file[key])
    return parts


def near(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.fixture
def dl4mt(tmp_path):
    parts = read("dl4mt_cgru")
    arrays = {name: value.numpy() for name, value in parts["w"].items()}
    told = {"history_errs": np.array([3.0, 2.0]), "zipped_params": np.array({"a": 1}, dtype=object)}
    np.savez(tmp_path / "model.npz", **told, **arrays)
    model = create_model(
        "rnn_search", form="conditional", classes=19, source_words=17, embedding=7, state=9,
        pad=0, start=None, end=0,
    )  # fmt: skip
    assert load_published(model, tmp_path / "model.npz") == ()
    return model.double(), parts


def test_dl4mts_arrays_give_its_cost_and_alignments(dl4mt):
    model, parts = dl4mt
    source, target = parts["in"]["x"].t(), parts["in"]["y"].t()
    memory = model.encode(source)
    real = parts["in"]["x_mask"].t().bool()
    assert torch.equal(memory.mask, real)
    near(memory.entries[real], parts["out"]["annotations"].transpose(0, 1)[real])
    near(model.start(memory)["h0"], parts["out"]["init_state"])
    decoded = model.decode(memory, model.shifted(target))
    there = parts["in"]["y_mask"].t().bool()
    near(decoded.weights[there], parts["out"]["alphas"].transpose(0, 1)[there])
    probs = parts["out"]["probs"].unflatten(0, (6, 3)).transpose(0, 1)
    near(decoded.logits.softmax(2)[there], probs[there])
    losses = F.cross_entropy(decoded.logits.transpose(1, 2), target, reduction="none") * there
    near(losses.sum(1), parts["out"]["cost"])
    near(model.loss(decoded, target) * there.sum() / 3, parts["out"]["cost"].mean())


def test_dl4mts_arrays_give_its_gradients(dl4mt):
    model, parts = dl4mt
    target = parts["in"]["y"].t()
    decoded = model(parts["in"]["x"].t(), model.shifted(target))
    real = parts["in"]["y_mask"].sum()
    (model.loss(decoded, target) * real / 3).backward()
    theirs = model.from_published(parts["grad"])
    ours = dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for name, gradient in theirs.items():
        near(ours[name].grad, gradient)
    assert parts["grad"]["decoder_c_tt"].abs().max() < 1e-12  # what was left out has no effect


def test_the_conditional_cells_state_is_dl4mts(dl4mt):
    model, parts = dl4mt
    memory = model.encode(parts["in"]["x"].t())
    state, fed = model.start(memory), model.shifted(parts["in"]["y"].t())
    there = parts["in"]["y_mask"].bool()
    for t in range(fed.shape[1]):
        state = model.step(memory, state, fed[:, t]).state
        near(state["h0"][there[t]], parts["out"]["hidden"][t][there[t]])


@pytest.fixture(params=JOEY)
def joey(request, tmp_path):
    parts = read(request.param)
    torch.save({"model_state": parts["w"], "steps": 100}, tmp_path / "best.ckpt")
    options = {"state": 7, "embedding": 6, "encoder_state": 5, **SPECIALS, **JOEY[request.param]}
    model = create_model("luong_translator", classes=12, source_words=13, **options)
    assert load_published(model, tmp_path / "best.ckpt") == ()
    return model.double().eval(), parts


def test_joey_nmts_weights_give_its_outputs(joey):
    model, parts = joey
    memory = model.encode(parts["in"]["src"])
    near(memory.entries, parts["out"]["encoder_output"])
    near(memory.extra["summary"], parts["out"]["encoder_final"])
    fed, target = parts["in"]["trg"][:, :-1], parts["in"]["trg"][:, 1:]
    assert torch.equal(model.shifted(target)[:, 0], fed[:, 0])
    decoded = model.decoder.decode(memory, fed)  # what it says of padding too
    near(decoded.logits, parts["out"]["logits"])
    near(decoded.weights, parts["out"]["attention"])
    words = (target != 1).sum()
    near(model.loss(decoded, target) * words, parts["out"]["loss"])
    near(smoothed(decoded.logits, target), parts["out"]["loss_smoothed"])


def smoothed(logits, target, share=0.1, pad=1):
    """Its label smoothing: the share is spread over all words but padding and the target, in float32."""
    goal = torch.full(logits.shape, share / (logits.shape[2] - 2), dtype=torch.float32)
    goal = goal.scatter(2, target.unsqueeze(2), 1 - share)
    goal[..., pad] = 0
    terms = F.kl_div(logits.log_softmax(2), goal, reduction="none")
    return terms[target != pad].sum()


def test_joey_nmts_weights_give_its_gradients(joey):
    model, parts = joey
    fed, target = parts["in"]["trg"][:, :-1], parts["in"]["trg"][:, 1:]
    smoothed(model(parts["in"]["src"], fed).logits, target).backward()
    ours = dict(model.named_parameters())
    theirs = model.from_published(parts["grad"])
    assert len(theirs) == len(parts["grad"])
    for name, gradient in theirs.items():
        near(ours[name].grad, gradient)
