import numpy as np
import pytest
from PIL import Image

from foveate.cli.__main__ import main
from foveate.data.checks.check import check
from foveate.data.open import open_data
from foveate.data.palette import voc_palette
from foveate.tasks.image_task import ImageTask
from tests.data.image_samples import save
from tests.data.mask_samples import labels, make_masks, save_mask

NAMES = ["a", "b", "c"]


@pytest.fixture
def root(tmp_path):
    return make_masks(tmp_path / "data", each=6)


def findings(source, **options):
    return {finding.kind: finding for finding in ImageTask.check_source(source, **options)}


def test_sound_masks_give_their_share_of_the_pixels_alone(root):
    (found,) = check(open_data(root))
    counts = np.bincount(np.concatenate([labels(n).reshape(-1) for n in range(6)]))
    assert found.kind == "pixel_share" and found.severity == "note"
    assert found.items == tuple(f"{n} {share:.2%}" for n, share in enumerate(counts / counts.sum()))
    kinds = {finding.kind for finding in check(open_data("scenes(masks=True, train=60, val=0, test=40)"))}
    assert kinds == {"pixel_share"}


def test_masks_of_another_size_or_value_are_errors_by_name(root):
    save_mask(root / "train/masks/1.png", labels(1, 24, 28))
    odd = labels(2).copy()
    odd[:3, :2] = 77
    save_mask(root / "test/masks/2.png", odd)
    (root / "test/masks/3.png").write_bytes(b"")
    found = findings(root, colours={"a": 0, "b": 1, "c": 2})  # which need no look at every mask
    assert found["mask_size"].severity == found["unusable_mask"].severity == "error"
    assert found["mask_size"].items == ("train/masks/1.png (mask 28x24, image 32x24)",)
    strange, broken = found["unusable_mask"].items
    assert strange.startswith("test/masks/2.png: holds colour (77, 77, 77) (6 pixels)")
    assert broken.startswith("test/masks/3.png: cannot be read")


def test_masks_of_one_value_are_told_apart(root):
    for n, value in ((0, 0), (1, 2), (2, 255)):
        save_mask(root / f"train/masks/{n}.png", np.full((24, 32), value, dtype=np.uint8))
    found = findings(root)
    assert found["empty_mask"].items == ("train/masks/0.png",) and found["empty_mask"].severity == "note"
    assert found["constant_mask"].items == ("train/masks/1.png (2)",)
    assert found["all_ignored"].items == ("train/masks/2.png",)
    assert found["all_ignored"].severity == found["constant_mask"].severity == "warning"
    for path in root.rglob("masks/*.png"):
        save_mask(path, np.zeros((24, 32), dtype=np.uint8))
    assert findings(root, classes=NAMES)["one_class"].severity == "error"


def test_classes_that_a_split_lacks(root):
    def without(split, label):
        for n in range(6):
            mask = labels(n)
            save_mask(root / split / "masks" / f"{n}.png", np.where(mask == label, 0, mask).astype(np.uint8))

    without("test", 2)
    assert (found := findings(root)["missing_class"]).severity == "warning" and found.items == ("2",)
    without("train", 1)
    missing = [f for f in check(open_data(root)) if f.kind == "missing_class"]
    assert [(f.severity, f.items) for f in missing] == [("error", ("1",)), ("warning", ("2",))]
    assert any(
        f.items == ("d",) and "no mask at all" in f.message
        for f in ImageTask.check_source(root, classes=[*NAMES, "d"])
    )


def test_zero_and_255_among_zero_and_one_is_a_trap(tmp_path):
    root = make_masks(tmp_path, classes=2)
    save_mask(root / "train/masks/1.png", labels(1, classes=2) * 255)
    found = findings(root)["two_codes"]
    ones = int((labels(1, classes=2) == 1).sum())
    assert found.severity == "warning"
    assert found.items == (f"train/masks/1.png ({24 * 32 - ones} pixels of 0, {ones} ignored, none of 1)",)


def test_palettes_that_disagree_and_jpegs_are_told(root):
    def write(split, n, colours):
        image = Image.fromarray(labels(n))
        image.putpalette(np.asarray(colours, dtype=np.uint8).reshape(-1).tolist())
        image.save(root / split / "masks" / f"{n}.png")

    for n in range(6):
        write("train", n, voc_palette())
    write("train", 4, voc_palette()[[0, 2, 1]])
    found = findings(root)["palette_trap"]
    assert [item.split(" is ")[0] for item in found.items] == [
        "train/masks/4.png (index 1",
        "train/masks/4.png (index 2",
    ]
    (root / "test/masks/0.png").unlink()
    Image.fromarray(labels(6) * 100).save(root / "test/masks/0.jpg", quality=60)
    found = findings(root)
    assert found["jpeg_mask"].items == ("test/masks/0.jpg",) and "cannot_open" in found


def test_one_picture_with_two_masks_is_a_conflict(root):
    save(root / "train/images/0.jpg", 4)
    assert findings(root)["label_conflict"].items == ("train/images/0.jpg = train/images/4.jpg",)


def test_what_does_not_open_is_checked_all_the_same(root, capsys):
    (root / "train/masks/5.png").unlink()
    save_mask(root / "test/masks/9.png", labels(9))
    save_mask(root / "test/masks/2.png", labels(2, 20, 32))
    save_mask(root / "test/masks/3.png", np.dstack([labels(3) * 60, labels(3), labels(3)]))
    found = findings(root)
    assert "1 image has no mask" in found["cannot_open"].message
    assert found["missing_mask"].items == ("train/images/5.jpg",)
    assert found["spare_mask"].items == ("test/masks/9.png",)
    assert found["mask_size"].items == ("test/masks/2.png (mask 32x20, image 32x24)",)
    assert found["unusable_mask"].items[0].startswith("test/masks/3.png: holds colours (")
    values = {item.split(":")[0]: item for item in found["mask_values"].items}
    assert values.keys() == {"value 0", "value 1", "value 2"} and "in 10 masks" in values["value 1"]
    assert main(["check", str(root)]) == 1
    printed = capsys.readouterr().out
    assert "missing_mask" in printed and "train/images/5.jpg" in printed
