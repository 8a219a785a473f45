"""The laws of a feed of captions: every caption or picture once, equal bits, features in their place."""

import numpy as np
import pytest
import torch

from foveate.data.base import Split
from foveate.data.cache import cache
from foveate.data.captions.caption_data import CaptionData, CaptionSplit
from foveate.data.captions.caption_feed import CaptionFeed, caption_feeds
from foveate.data.captions.open_captions import open_captions
from foveate.data.feed import steps_per_epoch
from foveate.data.words.build_vocabularies import build_vocabulary
from foveate.data.words.special import END, PAD
from foveate.errors import DataError, OptionError
from tests.data.captions.caption_samples import captions, write_list

PICTURES = 40
TEXTS = tuple(tuple(captions(n)) for n in range(PICTURES))
TOTAL = sum(map(len, TEXTS))


def split_of(count=PICTURES):
    names = tuple(f"{n}.jpg" for n in range(count))
    zeros = np.zeros(count, dtype=np.int64)
    pictures = Split(names, zeros, load=lambda item: np.full((4, 4, 3), item, dtype=np.uint8))
    return CaptionSplit(pictures, TEXTS[:count])


SPLIT = split_of()
WORDS = build_vocabulary(text for some in TEXTS for text in some)
FEATURES = torch.arange(PICTURES, dtype=torch.float32)[:, None, None].expand(PICTURES, 2, 3)
IMAGES = np.arange(PICTURES, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 5), dtype=np.uint8)


def feed(**options):
    return CaptionFeed(SPLIT, WORDS, **{"features": FEATURES, **options})


def run(feed, batch_size=8, seed=0, epoch=0, start=0):
    return list(feed.train(batch_size=batch_size, seed=seed, epoch=epoch, start=start))


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("start", [0, 1, 3])
def test_a_feed_resumed_at_a_batch_gives_the_same_bits(every, start):
    whole, rest = (
        run(feed(every_caption=every), epoch=3),
        run(feed(every_caption=every), epoch=3, start=start),
    )
    assert len(rest) == len(whole) - start > 0
    for one, other in zip(whole[start:], rest, strict=True):
        assert torch.equal(one.captions, other.captions) and torch.equal(one.indices, other.indices)
        assert torch.equal(one.features, other.features) and one.references == other.references


@pytest.mark.parametrize(("every", "items"), [(True, TOTAL), (False, PICTURES)])
def test_an_epoch_has_every_item_once_but_for_the_remainder(every, items):
    some = feed(every_caption=every)
    assert len(some) == items == len(some.names) == len(set(some.names))
    for batch_size in (1, 7, 500):
        batches = run(some, batch_size)
        assert len(batches) == steps_per_epoch(items, batch_size)
        chosen = torch.cat([batch.indices for batch in batches]).tolist()
        assert len(chosen) == len(set(chosen)) == min(items, len(batches) * batch_size)


def test_every_caption_of_every_picture_is_learnt_once_an_epoch():
    learnt = [
        (batch.features[row, 0, 0].item(), WORDS.decode(words))
        for batch in run(feed(every_caption=True), batch_size=1)
        for row, words in enumerate(batch.captions)
    ]
    assert sorted(learnt) == sorted((n, text) for n, some in enumerate(TEXTS) for text in some)


def test_one_caption_of_each_picture_is_drawn_anew_in_every_epoch():
    seen = {}
    for epoch in range(12):
        batches = run(feed(), batch_size=1, epoch=epoch)
        drawn = {int(batch.indices): WORDS.decode(batch.captions[0]) for batch in batches}
        assert all(drawn[picture] in TEXTS[picture] for picture in drawn) and len(drawn) == PICTURES
        for picture, text in drawn.items():
            seen.setdefault(picture, set()).add(text)
    assert sum(map(len, seen.values())) > 0.9 * TOTAL


@pytest.mark.parametrize("every", [True, False])
def test_rows_belong_together(every):
    some = feed(every_caption=every)
    for batch in run(some) + list(some.test(6)):
        for row, item in enumerate(batch.indices.tolist()):
            picture = int(batch.features[row, 0, 0])
            assert batch.references[row] == TEXTS[picture]
            assert some.names[item].partition("#")[0] == f"{picture}.jpg"
            words = batch.captions[row].tolist()
            assert WORDS.decode(words) in TEXTS[picture]
            assert set(words[words.index(END) + 1 :]) <= {PAD}
        assert (batch.captions != PAD).any(dim=0).all() and batch.inputs is batch.features


def test_batches_have_captions_of_similar_length():
    batches = run(feed(every_caption=True), batch_size=4)
    padded = sum(int((batch.captions == PAD).sum()) for batch in batches)
    assert padded < 0.02 * sum(batch.captions.numel() for batch in batches)


def test_a_test_sees_every_picture_once_in_order_with_all_its_captions():
    batches = list(feed().test(7))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(PICTURES))
    assert tuple(some for batch in batches for some in batch.references) == TEXTS
    firsts = [WORDS.decode(row) for batch in batches for row in batch.captions]
    assert firsts == [some[0] for some in TEXTS]


def test_pictures_are_normalised():
    (batch,) = CaptionFeed(SPLIT, WORDS, images=IMAGES, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0)).test(
        PICTURES
    )
    expected = (IMAGES[7, :, 0, 0] / 255 - (0.1, 0.2, 0.3)) / (0.5, 1.0, 2.0)
    assert batch.images.shape == (PICTURES, 3, 4, 5) and batch.images.dtype == torch.float32
    assert batch.images[7, :, 2, 3].tolist() == pytest.approx(expected.tolist())
    assert batch.features is None and batch.inputs is batch.images


def test_feeds_of_data_train_on_captions_and_are_judged_on_pictures():
    data = CaptionData("toy", {"train": SPLIT, "test": split_of(5)}, {"source": None}, "0")
    features = {"train": FEATURES, "test": FEATURES[:5]}
    feeds = caption_feeds(data, WORDS, features=features)
    assert {name: len(each) for name, each in feeds.items()} == {"train": TOTAL, "test": 5}
    feeds = caption_feeds(data, WORDS, features=features, every_caption=False)
    assert {name: len(each) for name, each in feeds.items()} == {"train": PICTURES, "test": 5}
    assert data.facts()[0] == f"{TOTAL} captions to train on"


def test_a_batch_moves_to_a_device_and_stays_if_it_is_there():
    for options in ({}, {"features": None, "images": IMAGES}):
        batch = next(feed(**options).test(3))
        assert batch.to(torch.device("cpu")) is batch and len(batch) == 3
        moved = batch.to(torch.device("meta"))
        assert {moved.captions.device.type, moved.inputs.device.type, moved.indices.device.type} == {"meta"}


@pytest.mark.parametrize("wrong", [{"features": None}, {"images": IMAGES}, {"features": FEATURES[:3]}])
def test_features_or_images_of_all_pictures_are_needed(wrong):
    with pytest.raises(OptionError, match="captions: "):
        feed(**wrong)


def test_pictures_without_captions_are_refused():
    with pytest.raises(DataError, match=r"1\.jpg: has no caption"):
        CaptionSplit(split_of(2).pictures, (("a",), ()))
    with pytest.raises(DataError, match="a split of 2 pictures came with captions for 1"):
        CaptionSplit(split_of(2).pictures, (("a",),))
    with pytest.raises(OptionError, match="batches"):
        feed().train(batch_size=0, seed=0, epoch=0)


def test_pictures_that_the_cache_decoded_can_be_fed(tmp_path):
    write_list(tmp_path)
    data = open_captions(tmp_path)
    decoded = cache(data.pictures, size=16, folder=tmp_path / "cache")
    images = {name: split.images for name, split in decoded.items()}
    feeds = caption_feeds(data, build_vocabulary(data.texts()), images=images)
    (batch,) = feeds["test"].test(8)
    assert batch.inputs.shape == (2, 3, 16, 16)
    expected = torch.from_numpy(np.array(images["test"])).float() / 127.5 - 1
    assert torch.allclose(batch.inputs, expected, atol=1e-6)
