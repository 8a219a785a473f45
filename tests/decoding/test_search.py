"""Search against exhaustive search, against naive loops, and against itself in other batches."""

import itertools

import pytest
import torch

from foveate.decoding.beam_search import beam_search
from foveate.decoding.next_word import best
from foveate.decoding.sample import sample
from foveate.decoding.search import search
from foveate.decoding.search_options import SearchOptions
from foveate.errors import FoveateError, OptionError
from foveate.models.decoders.word_model import Memory
from tests.decoding.chain import END, START, Chain, all_sentences, chain

CASES = [{}, {"length_penalty": 1.0}, {"length_penalty": 0.6, "coverage_penalty": 0.4}]


def words_of(found):
    return [[hypothesis.words for hypothesis in hypotheses] for hypotheses in found]


@pytest.mark.parametrize("penalties", CASES)
def test_a_beam_wide_enough_for_everything_finds_what_exhaustive_search_finds(penalties):
    model, longest = chain(), 3
    options = SearchOptions(
        beam=4**longest, nbest=10, max_length=longest, **{"length_penalty": 0.0, **penalties}
    )
    found = beam_search(model, model.encode(torch.arange(4)), options)
    for number, hypotheses in enumerate(found):
        expected = all_sentences(model, number, longest, **penalties)[:10]
        assert [h.words for h in hypotheses] == [words for _, _, words in expected]
        for hypothesis, (score, log_p, words) in zip(hypotheses, expected, strict=True):
            assert hypothesis.score == pytest.approx(score, abs=1e-12)
            assert hypothesis.log_probability == pytest.approx(log_p, abs=1e-12)
            assert hypothesis.finished == (len(words) < longest)


def test_a_beam_of_one_takes_the_likeliest_word_each_time():
    model = chain(inputs=20, words=9)
    found = beam_search(model, model.encode(torch.arange(20)), SearchOptions(beam=1, max_length=12))
    for number, (hypothesis,) in enumerate(found):
        word, expected = START, []
        while word != END:
            logits = model.table[number, word].clone()
            logits[START] = -torch.inf
            if not expected:
                logits[END] = -torch.inf
            word = END if len(expected) == 12 else int(logits.argmax())
            expected += [word] * (word != END)
        assert hypothesis.words == tuple(expected)


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("penalties", CASES)
def test_one_input_at_a_time_and_any_order_find_the_same(beam, penalties):
    model = chain(inputs=12, words=7, seed=1)
    options = SearchOptions(beam=beam, nbest=beam, max_length=8, **penalties)
    together = beam_search(model, model.encode(torch.arange(12)), options, keep_weights=True)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    other = beam_search(model, model.encode(order), options)
    for place, number in enumerate(order.tolist()):
        alone = beam_search(model, model.encode(torch.tensor([number])), options)[0]
        assert words_of([alone]) == words_of([together[number]]) == words_of([other[place]])
        for a, b in zip(alone, together[number], strict=True):
            assert (a.score, a.log_probability) == (b.score, b.log_probability)


class Watched(Chain):
    """The same with a memory of four entries, of which the last is padding, and a sentinel behind them."""

    def encode(self, numbers):
        entries, _, extra = super().encode(numbers)
        padded = torch.nn.functional.pad(entries, (0, 0, 0, 1))
        return Memory(padded, torch.tensor([True, True, True, False]).expand(len(padded), 4), extra)

    def step(self, memory, state, words):
        found = super().step(memory, state, words)
        return found._replace(weights=torch.nn.functional.pad(found.weights, (0, 2)))


def test_coverage_asks_for_neither_padding_nor_a_sentinel():
    plain, options = chain(inputs=6, words=7, seed=4), SearchOptions(beam=4, nbest=4, coverage_penalty=0.3)
    watched = Watched(plain.table)
    for one, other in zip(
        beam_search(plain, plain.encode(torch.arange(6)), options),
        beam_search(watched, watched.encode(torch.arange(6)), options),
        strict=True,
    ):
        assert [(h.words, h.score) for h in one] == [(h.words, h.score) for h in other]


def test_weights_are_those_of_the_words_of_each_hypothesis():
    model = chain(inputs=6, words=7, seed=2)
    options = SearchOptions(beam=4, nbest=4, max_length=6)
    for hypotheses in beam_search(model, model.encode(torch.arange(6)), options, keep_weights=True):
        for hypothesis in hypotheses:
            fed = torch.tensor([START, *hypothesis.words])
            assert hypothesis.weights.equal((fed.unsqueeze(1) % 3 == torch.arange(3)).double())


def test_nothing_is_empty_and_lengths_are_kept():
    table = torch.zeros(1, 5, 5, dtype=torch.float64)
    table[..., END] = 20.0  # a model that wants to end at once
    model = Chain(table)
    (hypothesis,) = beam_search(model, model.encode(torch.tensor([0])), SearchOptions(beam=3))[0]
    assert len(hypothesis.words) == 1
    (hypothesis,) = beam_search(model, model.encode(torch.tensor([0])), SearchOptions(beam=3, min_length=4))[
        0
    ]
    assert len(hypothesis.words) == 4
    table[..., END] = -20.0  # and one that never does
    found = beam_search(model, model.encode(torch.tensor([0])), SearchOptions(beam=3, max_length=6))[0]
    assert [(len(h.words), h.finished) for h in found] == [(6, False)]
    assert found[0].log_probability < -20  # the ending that was forced counts


def test_every_input_has_a_limit_of_its_own():
    table = torch.zeros(1, 5, 5, dtype=torch.float64)
    table[..., END] = -20.0
    model, limits = Chain(table), [3, 7, 5]
    memory = model.encode(torch.zeros(3, dtype=torch.int64))
    for options in (SearchOptions(beam=3, max_length=6), SearchOptions(sample=True, max_length=6)):
        found = search(model, memory, options, limits=limits)
        assert [len(hypotheses[0].words) for hypotheses in found] == [3, 6, 5]
        assert not any(hypotheses[0].finished for hypotheses in found)
    found = search(model, memory, SearchOptions(min_length=4), limits=[3, 0, 5])
    assert [len(hypotheses[0].words) for hypotheses in found] == [4, 4, 5]
    with pytest.raises(OptionError, match="limits: got 2, expected one for each of 3 inputs"):
        search(model, memory, SearchOptions(), limits=[3, 5])


def test_forbidden_words_and_special_ones_never_come():
    model = chain(inputs=10, words=6, seed=3)
    for options in (
        SearchOptions(beam=4, nbest=4, forbidden=(3,), max_length=5),
        SearchOptions(sample=True, nbest=20, forbidden=(3,), max_length=5),
    ):
        found = search(model, model.encode(torch.arange(10)), options)
        words = {*itertools.chain(*itertools.chain(*words_of(found)))}
        assert words <= {2, 4, 5}


def test_equal_candidates_go_to_the_lower_word_then_to_the_better_row():
    model = Chain(torch.zeros(1, 6, 6, dtype=torch.float64))  # all sentences of a length are alike
    options = SearchOptions(beam=3, nbest=3, max_length=2, min_length=2)
    found = beam_search(model, model.encode(torch.tensor([0])), options)
    assert words_of(found) == [[(2, 2), (3, 2), (4, 2)]]


@pytest.mark.parametrize("seed", range(5))
def test_best_is_a_stable_sort(seed):
    values = torch.randint(0, 4, (20, 30), generator=torch.Generator().manual_seed(seed)).double()
    values[values == 0] = -torch.inf
    found, places = best(values.clone(), 7)
    expected = values.argsort(dim=1, descending=True, stable=True)[:, :7]
    ordered = values.gather(1, expected)
    assert found.equal(ordered)
    assert places[ordered.isfinite()].equal(expected[ordered.isfinite()])  # what may not come has no order


def test_draws_come_as_often_as_the_model_says():
    model, longest, draws = chain(inputs=1, words=4, seed=5), 2, 20_000
    generator = torch.Generator().manual_seed(0)
    options = SearchOptions(sample=True, nbest=draws, max_length=longest, length_penalty=0.0)
    (found,) = sample(model, model.encode(torch.tensor([0])), options, generator=generator)
    table = model.table[0].clone()
    table[:, START] = -torch.inf
    first = table[START].clone()
    first[END] = -torch.inf
    first, then = first.softmax(-1), table.softmax(-1)
    for word in (2, 3):
        count = sum(h.words[0] == word for h in found)
        assert count == pytest.approx(draws * float(first[word]), abs=4 * (draws / 4) ** 0.5)
        of_these = [h for h in found if h.words[0] == word]
        ended = sum(len(h.words) == 1 for h in of_these)
        assert ended == pytest.approx(len(of_these) * float(then[word, END]), abs=4 * (draws / 4) ** 0.5)
    assert found[0].score == max(h.score for h in found)


def test_drawing_among_one_word_is_greedy():
    model = chain(inputs=8, words=7, seed=6)
    memory = model.encode(torch.arange(8))
    drawn = search(model, memory, SearchOptions(sample=True, top_k=1, max_length=9))
    assert words_of(drawn) == words_of(search(model, memory, SearchOptions(beam=1, max_length=9)))


def test_logits_that_are_not_numbers_raise():
    model = Chain(torch.full((1, 5, 5), float("nan")))
    with pytest.raises(FoveateError, match="word 1: the model's logits are not numbers"):
        beam_search(model, model.encode(torch.tensor([0])), SearchOptions())


@pytest.mark.parametrize("forbidden", [(2, 3, 4), (99,), (-1,), (END,)])
def test_words_that_cannot_be_forbidden_are_refused(forbidden):
    model = chain(inputs=1, words=5)
    with pytest.raises(OptionError, match=r"forbidden: got .* that leave some to choose from"):
        search(model, model.encode(torch.tensor([0])), SearchOptions(forbidden=forbidden))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"beam": 0}, "beam: got 0"),
        ({"length_penalty": -1.0}, "length_penalty: got -1.0"),
        ({"coverage_penalty": float("nan")}, "coverage_penalty: got nan"),
        ({"temperature": 0.0}, "temperature: got 0.0, expected a number above 0"),
        ({"min_length": 5, "max_length": 4}, "min_length: got 5, which is more than max_length=4"),
        ({"length_penalty": 1e308}, "length_penalty: got 1e\\+308"),
        ({"beam": 1_000_000}, "beam: got 1000000, expected at most 1000"),
        ({"top_k": 3}, "they say how words are drawn"),
        ({"nbest": 6}, "nbest: got 6, but a beam of 5 finds 5 hypotheses at most"),
    ],
)
def test_options_out_of_range_are_refused(options, text):
    with pytest.raises(OptionError, match=text):
        SearchOptions(**options)
