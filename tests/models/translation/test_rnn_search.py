"""RNNsearch against the paper's formulas, and its published sizes."""

import pytest
import torch

from foveate.errors import CheckpointError, OptionError, ShapeError
from foveate.models import create_model, load_published

SMALL = {"classes": 13, "source_words": 11, "embedding": 4, "state": 5, "readout_width": 3}


def weights(model):
    """Return the paper's letters; the appendix leaves biases out, the rows of ours are r, z, candidate."""
    w = dict(model.named_parameters())
    found = {"E_x": w["encoder.words.weight"], "E": w["decoder.words.weight"]}
    for letter, cell in (("f", "encoder.ahead.0"), ("b", "encoder.back.0"), ("d", "decoder.cells.0")):
        names = ("r", "z", "")
        for kind, own in (("W", "weight_ih"), ("U", "weight_hh"), ("b", "bias_ih")):
            for name, part in zip(names, w[f"{cell}.{own}"].chunk(3), strict=True):
                found[f"{letter}{kind}{name}"] = part
    return found, w


def gru(p, letter, x, s):
    r = torch.sigmoid(p[f"{letter}Wr"] @ x + p[f"{letter}Ur"] @ s + p[f"{letter}br"])
    z = torch.sigmoid(p[f"{letter}Wz"] @ x + p[f"{letter}Uz"] @ s + p[f"{letter}bz"])
    new = torch.tanh(p[f"{letter}W"] @ x + p[f"{letter}U"] @ (r * s) + p[f"{letter}b"])
    return (1 - z) * s + z * new


@pytest.mark.parity("translation.rnn_search")
def test_the_papers_form_computes_the_papers_formulas():
    torch.manual_seed(0)
    model = create_model("rnn_search", **SMALL).double().eval()
    p, w = weights(model)
    source, target = torch.tensor([[5, 8, 4, 3]]), torch.tensor([[2, 7, 9]])
    s, ahead = torch.zeros(5).double(), []
    for word in source[0]:
        s = gru(p, "f", p["E_x"][word], s)
        ahead.append(s)
    s, back = torch.zeros(5).double(), []
    for word in source[0].flip(0):
        s = gru(p, "b", p["E_x"][word], s)
        back.insert(0, s)
    h = torch.stack([torch.cat(pair) for pair in zip(ahead, back, strict=True)])
    layer, read, readout = "decoder.first.layers.0", "decoder.reader.read.scores", "decoder.readout"
    s = torch.tanh(w[f"{layer}.weight"] @ back[0] + w[f"{layer}.bias"])
    logits, alphas = [], []
    for word in target[0]:
        y = p["E"][word]
        e = torch.stack(
            [
                w[f"{read}.energy.weight"][0]
                @ torch.tanh(
                    w[f"{read}.query.weight"] @ s + w[f"{read}.key.weight"] @ one + w[f"{read}.key.bias"]
                )
                for one in h
            ]
        )
        alpha = e.exp() / e.exp().sum()
        c = alpha @ h
        t = w[f"{readout}.of_state.weight"] @ s + w[f"{readout}.of_state.bias"]
        t = t + w[f"{readout}.of_word.weight"] @ y + w[f"{readout}.of_context.weight"] @ c
        t = torch.stack([torch.maximum(t[2 * i], t[2 * i + 1]) for i in range(3)])
        logits.append(w["decoder.output.weight"] @ t + w["decoder.output.bias"])
        alphas.append(alpha)
        s = gru(p, "d", torch.cat([y, c]), s)
    decoded = model(source, target)
    torch.testing.assert_close(decoded.logits[0], torch.stack(logits), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(decoded.weights[0], torch.stack(alphas), rtol=1e-12, atol=1e-12)


def count(model, *, biases=True):
    return sum(p.numel() for p in model.parameters() if biases or p.ndim > 1)


def test_the_papers_network_has_its_weights():
    with torch.device("meta"):
        assert count(create_model("rnn_search", classes=30_000), biases=False) == 80_401_000


def test_dl4mts_network_has_its_parameters():
    published, c_tt = 79_945_521, 1  # what is added to all scores alike
    with torch.device("meta"):
        model = create_model("rnn_search", classes=30_000, form="conditional")
    assert count(model) == published - c_tt


def test_a_pickled_model_is_refused_unread(tmp_path):
    model = create_model("rnn_search", **SMALL)
    torch.save({"epoch": 3, "decoder": model.decoder, "optimizer": None}, tmp_path / "BEST.pth.tar")
    with pytest.raises(CheckpointError, match=r"foveate runs no code.*state_dict\(\)"):
        load_published(model, tmp_path / "BEST.pth.tar")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "session3"}, "paper, conditional"),
        ({"choice": "marginal"}, "reads=after"),
        ({"attention": "se"}, "Reads are additive"),
        ({"attention": "gumbel", "choice": "reinforce"}, "choose by. It chooses in its own way"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        create_model("rnn_search", **SMALL, **options)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (torch.rand(2, 3), "expected numbers of words"),
        (torch.tensor([5, 3]), r"got \(2,\)"),
        (torch.tensor([[11, 3]]), "source_words=12"),
    ],
)
def test_what_is_not_a_sentence_is_told(words, said):
    with pytest.raises(ShapeError, match=said):
        create_model("rnn_search", **SMALL).encode(words)
