from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foveate.errors import OptionError
from foveate.mechanisms.hard.reinforce import ReinforceRead


def make(**options: object) -> ReinforceRead:
    torch.manual_seed(0)
    return ReinforceRead(6, **{"query": 4, **options}).double()


def inputs(batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 3, 4, dtype=torch.float64, generator=generator),
        torch.randn(batch, 5, 6, dtype=torch.float64, generator=generator),
    )


@pytest.mark.parity("reinforce")
def test_the_distribution_is_the_softmax_of_additive_scores() -> None:
    module, (query, memory) = make(temperature=0.7), inputs()
    reading, s = module.read(query, memory), module.scores
    scores = (s.query(query).unsqueeze(2) + s.key(memory).unsqueeze(1)).tanh() @ s.energy.weight[0] / 0.7
    expected = scores.softmax(dim=2)
    torch.testing.assert_close(reading.probabilities, expected)
    torch.testing.assert_close(reading.entropy, torch.distributions.Categorical(probs=expected).entropy())


def test_a_sample_is_one_entry_gathered_with_its_log_probability() -> None:
    module, (query, memory) = make(soft_share=0.0), inputs()
    context, weights, probabilities, log_probability, _ = module.read(query, memory)
    index = weights.argmax(dim=2)
    assert torch.equal(weights, torch.nn.functional.one_hot(index, 5).double())
    (slope,) = torch.autograd.grad(context.sum(), module.scores.key.weight, retain_graph=True)
    assert not slope.any(), "a choice has no slope"
    assert torch.equal(context, memory.gather(1, index.unsqueeze(2).expand(-1, -1, 6)))
    torch.testing.assert_close(log_probability, probabilities.gather(2, index.unsqueeze(2)).squeeze(2).log())


def test_entries_are_drawn_with_their_probabilities() -> None:
    module, (query, memory) = make(soft_share=0.0), inputs(1)
    many = query[:, :1].expand(1, 100_000, 4)
    reading = module.read(many, memory, generator=torch.Generator().manual_seed(3))
    counts, expected = reading.weights.sum(dim=(0, 1)), 100_000 * reading.probabilities[0, 0]
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p = 0.001


def test_a_generator_decides_alone() -> None:
    module, (query, memory) = make(), inputs()
    first, second = (module.read(query, memory, generator=torch.Generator().manual_seed(s)) for s in (4, 4))
    assert torch.equal(first.weights, second.weights)
    before = torch.get_rng_state()
    module.read(query, memory, generator=torch.Generator().manual_seed(4))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("coin", ["image", "batch"])
def test_half_of_the_images_or_batches_read_the_expectation(coin: str) -> None:
    module, (query, memory) = make(coin=coin), inputs(400)
    shares = []
    for seed in range(20):
        reading = module.read(query, memory, generator=torch.Generator().manual_seed(seed))
        soft = (reading.weights == reading.probabilities).all(dim=2)
        assert (soft.all(dim=1) == soft.any(dim=1)).all(), "the steps of an image go together"
        shares.append(float(soft.double().mean()))
    assert (set(shares) == {0.0, 1.0}) if coin == "batch" else all(0.4 < share < 0.6 for share in shares)


def test_the_expectation_teaches_by_its_context_not_by_its_log_probability() -> None:
    module, (query, memory) = make(soft_share=1.0), inputs()
    reading = module.read(query, memory)
    slopes = torch.autograd.grad(reading.log_probability.sum(), module.scores.key.weight, retain_graph=True)
    torch.testing.assert_close(slopes[0], torch.zeros_like(slopes[0]))
    assert torch.autograd.grad(reading.context.sum(), module.scores.key.weight)[0].any()


def test_inference_by_argmax_sample_and_expectation() -> None:
    module, (query, memory) = make().eval(), inputs()
    best = module.read(query, memory)
    assert torch.equal(best.weights.argmax(dim=2), best.probabilities.argmax(dim=2))
    assert torch.equal(best.weights, module.read(query, memory).weights)
    module.choose = "expectation"
    soft = module.read(query, memory)
    assert torch.equal(soft.weights, soft.probabilities)
    module.choose = "sample"
    drawn = torch.stack([module.read(query, memory).weights for _ in range(50)])
    assert ((drawn == 0) | (drawn == 1)).all() and (drawn != drawn[0]).any()


def test_a_cold_expectation_tends_to_the_argmax() -> None:
    query, memory = inputs()
    soft, hard = make(choose="expectation", temperature=1e-5).eval(), make().eval()
    torch.testing.assert_close(soft(query, memory), hard(query, memory))


@pytest.mark.parametrize(
    ("option", "value"), [("choose", "soft"), ("coin", "step"), ("soft_share", 1.5), ("temperature", 0.0)]
)
def test_impossible_options_are_refused(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"{option}: got"):
        make(**{option: value})
