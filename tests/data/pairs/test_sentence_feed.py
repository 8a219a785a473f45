"""The laws of a feed: equal bits for equal seeds, all pairs once, little padding, answers in item order."""

import numpy as np
import pytest
import torch

from foveate.data.feed import steps_per_epoch
from foveate.data.pairs.lines import Lines
from foveate.data.pairs.pair_data import LineNames, PairSplit
from foveate.data.pairs.sentence_feed import SentenceFeed
from foveate.data.words.buckets import POOL, bucketed
from foveate.data.words.build_vocabularies import build_vocabularies
from foveate.data.words.special import END, PAD
from foveate.errors import DataError, OptionError
from tests.data.pairs.pair_samples import pairs


def feed(count, longest=12):
    some = pairs(count, longest=longest)
    split = PairSplit(
        LineNames("train", np.arange(1, count + 1)),
        Lines.of(a for a, _ in some),
        Lines.of(b for _, b in some),
    )
    return SentenceFeed(split, *build_vocabularies(split.source, split.target))


SOME = feed(203)


def same(one, other):
    return (
        torch.equal(one.source, other.source)
        and torch.equal(one.target, other.target)
        and torch.equal(one.indices, other.indices)
        and one.references == other.references
    )


@pytest.mark.parametrize("start", [0, 1, 7, 25])
def test_a_feed_resumed_at_a_batch_gives_the_same_bits(start):
    whole = list(SOME.train(batch_size=8, seed=3, epoch=2))
    rest = list(feed(203).train(batch_size=8, seed=3, epoch=2, start=start))
    assert len(whole) == steps_per_epoch(203, 8) and len(rest) == len(whole) - start
    assert all(same(one, other) for one, other in zip(whole[start:], rest, strict=True))


def test_epochs_and_seeds_differ():
    orders = {
        tuple(torch.cat([batch.indices for batch in SOME.train(batch_size=8, seed=s, epoch=e)]).tolist())
        for s, e in ((0, 0), (0, 1), (1, 0))
    }
    assert len(orders) == 3


@pytest.mark.parametrize(("batch_size", "seen"), [(8, 200), (203, 203), (500, 203), (1, 203)])
def test_an_epoch_has_every_pair_once_but_for_the_remainder(batch_size, seen):
    chosen = torch.cat([b.indices for b in SOME.train(batch_size=batch_size, seed=0, epoch=0)]).tolist()
    assert len(chosen) == len(set(chosen)) == seen


def test_every_pair_is_left_out_now_and_then():
    seen = [
        set(torch.cat([b.indices for b in SOME.train(batch_size=100, seed=0, epoch=e)]).tolist())
        for e in range(9)
    ]
    assert all(len(some) == 200 for some in seen) and len(set.union(*seen)) == 203
    assert len({frozenset(some) for some in seen}) > 5


def test_rows_are_the_sentences_with_their_end_and_padding_behind():
    for batch in SOME.train(batch_size=16, seed=0, epoch=0):
        for row, item in enumerate(batch.indices.tolist()):
            for words, texts, vocabulary in (
                (batch.source[row], SOME.split.source, SOME.source),
                (batch.target[row], SOME.split.target, SOME.target),
            ):
                numbers = words.tolist()
                end = numbers.index(END)
                assert set(numbers[end + 1 :]) <= {PAD} and PAD not in numbers[:end]
                assert vocabulary.decode(numbers) == texts[item]
            assert batch.references[row] == SOME.split.target[item]
        for words in (batch.source, batch.target):
            assert (words != PAD).any(dim=0).all()  # no longer than the longest


def test_batches_of_similar_length_have_little_padding_and_come_in_random_order():
    many = feed(2000, longest=60)
    lengths = np.array([len(text.split()) for text in many.split.target])
    padded = rows = 0
    means = []
    for batch in many.train(batch_size=20, seed=0, epoch=0):
        padded += int((batch.target == PAD).sum())
        rows += batch.target.numel()
        means.append(float(lengths[batch.indices].mean()))
    assert padded / rows < 0.05  # in random batches it would be about half
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


def test_buckets_are_sorted_within_pools_alone():
    lengths = np.arange(4 * POOL) % 97
    (pool,) = [bucketed(lengths, batch_size=4, seed=0, epoch=0)]
    assert all((np.diff(lengths[batch]) >= 0).all() for batch in pool)
    ties = bucketed(np.zeros(40), np.arange(40)[::-1], batch_size=4, seed=0, epoch=0)
    assert all((np.diff(batch) == -1).all() for batch in ties)  # the second lengths decide


@pytest.mark.parametrize("batch_size", [1, 7, 203, 500])
def test_a_test_sees_every_pair_once_in_order(batch_size):
    batches = list(SOME.test(batch_size))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(203))
    assert [text for batch in batches for text in batch.references] == list(SOME.split.target)
    assert sum(map(len, batches)) == len(SOME) == len(SOME.names)


def test_a_sentence_of_ten_thousand_words_is_tested_whole():
    long = " ".join(["dog"] * 10_000)
    split = PairSplit(LineNames("test", np.array([1])), Lines.of([long]), Lines.of(["Hund"]))
    (batch,) = SentenceFeed(split, SOME.source, SOME.target).test(4)
    assert batch.source.shape == (1, 10_001) and SOME.source.decode(batch.source[0]) == long


def test_an_empty_sentence_is_its_end():
    split = PairSplit(LineNames("test", np.array([1, 2])), Lines.of(["", "dog"]), Lines.of(["", "Hund"]))
    (batch,) = SentenceFeed(split, SOME.source, SOME.target).test(4)
    assert batch.source[0].tolist() == [END, PAD] and batch.references == ("", "Hund")


def test_a_batch_moves_to_a_device_and_stays_if_it_is_there():
    batch = next(SOME.test(3))
    assert batch.to(torch.device("cpu")) is batch
    moved = batch.to(torch.device("meta"))
    assert {t.device.type for t in (moved.source, moved.target, moved.indices)} == {"meta"}
    assert moved.references == batch.references and len(moved) == 3


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"batch_size": 8, "start": 26}, {"batch_size": 8, "start": -1}]
)
def test_impossible_batches_are_refused_at_the_call(wrong):
    with pytest.raises(OptionError, match="batches"):
        SOME.train(**{"seed": 0, "epoch": 0, **wrong})
    with pytest.raises(OptionError, match="batch_size"):
        SOME.test(0)


def test_names_sentences_and_translations_are_one_for_each():
    with pytest.raises(DataError, match="a split of 1 names came with 2 sentences and 1 translations"):
        PairSplit(LineNames("train", np.array([1])), Lines.of(["a", "b"]), Lines.of(["a"]))
