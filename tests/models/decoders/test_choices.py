"""Hard choices, and what they learn by, against enumerations."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foveate.mechanisms.switch import as_written
from foveate.models import create_model
from foveate.models.decoders.monotonic import expected_stops, hard_stops
from foveate.models.decoders.rows import Rows
from foveate.models.decoders.shared_tensor import shared
from tests.models.word_models import build, sentences, sources

SOURCE, TARGET = torch.tensor([[5, 7, 3]]), torch.tensor([[6, 3]])  # S = 3 words, T = 2


def small(**options):
    return build("translator", reads="after", **options).double()


def parts(model):
    """Return p(place) of each step, (T, S), and log p(target | place), of the places by themselves."""
    memory = model.encode(SOURCE)
    fed = model.shifted(TARGET)
    soft = small(choice="gumbel(choose=expectation)")
    soft.load_state_dict(model.state_dict(), strict=False)
    weights = soft.decode(memory, fed).weights[0]
    likelihood = torch.stack([with_place(model, memory, fed, place) for place in range(3)], dim=1)
    return weights, likelihood


def with_place(model, memory, fed, place):
    """Return log p of each target, if that place alone can be read."""
    one = memory._replace(mask=torch.arange(3)[None] == place)
    logits = model.decoder.decode(one, fed).logits
    return logits.log_softmax(2).gather(2, TARGET.unsqueeze(2))[0, :, 0]


def test_the_exact_marginal_is_the_sum_over_all_that_could_be_read():
    model = small(choice="marginal").train()
    weights, likelihood = parts(model.eval())
    decoded = model.train()(SOURCE, model.shifted(TARGET))
    ours = decoded.logits.gather(2, TARGET.unsqueeze(2))[0, :, 0]
    total = sum(  # over both steps' places at once
        weights[0, i] * weights[1, j] * torch.exp(likelihood[0, i] + likelihood[1, j])
        for i, j in itertools.product(range(3), repeat=2)
    )
    torch.testing.assert_close(ours.sum(), total.log())
    torch.testing.assert_close(decoded.logits.logsumexp(2), torch.zeros(1, 2).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.loss(decoded, TARGET), -total.log() / 2)


def test_the_best_places_alone_are_summed_over_and_sum_to_one():
    model = small(choice="marginal(places=2)")
    weights, likelihood = parts(model)
    decoded = model.train()(SOURCE, model.shifted(TARGET))
    best = weights.topk(2, dim=1)
    shares = best.values / best.values.sum(dim=1, keepdim=True)
    expected = (shares.log() + likelihood.gather(1, best.indices)).logsumexp(1)
    torch.testing.assert_close(decoded.logits.gather(2, TARGET.unsqueeze(2))[0, :, 0], expected)


@pytest.mark.parametrize("kind", ["paper", "steps"])
def test_the_mean_of_reinforces_gradients_is_that_of_the_expected_log_likelihood(kind):
    """Within three standard errors, of 4,000 draws: with and without a baseline."""
    torch.manual_seed(0)
    choice = f"reinforce(soft_share=0, factor=1, entropy_factor=0, kind={kind})"
    model = small(choice=choice).train()
    weights, likelihood = parts(model)
    target = model.decoder.reader.read.scores.energy.weight
    bound = sum(  # each step's choice is independent of the other's
        weights[0, i] * weights[1, j] * (likelihood[0, i] + likelihood[1, j])
        for i, j in itertools.product(range(3), repeat=2)
    )
    (exact,) = torch.autograd.grad(-bound, target)
    many, draws = 250, []
    source, wanted = SOURCE.expand(many, -1), TARGET.expand(many, -1)
    for baseline in (0.0, -4.0):
        model.decoder.reader.choice.reward.eval().baseline.fill_(baseline)
        for _ in range(8):
            decoded = model(source, model.shifted(wanted))
            assert set(decoded.weights.unique().tolist()) == {0.0, 1.0}
            (mean,) = torch.autograd.grad(model.loss(decoded, wanted) * 2, target)
            draws.append(mean.flatten())
    means = torch.stack(draws)
    error = means.std(dim=0) / len(means) ** 0.5
    assert ((means.mean(dim=0) - exact.flatten()).abs() < 3 * error + 1e-12).all()


@pytest.mark.parametrize("reads", ["before", "after", "between"])
@pytest.mark.parametrize("choice", ["reinforce", "gumbel"])
def test_the_expectation_of_a_hard_choice_is_the_soft_read(choice, reads):
    soft = build("translator", reads=reads).double()
    hard = build("translator", reads=reads, choice=f"{choice}(choose=expectation)").double()
    hard.load_state_dict(soft.state_dict(), strict=False)
    fed = soft.shifted(TARGET)
    torch.testing.assert_close(hard(SOURCE, fed).logits, soft(SOURCE, fed).logits)


@pytest.mark.parametrize("choice", ["reinforce(soft_share=0)", "gumbel", "marginal", "monotonic"])
def test_a_choice_is_one_place(choice):
    model = small(choice=choice)
    source, target = sources("translator", model), sentences((4, 6, 1), model)
    decoded = model.decoder.decode(model.encode(source), model.shifted(target))
    assert set(decoded.weights.unique().tolist()) <= {0.0, 1.0}
    sums = decoded.weights.sum(dim=2)
    assert (sums <= 1).all() if choice == "monotonic" else (sums == 1).all()
    again = model.decoder.decode(model.encode(source), model.shifted(target))
    assert torch.equal(decoded.logits, again.logits)
    picked = build("translator", reads="after", choice="gumbel(choose=sample)")
    assert set(picked(SOURCE, picked.shifted(TARGET)).weights.unique().tolist()) == {0.0, 1.0}


def test_expected_stops_are_the_enumerated_ones():
    with np.load(Path(__file__).parent / "monotonic_alignment.npz") as file:
        choose, expected = (torch.from_numpy(file[key]).double() for key in ("in/p_choose", "out/alpha"))
    before, rows = F.one_hot(torch.tensor([0]), 5).double(), []
    for energy in torch.logit(choose):
        before = expected_stops(energy[None], before)
        rows.append(before[0])
    torch.testing.assert_close(torch.stack(rows), expected, rtol=0, atol=1e-9)


def test_hard_stops_go_forward_and_past_the_end():
    place = F.one_hot(torch.tensor([2]), 5).double()
    energies = torch.tensor([[9.0, 9.0, -1.0, -1.0, 3.0]]).double()
    assert hard_stops(energies, place).tolist() == [[0, 0, 0, 0, 1]]
    assert hard_stops(-energies, place).tolist() == [[0, 0, 1, 0, 0]]
    past = hard_stops(torch.full((1, 5), -1.0).double(), place)
    assert past.sum() == 0 and hard_stops(energies, past).sum() == 0
    certain = torch.where(energies > 0, 800.0, -800.0).double()
    assert expected_stops(certain, place).tolist() == hard_stops(energies, place).tolist()


def test_a_monotonic_translator_never_goes_back():
    model = small(choice="monotonic(offset=0.3)")
    source, target = sources("translator", model, (8, 7)), sentences((6, 6), model)
    memory = model.encode(source)
    weights = model.decoder.decode(memory, model.shifted(target)).weights
    places = weights.argmax(dim=2)[weights.sum(dim=2) == 1]
    assert len(places) and (weights.cumsum(dim=2).diff(dim=1) <= 0).all()


def test_rows_are_what_there_is_and_come_back():
    there = torch.tensor([[True, False, False], [True, True, True], [True, True, False]])
    rows = Rows(3, 3, there)
    x = torch.arange(9.0).view(3, 3)
    assert (rows.counts, rows.order.tolist()) == ([3, 2, 1], [1, 2, 0])
    assert rows.packed(x).tolist() == [3, 6, 0, 4, 7, 5]
    assert torch.equal(rows.spread(rows.packed(x)), x * there)
    assert Rows(3, 3, there | True).order is None


def test_gradients_of_what_is_shared_are_those_of_slices():
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weights = [torch.randn(count, 3, dtype=torch.float64) for count in (5, 3, 3)]
    found = []
    for plain in (False, True):
        if plain:
            with as_written():
                rows = shared(x)
        else:
            rows = shared(x)
        total = sum((rows(len(w)).tanh() * w).sum() for w in weights)
        found.append(torch.autograd.grad(total, x)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.nightly, id="soft"),
        pytest.param({"choice": "marginal"}, marks=pytest.mark.slow, id="marginal"),
    ],
)
def test_copying_is_learnt_with_the_identity_as_alignment(options):
    torch.manual_seed(0)
    words = 20
    model = create_model(
        "translator", classes=words, embedding=24, encoder_state=24, state=48, dropout=0.0, **options
    )
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(1)

    def batch(size):
        text = torch.randint(4, words, (size, 7), generator=generator)
        lengths = torch.randint(3, 8, (size, 1), generator=generator)
        places = torch.arange(7)
        return text.masked_fill(places >= lengths, 0).masked_fill(places == lengths - 1, model.end)

    for step in range(500):
        for group in optimiser.param_groups:
            group["lr"] = 0.01 * (1 - step / 500)
        text = batch(64)
        loss = model.loss(model(text, model.shifted(text)), text)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    text = batch(200)
    with torch.no_grad():
        decoded = model.eval()(text, model.shifted(text))
    there = text != 0
    right = (decoded.logits.argmax(2) == text) | ~there
    assert right.all(dim=1).float().mean() > 0.99
    aligned = decoded.weights.argmax(2) == torch.arange(7)
    assert aligned[there].float().mean() > 0.95
