"""Show, Attend and Tell as its authors' Theano code and as the popular PyTorch tutorial compute it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foveate.decoding.search import search
from foveate.decoding.search_options import SearchOptions
from foveate.errors import CheckpointError
from foveate.mechanisms.reading.doubly_stochastic import doubly_stochastic
from foveate.models import create_model, load_published
from tests.models.captioning.parity import loaded, original

AUTHORS = {
    "classes": 19,
    "form": "authors",
    "channels": 10,
    "embedding": 8,
    "state": 12,
    "start": None,
    "end": 0,
}
TUTORIAL = {
    "classes": 23,
    "form": "tutorial",
    "channels": 18,
    "attention": "additive(hidden=12)",
    "embedding": 10,
    "state": 14,
    "start": 21,
    "end": 22,
}
EXACT = {"rtol": 0, "atol": 1e-9}


def model(options, **more):
    return create_model("show_attend_tell", **{**options, **more})


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"form": "authors", "classes": 10_000, "state": 1800}, 35_333_450),
        (
            {"form": "authors", "classes": 10_000, "state": 1800, "attention_layers": 1, "start_layers": 1},
            34_808_138,
        ),
        ({"form": "tutorial", "classes": 9490, "channels": 2048}, 20_483_859),
    ],
)
def test_published_sizes(options, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in model(options).parameters()) == count


@pytest.fixture
def tutorial(tmp_path):
    weights, *rest = original("sat_tutorial")
    return loaded(model(TUTORIAL), weights, tmp_path), *rest


def sorted_by_length(given, expected):
    """Return features, words and targets as the tutorial's decoder sorts them, and where targets are."""
    order, lengths = expected["sort_ind"], expected["decode_lengths"]
    words = given["captions"][order]
    steps = int(lengths.max())
    there = torch.arange(steps) < lengths.unsqueeze(1)
    return given["encoder_out"].flatten(1, 2)[order], words[:, :steps], words[:, 1 : steps + 1] * there, there


@pytest.mark.parity("captioning.show_attend_tell", "captioning.published_read")
def test_the_tutorials_decoder(tutorial):
    ours, given, expected, gradients = tutorial
    features, words, targets, there = sorted_by_length(given, expected)
    memory = ours.encode(features)
    state = ours.start(memory)
    for name in ("h0", "c0"):
        torch.testing.assert_close(state[name], expected[name][expected["sort_ind"]], **EXACT)
    decoded = ours.decode(memory, words)
    torch.testing.assert_close(decoded.logits * there.unsqueeze(2), expected["predictions"], **EXACT)
    torch.testing.assert_close(decoded.weights * there.unsqueeze(2), expected["alphas"], **EXACT)
    loss = ours.loss(decoded, targets)
    torch.testing.assert_close(loss, expected["ce"] + expected["regulariser"], **EXACT)
    loss.backward()
    named = ours.from_published(gradients)
    assert named.keys() == dict(ours.named_parameters()).keys()
    for name, wanted in named.items():
        torch.testing.assert_close(ours.get_parameter(name).grad, wanted, **EXACT)


def shrinking_beam(ours, features, beam):
    """Return the ids and the log-probability that the tutorial finds: a finished row leaves the beam."""
    memory = ours.encode(features)
    state, memory = ours.start(memory), memory.rows(torch.zeros(beam, dtype=torch.int64))
    state = {name: value.expand(beam, -1) for name, value in state.items()}
    rows, scores, finished = torch.full((beam, 1), ours.start_word), torch.zeros(beam).double(), []
    for step in range(51):
        found = ours.step(memory, state, rows[:, -1])
        sums = scores.unsqueeze(1) + found.logits.log_softmax(dim=1)
        sums, places = (sums[0] if step == 0 else sums.flatten()).topk(beam)
        parents, words = places // ours.classes, places % ours.classes
        rows = torch.cat([rows[parents], words.unsqueeze(1)], dim=1)
        ends = words == ours.end
        finished += [(float(sums[n]), rows[n]) for n in ends.nonzero().flatten().tolist()]
        beam -= int(ends.sum())
        if not beam:
            break
        rows, scores, on = rows[~ends], sums[~ends], parents[~ends]
        state = {name: value[on] for name, value in found.state.items()}
        memory = memory.rows(on)
    return max(finished, key=lambda one: one[0], default=(float("nan"), torch.tensor([-1])))


@torch.no_grad()
@pytest.mark.parametrize("beam", [1, 2, 3, 5])
def test_the_tutorials_captions(tutorial, beam):
    ours, given, expected, _ = tutorial
    for picture in (0, 1):
        score, words = shrinking_beam(ours, given["encoder_out"][picture : picture + 1].flatten(1, 2), beam)
        assert words.tolist() == expected[f"beam{beam}_image{picture}"].tolist()
        assert score == pytest.approx(
            float(expected[f"beam{beam}_image{picture}_logp"]), abs=1e-9, nan_ok=True
        )


def test_greedy_search_finds_the_tutorials_captions(tutorial):
    ours, given, expected, _ = tutorial
    memory = ours.encode(given["encoder_out"][:2].flatten(1, 2))
    found = search(ours, memory, SearchOptions(beam=1, length_penalty=0.0, max_length=50))
    for picture, (one,) in enumerate(found):
        assert [21, *one.words, 22] == expected[f"beam1_image{picture}"].tolist()
        assert one.log_probability == pytest.approx(float(expected[f"beam1_image{picture}_logp"]), abs=1e-9)


@pytest.fixture
def authors(tmp_path):
    weights, *rest = original("sat_theano")

    def make(**options):
        return loaded(model(AUTHORS, **options), weights, tmp_path, "model.npz")

    return make, *rest


def held(ours, given, before=lambda step: None):
    """Return probabilities and what was read; behind its end a caption's state is held, as the authors do.

    Ours, which lets captions of different lengths share a batch, takes no notice of these steps.
    """
    words, there = given["x"].t(), given["mask"].t().bool()
    memory = ours.encode(given["ctx"])
    state, all_probabilities, parts = ours.start(memory), [], []
    for step, column in enumerate(ours.shifted(words).unbind(1)):
        before(step)
        decoded, after = ours.decoder.run(memory, state, column.unsqueeze(1))
        all_probabilities.append(decoded.logits.softmax(dim=2))
        parts.append(decoded[1:])
        state = {name: torch.where(there[:, step, None], after[name], state[name]) for name in state}
    probabilities = torch.cat(all_probabilities, dim=1)
    costs = -(probabilities.gather(2, words.unsqueeze(2)).squeeze(2) + 1e-8).log() * there
    weights, *learnt = zip(*parts, strict=True)
    return (
        costs,
        torch.cat(weights, dim=1),
        [torch.cat(each, dim=1) for each in learnt if each[0] is not None],
    )


def check_gradients(ours, gradients):
    """Compare with theirs; weights behind dropout are half as large in ours, their gradients twice."""
    for name, wanted in ours.from_published(gradients).items():
        if "choice" in name:
            continue
        found = ours.get_parameter(name).grad
        halved = any(
            part in name for part in ("readout.of_state.weight", "output.weight", "first.hidden.weight")
        )
        halved |= "first.cell.weight" in name
        torch.testing.assert_close(found, wanted * (4 if halved else 1), **EXACT)


@pytest.mark.parity("captioning.show_attend_tell", "captioning.published_read")
def test_the_authors_soft_attention(authors):
    make, given, expected, gradients = authors
    ours = make()
    memory = ours.encode(given["ctx"])
    torch.testing.assert_close(ours.start(memory)["h0"], expected["init_state"], **EXACT)
    torch.testing.assert_close(ours.start(memory)["c0"], expected["init_memory"], **EXACT)
    costs, weights, _ = held(ours, given)
    torch.testing.assert_close(costs.sum(dim=1), expected["cost"], **EXACT)
    torch.testing.assert_close(weights.transpose(0, 1), expected["alphas"], **EXACT)
    term = doubly_stochastic(weights, "released")
    torch.testing.assert_close(term, expected["regulariser"], **EXACT)
    (costs.sum(dim=1).mean() + term).backward()
    check_gradients(ours, {name: value for name, value in gradients.items() if "hard/" not in name})


def test_the_authors_cost_is_found_in_one_call(authors):
    make, given, expected, _ = authors
    ours, words = make(doubly_stochastic=0.0), given["x"].t()
    loss = ours.loss(ours(given["ctx"], ours.shifted(words)), words)
    # Theirs adds 1e-8 to a probability, and sums over words.
    torch.testing.assert_close(loss * given["mask"].sum(), expected["cost"].sum(), rtol=0, atol=1e-5)


@pytest.mark.parity("captioning.show_attend_tell")
def test_the_authors_hard_attention(authors):
    make, given, expected, gradients = authors
    ours = make(choice="reinforce(kind=released, coin=batch)")
    choice = ours.decoder.reader.choice.train()
    choice.reward.baseline.fill_(-1.3)

    def given_draws(step):
        choice.drawn = lambda scores, hidden: given["hard_draws"][step].unsqueeze(1)

    costs, weights, learnt = held(ours, given, given_draws)
    torch.testing.assert_close(costs.t(), expected["hard_masked_cost"], **EXACT)
    torch.testing.assert_close(weights.transpose(0, 1), given["hard_draws"])
    choice.reward(-costs, *learnt).backward()
    torch.testing.assert_close(choice.reward.baseline, -expected["hard_next_baseline"], **EXACT)
    check_gradients(ours, {name[5:]: value for name, value in gradients.items() if "hard/" in name})


def test_the_authors_expectation(authors):
    make, given, expected, _ = authors
    costs, _, _ = held(make(choice="reinforce(choose=expectation)"), given)
    torch.testing.assert_close(costs.sum(dim=1), expected["hard_expectation_cost"], **EXACT)


def test_models_trained_without_dropout_keep_their_weights(authors, tmp_path):
    weights, *_ = original("sat_theano")
    ours = loaded(model(AUTHORS, dropout=0.0), weights, tmp_path, "model.npz")
    torch.testing.assert_close(ours.decoder.output.weight.t(), weights["ff_logit_W"])


def test_more_layers_behind_the_readout_are_the_authors_too(tmp_path):
    """n_layers_out=2: another layer with relu, between two dropouts."""
    weights, given, *_ = original("sat_theano")
    torch.manual_seed(0)
    weights |= {"ff_logit_h1_W": torch.randn(8, 8).double(), "ff_logit_h1_b": torch.randn(8).double()}
    ours = loaded(model(AUTHORS, output_layers=2), weights, tmp_path, "model.npz")
    seen = []
    ours.decoder.readout.deeper[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits = ours.decoder.decode(ours.encode(given["ctx"]), ours.shifted(given["x"].t())).logits
    hidden = F.relu(0.5 * seen[0] @ weights["ff_logit_h1_W"] + weights["ff_logit_h1_b"])
    expected = 0.5 * hidden @ weights["ff_logit_W"] + weights["ff_logit_b"]
    torch.testing.assert_close(logits.transpose(0, 1).flatten(0, 1), expected, **EXACT)  # step after step


class WholeModule(nn.Module):
    """Stands for the tutorial's decoder, whose checkpoints are pickled modules."""

    def __setstate__(self, state):
        pytest.fail("code of a file was run")


def test_pickled_modules_are_refused(tmp_path):
    path = tmp_path / "BEST_checkpoint.pth.tar"
    torch.save({"epoch": 3, "decoder": WholeModule()}, path)
    with pytest.raises(CheckpointError, match=r"WholeModule.*torch\.save\(model\.state_dict\(\)"):
        load_published(model(TUTORIAL), path)


def test_another_form_does_not_load(tmp_path):
    weights, *_ = original("sat_tutorial")
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_published(model(AUTHORS), tmp_path / "w.pth")
