import numpy as np
import pytest
from PIL import Image

from foveate.data.cache import cache, cache_file, mask_file
from foveate.data.canvas import choose_canvas, fit_image, fit_mask, placed
from foveate.data.class_numbers import IGNORE
from foveate.data.open import open_data
from foveate.errors import DataError, OptionError
from tests.data.image_samples import pixels, save
from tests.data.mask_samples import labels, make_masks, save_mask


def test_what_has_the_aspect_fills_the_canvas_and_nothing_is_cut_away():
    assert placed(360, 480, (180, 240)) == (0, 0, 180, 240)
    assert placed(100, 100, (180, 240)) == (0, 30, 180, 180)
    assert placed(10, 1000, (180, 240)) == (89, 0, 2, 240)
    assert placed(1000, 1, (180, 240)) == (0, 119, 180, 1)


def test_an_image_is_padded_with_its_mean_and_its_mask_with_what_is_ignored():
    image, mask = pixels(1, 24, 32), labels(1, 24, 32)
    np.testing.assert_array_equal(fit_image(image, (24, 32)), image)
    fitted, truth = fit_image(image, (24, 48)), fit_mask(mask, (24, 48))
    np.testing.assert_array_equal(fitted[:, 8:40], image)
    np.testing.assert_array_equal(truth[:, 8:40], mask)
    edge = np.r_[0:8, 40:48]
    assert (truth[:, edge] == IGNORE).all()
    assert (fitted[:, edge] == image.mean(axis=(0, 1)).round()).all()


def test_a_mask_takes_the_nearest_pixel_and_makes_no_new_class():
    mask = labels(3, 25, 31, classes=5)
    small = fit_mask(mask, (10, 13))
    height, width = placed(25, 31, (10, 13))[2:]
    rows = ((np.arange(height) + 0.5) * 25 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 31 / width).astype(int)
    np.testing.assert_array_equal(small[placed(25, 31, (10, 13)).box], mask[rows[:, None], columns])


@pytest.mark.parametrize(
    "sizes, canvas",
    [
        ([(24, 32)] * 3 + [(60, 20)] * 2, (12, 16)),
        ([(60, 20)] * 3 + [(24, 32)] * 2, (36, 12)),
        ([(20, 21), (20, 40), (20, 90)], (12, 24)),
    ],
)
def test_the_most_frequent_size_in_training_decides_the_aspect(tmp_path, sizes, canvas):
    for n, (height, width) in enumerate(sizes):
        save(tmp_path / "train/images" / f"{n}.png", n, height, width)
        save_mask(tmp_path / "train/masks" / f"{n}.png", labels(n, height, width))
    save(tmp_path / "test/images/0.png", 90, 50, 10)
    save_mask(tmp_path / "test/masks/0.png", labels(9, 50, 10))
    data = open_data(tmp_path)
    assert choose_canvas(data, 12) == canvas
    assert choose_canvas(data, (7, 5)) == (7, 5)
    splits = cache(data, size=12, folder=tmp_path / "cache")
    assert splits["train"].images.shape == (len(sizes), 3, *canvas) and splits["test"].canvas == canvas
    for item in range(len(sizes)):
        np.testing.assert_array_equal(
            splits["train"].masks[item], fit_mask(data.splits["train"].masks(item), canvas)
        )
        np.testing.assert_array_equal(
            splits["train"].images[item].transpose(1, 2, 0),
            fit_image(data.splits["train"].load(item), canvas),
        )
    whole = np.concatenate([split.masks.reshape(-1) for split in splits.values()])
    assert (
        sum(split.class_pixels for split in splits.values()).tolist()
        == np.bincount(whole, minlength=256).tolist()
    )


def test_an_image_that_exif_turns_lies_with_its_mask(tmp_path):
    root = make_masks(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "train/images/1.jpg", 1, 32, 24, exif=exif)  # 24 x 32 once it is upright
    splits = cache(open_data(root), size=24, folder=tmp_path / "cache")
    assert splits["train"].canvas == (24, 32)


def test_masks_are_kept_beside_images_and_read_back(tmp_path):
    data = open_data(make_masks(tmp_path / "data"))
    folder = tmp_path / "cache"
    first = cache(data, size=(12, 16), folder=folder)["train"].masks.copy()
    path = mask_file(data, "train", (12, 16), folder)
    assert (
        path.is_file()
        and cache_file(data, "train", (12, 16), folder).is_file()
        and len(list(folder.iterdir())) == 4
    )
    data.splits["train"].mask_files[0].unlink()  # not needed any more
    again = cache(data, size=(12, 16), folder=folder)["train"].masks
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, first)


def test_a_mask_that_does_not_fit_its_image_is_named_and_leaves_no_file(tmp_path):
    root = make_masks(tmp_path / "data")
    save_mask(root / "test/masks/2.png", labels(6, 20, 32))
    with pytest.raises(DataError, match=r"2\.png: 32x20 pixels, but its image has 32x24"):
        cache(open_data(root), size=12, folder=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.part"))


@pytest.mark.parametrize("size", [0, (0, 5), (5, -1), True])
def test_a_canvas_of_nothing_is_told(tmp_path, size):
    with pytest.raises(OptionError, match="canvas"):
        cache(open_data(make_masks(tmp_path)), size=size)


def test_labels_stay_square(tmp_path):
    with pytest.raises(OptionError, match="expected the side of a square"):
        cache(open_data("scenes(train=4, val=0, test=4, classes=2)"), size=(8, 9), folder=tmp_path)
