import numpy as np
import pytest
import torch

from foveate.data.augment.augmentations import DRAWS, augmentations
from foveate.data.augment.box_changes import changed
from foveate.data.boxes.box_feed import BoxFeed
from foveate.data.boxes.open_boxes import open_boxes
from foveate.errors import OptionError, UnknownNameError
from foveate.recipe import TrainConfig


def feed(**recipe):
    data = open_boxes("scenes(train=10, val=0, test=6, classes=4)")
    return BoxFeed(data.images.splits["train"], data.boxes["train"], TrainConfig(**recipe))


def test_an_epoch_resumes_and_does_not_depend_on_the_batch_size():
    some = feed(augment="resized_crop", colour=0.3)
    whole = [item for batch in some.train(batch_size=5, seed=3, epoch=1) for item in batch.items]
    singles = [item for batch in some.train(batch_size=1, seed=3, epoch=1) for item in batch.items]
    late = [item for batch in some.train(batch_size=5, seed=3, epoch=1, start=1) for item in batch.items]
    for one, other in (*zip(whole, singles, strict=True), *zip(whole[5:], late, strict=True)):
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.boxes, other.boxes)
    other = next(iter(some.train(batch_size=5, seed=3, epoch=2))).items
    assert not all(torch.equal(a.image, b.image) for a, b in zip(whole, other, strict=False))


def test_testing_changes_nothing():
    some = feed(augment="resized_crop")
    (batch,) = some.test(64)
    assert batch.indices.tolist() == list(range(10))
    for number, (item, truth) in enumerate(zip(batch.items, batch.truths, strict=True)):
        pixels = some.split.load(number).transpose(2, 0, 1)
        assert torch.equal((item.image * 255).round().byte(), torch.from_numpy(pixels.copy()))
        assert item.boxes.double().numpy().tolist() == truth.boxes.tolist()


@pytest.mark.parametrize("name", augmentations)
def test_a_box_moves_with_what_is_in_it(name):
    rng = np.random.default_rng(0)
    for _ in range(20):
        left, top = rng.integers(0, 40), rng.integers(0, 20)
        right, bottom = left + rng.integers(8, 20), top + rng.integers(8, 18)
        image = torch.zeros(3, 40, 64, dtype=torch.uint8)
        image[:, top:bottom, left:right] = 255
        box = torch.tensor([[left, top, right, bottom]], dtype=torch.float32)
        out, moved, stays = changed(image, box, augmentations[name], rng.random(DRAWS))
        assert out.shape == image.shape
        if stays.item():
            rows, columns = (out[0] > 127).nonzero(as_tuple=True)
            seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (moved[0] - seen).abs().max() <= 1.5  # enlarging blurs the edge
        else:
            assert (out > 127).float().mean() * out[0].numel() <= 0.25 * 3 * (right - left) * (bottom - top)


def test_crowds_are_not_learnt():
    data = open_boxes("scenes(train=4, val=0, test=2, classes=4)")
    first = data.boxes["train"][0]
    first.crowd[:2] = True
    (batch,) = BoxFeed(data.images.splits["train"], data.boxes["train"]).test(4)
    assert (len(batch.items[0].labels), len(batch.truths[0])) == (2, 4)


def test_impossible_batches_and_augmentations_are_refused():
    with pytest.raises(OptionError, match="an epoch has 3 batches"):
        feed().train(batch_size=3, seed=0, epoch=0, start=4)
    with pytest.raises(UnknownNameError, match="augmentation"):
        feed(augment="mosaic")
