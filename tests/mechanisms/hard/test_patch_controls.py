"""The controls of hard attention: all patches softly weighed, random ones, and those of the middle."""

import torch

from foveate.mechanisms.hard.all_patches import AllPatches
from foveate.mechanisms.hard.centre_crops import CentreCrops
from foveate.mechanisms.hard.random_patches import RandomPatches
from tests.picture_samples import Mixed


def test_all_patches_cover_the_picture_and_pool_to_the_expectation():
    torch.manual_seed(0)
    images = torch.rand(2, 1, 25, 16)  # the last row of patches reaches 7 pixels outside
    module = AllPatches(1, size=8, scale=0.5)
    found = module.select(images)
    assert found.patches.shape == (2, 8, 1, 8, 8)
    torch.testing.assert_close(found.patches.sum(dim=(1, 2, 3, 4)), images.sum(dim=(1, 2, 3)))
    values = torch.rand(2, 8, 3)
    expected = torch.einsum("bk,bkd->bd", found.attention.flatten(1), values)
    torch.testing.assert_close(module.pool(values, found.weights), expected)


def test_all_patches_give_no_weight_outside_of_a_smaller_picture():
    found = AllPatches(1, size=10, scale=0.5).select(Mixed([torch.rand(1, 40, 40), torch.rand(1, 10, 20)]))
    assert found.weights[1].count_nonzero() == 2
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(2))


def test_random_patches_lie_inside_and_everywhere():
    torch.manual_seed(0)
    module = RandomPatches(1, patches=64, size=8)
    pictures = Mixed([torch.rand(1, 40, 80), torch.rand(1, 20, 8)])
    for training in (False, True):
        places = module.train(training).select(pictures).places
        for own, (height, width) in zip(places, pictures.sizes, strict=True):
            assert own.min() >= 0 and (own <= torch.tensor([height - 8, width - 8])).all()
        quarters = (places[0] > torch.tensor([16, 36])).long() @ torch.tensor([2, 1])
        assert quarters.bincount(minlength=4).min() >= 8
    assert not torch.equal(places, module.select(pictures).places)


def test_centre_crops_are_centred():
    module = CentreCrops(1, patches=9, size=8)
    places = module.select(torch.rand(1, 1, 40, 60)).places[0]
    assert places.min(dim=0).values.tolist() == [8, 18]
    assert (places.max(dim=0).values + 8).tolist() == [32, 42]
    small = CentreCrops(1, patches=1, size=8).select(Mixed([torch.rand(1, 40, 60), torch.rand(1, 4, 8)]))
    assert small.places.tolist() == [[[16, 26]], [[-2, 0]]]
