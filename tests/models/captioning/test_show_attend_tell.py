import pytest
import torch
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.reading.doubly_stochastic import doubly_stochastic
from foveate.models import create_model
from foveate.models.decoders.word_model import word_loss

SMALL = {"classes": 12, "channels": 6, "embedding": 5, "state": 7, "dropout": 0.0}
TARGETS = torch.tensor([[5, 6, 3, 0, 0], [7, 8, 9, 4, 3]])


def make(**options):
    torch.manual_seed(0)
    return create_model("show_attend_tell", **{**SMALL, **options}).double()


def features(places=4, seed=1):
    return torch.rand(2, places, 6, generator=torch.Generator().manual_seed(seed)).double()


def one_step(model, entries, word, h, c):
    """The paper's equations, written out for one picture and one word."""
    weights = dict(model.named_parameters())
    read, cell, out = (f"decoder.{part}" for part in ("reader.read", "cells.0", "readout"))
    e = torch.stack(
        [
            weights[f"{read}.scores.energy.weight"]
            @ torch.tanh(
                weights[f"{read}.scores.query.weight"] @ h
                + weights[f"{read}.scores.key.weight"] @ place
                + weights[f"{read}.scores.key.bias"]
            )
            for place in entries
        ]
    ).flatten()
    alpha = torch.exp(e) / torch.exp(e).sum()
    beta = torch.sigmoid(weights[f"{read}.beta.weight"] @ h + weights[f"{read}.beta.bias"])
    z = beta * sum(a * place for a, place in zip(alpha, entries, strict=True))
    y = weights["decoder.words.weight"][word]
    gates = weights[f"{cell}.weight_ih"] @ torch.cat([y, z]) + weights[f"{cell}.bias_ih"]
    i, f, g, o = (gates + weights[f"{cell}.weight_hh"] @ h).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    lh = weights[f"{out}.of_state.weight"] @ h + weights[f"{out}.of_state.bias"]
    lz = weights[f"{out}.of_context.weight"] @ z + weights[f"{out}.of_context.bias"]
    logits = weights["decoder.output.weight"] @ (y + lh + lz) + weights["decoder.output.bias"]
    return logits, alpha, h, c


def test_the_papers_equations():
    model, entries = make().eval(), features()
    decoded = model(entries, model.shifted(TARGETS))
    for picture in (0, 1):
        first = model.decoder.first.layers
        h, c = (torch.tanh(layer(entries[picture].mean(dim=0))) for layer in first)
        length = int((TARGETS[picture] != 0).sum())
        for step, word in enumerate(model.shifted(TARGETS)[picture, :length].tolist()):
            logits, alpha, h, c = one_step(model, entries[picture], word, h, c)
            torch.testing.assert_close(decoded.logits[picture, step], logits)
            torch.testing.assert_close(decoded.weights[picture, step], alpha)


@pytest.mark.parametrize("normalised", ["paper", "released", "tutorial"])
@pytest.mark.parametrize("target", [1.0, "length"])
def test_the_doubly_stochastic_term_is_in_the_loss(normalised, target):
    model = make(doubly_stochastic=0.7, normalised=normalised, target=target).eval()
    decoded = model(features(), model.shifted(TARGETS))
    lengths = (TARGETS != 0).sum(dim=1)
    terms = []
    for picture, length in enumerate(lengths.tolist()):  # padded steps do not count
        wanted = 1.0 if target == 1.0 else length / 4
        terms.append(((wanted - decoded.weights[picture, :length].sum(dim=0)) ** 2).sum())
    term = sum(terms) / 2 * {"paper": 1, "released": 2 / 4, "tutorial": 1 / 4}[normalised]
    words = lengths.sum() / 2
    per_word = term if normalised == "tutorial" else term / words
    expected = word_loss(decoded.logits, TARGETS, 0) + 0.7 * per_word
    torch.testing.assert_close(model.loss(decoded, TARGETS), expected)


def test_a_target_of_the_length_can_be_met():
    weights = torch.full((2, 3, 4), 0.25)
    steps = torch.tensor([[True, True, False], [True, True, True]])
    assert doubly_stochastic(weights, steps=steps, target="length") == 0
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    halves = torch.full((2, 3, 4), 0.5) * mask.unsqueeze(1)
    halves[0] = 0.25
    assert doubly_stochastic(halves, steps=steps, mask=mask, target="length") == 0
    assert doubly_stochastic(weights, steps=steps) == pytest.approx(4 * (0.25 + 0.0625) / 2)
    with pytest.raises(OptionError, match="target"):
        doubly_stochastic(weights, target="words")


def test_what_was_drawn_is_not_asked_to_cover_the_picture():
    plain, asked = (make(choice="reinforce", doubly_stochastic=weight).train() for weight in (0.0, 1.0))
    losses = []
    for model in (plain, asked):
        torch.manual_seed(3)
        losses.append(model.loss(model(features(), model.shifted(TARGETS)), TARGETS))
    assert losses[0] == losses[1]


def test_hard_attention_reads_one_place_and_learns():
    model = make(choice="reinforce(soft_share=0)").train()
    decoded = model(features(), model.shifted(TARGETS))
    assert (
        set(decoded.weights.unique().tolist()) == {0.0, 1.0}
        and (decoded.weights.sum(dim=2) == (TARGETS != 0)).all()
    )
    model.loss(decoded, TARGETS).backward()
    assert model.decoder.reader.read.scores.energy.weight.grad.abs().sum() > 0
    model.eval()
    again = [model(features(), model.shifted(TARGETS)).logits for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize("form", ["paper", "authors", "tutorial"])
def test_hard_attention_by_its_expectation_is_soft_attention(form):
    soft, hard = (
        make(form=form, choice=choice).eval() for choice in ("soft", "reinforce(choose=expectation)")
    )
    hard.load_state_dict(soft.state_dict(), strict=False)
    words = soft.shifted(TARGETS)
    torch.testing.assert_close(hard(features(), words).logits, soft(features(), words).logits)


@pytest.mark.parametrize("form", ["paper", "authors", "tutorial"])
def test_a_closed_gate_hides_the_picture(form):
    model = make(form=form).eval()
    with torch.no_grad():
        model.decoder.reader.read.beta.bias.fill_(-1e9)
    memory, words = model.encode(features()), model.shifted(TARGETS)
    other = memory._replace(entries=memory.entries.flip(1) * 3)
    torch.testing.assert_close(model.decode(memory, words).logits, model.decode(other, words).logits)


@pytest.mark.parametrize(
    "attention",
    ["scaled_dot", "general", "sentinel", "additive(hidden=3, context_gate=none)", "none", "cosine"],
)
def test_any_read_can_be_the_attention(attention):
    model = make(attention=attention).train()
    decoded = model(features(), model.shifted(TARGETS))
    torch.testing.assert_close(decoded.weights.sum(dim=2), (TARGETS != 0).double())
    assert decoded.weights.shape[2] == 4 + (attention == "sentinel")
    model.loss(decoded, TARGETS).backward()
    # Without other words to read at, the gate and the mean have what they need.
    idle = {n for n, p in model.named_parameters() if p.grad is None} - {"decoder.reader.read.sentinel"}
    assert not idle
    gates = {n for n, _ in model.named_parameters() if ".beta." in n}
    assert bool(gates) == (attention in ("scaled_dot", "general", "cosine"))


def test_a_projection_and_a_shared_layer():
    model = make(projection=3, tied=True).eval()
    assert model.decoder.output.weight is model.decoder.words.weight
    memory = model.encode(features())
    torch.testing.assert_close(memory.entries, F.relu(model.projection(features())))


def test_pictures_come_in_where_there_is_an_encoder():
    model = make(encoder="resnet18", places=3, trainable="layer4").float().train()
    words = model.shifted(TARGETS)
    decoded = model(torch.rand(2, 3, 64, 96), words)
    assert decoded.weights.shape == (2, 5, 9)
    model.loss(decoded, TARGETS).backward()
    learns = {n for n, p in model.named_parameters() if p.grad is not None and n.startswith("encoder")}
    assert learns == {
        n for n, _ in model.named_parameters() if n.startswith("encoder.last_map.network.layer4")
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"form": "book"}, "form: got 'book'"),
        ({"gate": "double"}, "gate: got 'double'"),
        ({"gate": "scalar", "attention": "sentinel"}, "gate: got 'scalar' with attention='sentinel'"),
        ({"attention": "additive(hiden=3)", "form": "tutorial"}, "hiden"),
        ({"start_layers": 1}, "start_layers: got 1 with form='paper'"),
        ({"attention_layers": 2, "form": "authors", "attention": "cosine"}, "attention_layers: got 2"),
        ({"output_layers": 0, "form": "authors"}, "output_layers: got 0"),
        ({"target": -1.0}, "target: got -1.0"),
        ({"normalised": "mean"}, "normalised: got 'mean'"),
        ({"target": "words"}, "target: got 'words'"),
        ({"doubly_stochastic": -1.0}, "doubly_stochastic: got -1.0"),
        ({"start": 12}, "start: got 12"),
        ({"places": 3}, "Name one with encoder="),
        ({"attention": "se"}, "attention"),
    ],
)
def test_what_cannot_be_is_told(options, text):
    with pytest.raises(OptionError, match=text.replace("(", r"\(")):
        make(**options)
