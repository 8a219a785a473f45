import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from foveate.data.checks import probe_files as probe
from foveate.data.checks.check import check
from foveate.data.open import open_data
from foveate.tasks.image_task import ImageTask
from tests.data.image_samples import make_folder, pixels, save


def findings(root):
    return {finding.kind: finding for finding in check(open_data(root))}


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "data", suffix=".jpg")


def test_sound_data_and_scenes_give_no_finding(root):
    assert check(open_data(root)) == []
    assert check(open_data("scenes(train=300, val=50, test=100)")) == []


def test_broken_files_are_errors_by_name(root):
    (root / "train/cat/0.jpg").write_bytes(b"")
    (root / "train/cat/1.jpg").write_bytes(b"no image at all")
    path = save(root / "train/cat/2.jpg", 2, 200, 200)
    path.write_bytes(path.read_bytes()[:-600])
    path = save(root / "test/dog/3.png", 70, 200, 200)
    path.write_bytes(path.read_bytes()[:-600])
    found = findings(root)
    assert [found[kind].severity for kind in ("empty", "unreadable", "truncated")] == ["error"] * 3
    assert found["empty"].items == ("train/cat/0.jpg (0 bytes)",)
    assert found["unreadable"].items[0].startswith("train/cat/1.jpg (not an image")
    assert [item.split()[0] for item in found["truncated"].items] == ["train/cat/2.jpg", "test/dog/3.png"]


def test_every_trait_is_found_on_its_file_alone(root):
    folder = root / "train" / "cat"
    save(folder / "png.jpg", 20, format="PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", 21, exif=exif)
    Image.fromarray(np.dstack([pixels(22), pixels(23)[:, :, 0] // 128 * 255])).save(folder / "clear.png")
    Image.fromarray(np.dstack([pixels(27), pixels(28)[:, :, 0]])).save(folder / "infrared.png")
    Image.fromarray(pixels(24)).convert("CMYK").save(folder / "print.jpg")
    Image.fromarray(pixels(25)[:, :, 0].astype(np.uint16) * 200).save(folder / "deep.png")
    frames = [Image.fromarray(pixels(26 + n)) for n in range(2)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    found = findings(root)
    named = {
        "wrong_extension": "png.jpg",
        "exif_rotation": "turned.jpg",
        "alpha": "clear.png",
        "not_alpha": "infrared.png",
        "cmyk": "print.jpg",
        "sixteen_bit": "deep.png",
        "animated": "moving.gif",
    }
    assert {kind: found[kind].items for kind in named} == {k: (f"train/cat/{v}",) for k, v in named.items()}
    assert not any(finding.severity == "error" for finding in found.values())


def test_bombs_are_errors_and_are_not_decoded(root, monkeypatch):
    save(root / "train/cat/bomb.png", 30, 400, 400)
    save(root / "train/cat/large.png", 31, 300, 300)
    monkeypatch.setattr(probe, "_LARGE", 70_000)
    found = {finding.kind: finding for finding in check(open_data(root, max_pixels=140_000))}
    assert found["bomb"].items[0].startswith("train/cat/bomb.png") and found["bomb"].severity == "error"
    assert found["large"].items == ("train/cat/large.png",)


def test_other_files_are_notes(root):
    (root / "train/cat/notes.txt").write_text("hello")
    found = findings(root)
    assert found["ignored_file"].items == ("train/cat/notes.txt",)
    assert found["ignored_file"].severity == "note"


def test_exact_duplicates_across_and_within_splits_and_with_two_labels(root):
    shutil.copy(root / "train/cat/0.jpg", root / "test/cat/copy.jpg")
    shutil.copy(root / "train/dog/1.jpg", root / "train/dog/copy.jpg")
    shutil.copy(root / "train/dog/2.jpg", root / "train/cat/copy.jpg")
    found = findings(root)
    assert found["duplicate_across_splits"].items == ("train/cat/0.jpg = test/cat/copy.jpg",)
    assert set(found["duplicate_within_split"].items) == {
        "train/dog/1.jpg = train/dog/copy.jpg",
        "train/cat/copy.jpg = train/dog/2.jpg",
    }
    assert found["label_conflict"].items == ("train/cat/copy.jpg = train/dog/2.jpg",)
    assert "near_duplicate" not in found


def test_near_duplicates_across_splits(root):
    for number in range(30):
        save(root / "train" / "dog" / f"more{number}.jpg", 200 + number, 120, 160)
    image = Image.open(root / "train/dog/more7.jpg")
    image.resize((100, 75)).save(root / "test/dog/small.jpg", quality=60)
    bright = np.asarray(Image.open(root / "train/dog/more8.jpg")).astype(int) * 0.8 + 40
    Image.fromarray(bright.astype(np.uint8)).save(root / "test/dog/bright.png")
    image.resize((90, 70)).save(root / "train/dog/own.jpg")  # within a split: no leak
    found = findings(root)
    assert set(found["near_duplicate"].items) == {
        "train/dog/more7.jpg ~ test/dog/small.jpg",
        "train/dog/own.jpg ~ test/dog/small.jpg",
        "train/dog/more8.jpg ~ test/dog/bright.png",
    }


def test_classes_missing_alone_or_uneven(root):
    for path in (root / "test" / "dog").iterdir():
        path.unlink()
    for number in range(60):
        save(root / "train" / "cat" / f"more{number}.jpg", 300 + number)
    found = findings(root)
    assert found["missing_class"].items == ("dog",) and found["missing_class"].severity == "warning"
    assert found["imbalance"].items == ("cat", "dog") and found["imbalance"].severity == "warning"
    shutil.rmtree(root / "train" / "dog")
    save(root / "test/dog/1.jpg", 900)
    assert findings(root)["missing_class"].severity == "error"
    shutil.rmtree(root / "test" / "dog")
    assert findings(root)["one_class"].severity == "error"


def test_mixed_sizes_name_the_smallest_and_the_largest(root):
    save(root / "train/cat/big.jpg", 50, 90, 100)
    save(root / "test/dog/small.jpg", 51, 10, 12)
    finding = findings(root)["mixed_sizes"]
    assert finding.items == ("test/dog/small.jpg", "train/cat/big.jpg")
    assert "3 different sizes" in finding.message and "32x24 (24 images)" in finding.message


def test_worst_comes_first(root):
    (root / "train/cat/0.jpg").write_bytes(b"")
    (root / "train/cat/notes.txt").write_text("hello")
    shutil.copy(root / "train/cat/1.jpg", root / "test/cat/copy.jpg")
    order = [finding.severity for finding in check(open_data(root))]
    assert order == sorted(order, key=("error", "warning", "note").index) and len(set(order)) == 3


def test_source_that_does_not_open_is_a_finding_and_its_files_are_checked(tmp_path):
    save(tmp_path / "1.png", 1)
    (tmp_path / "2.png").write_bytes(b"")
    found = ImageTask.check_source(tmp_path)
    assert [finding.kind for finding in found] == ["cannot_open", "empty"]
    assert "one folder per class" in found[0].message and found[1].items == ("2.png (0 bytes)",)
    assert ImageTask.check_source(tmp_path / "nowhere")[0].kind == "cannot_open"


def test_a_dataset_is_checked_item_by_item():
    class Pictures:
        broken = False

        def __len__(self):
            return 20

        def __getitem__(self, item):
            if self.broken and item == 3:
                raise RuntimeError("lost")
            return pixels(item % 19), item % 2

    dataset = Pictures()
    data = open_data({"train": dataset, "test": [(pixels(100 + n), n % 2) for n in range(10)]})
    dataset.broken = True
    found = {finding.kind: finding for finding in check(data)}
    assert found["unreadable"].items == ("train:3 (RuntimeError: lost)",)
    assert found["duplicate_within_split"].items == ("train:0 = train:19",)


MASKS = st.one_of(
    st.binary(max_size=60),
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.bool_]),
        st.sampled_from([(24, 32), (3, 4), (24, 32, 3), (24, 32, 4), (24, 32, 2)]),
    ),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks=st.lists(MASKS, min_size=1, max_size=3), orientation=st.sampled_from([1, 3, 6]))
def test_masks_of_any_content_end_in_findings(tmp_path, masks, orientation):
    for number in range(6):
        if not (tmp_path / f"images/{number}.tif").exists():
            save(tmp_path / f"images/{number}.tif", number)
        path, content = tmp_path / f"masks/{number}.tif", masks[number % len(masks)]
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes) or (content.ndim == 3 and content.dtype != np.uint8):
            path.write_bytes(bytes(content)[:60])
        else:
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.fromarray(content).save(path, exif=exif)
    for finding in ImageTask.check_source(tmp_path):
        "".join((finding.message, *finding.items)).encode()
