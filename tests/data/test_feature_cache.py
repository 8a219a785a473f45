import os
import pickle
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from foveate.data import feature_cache as module
from foveate.data.feature_cache import open_features, split_features
from foveate.data.open import open_data
from foveate.data.picture_encoder import PictureEncoder
from foveate.errors import DataError, OptionError
from foveate.models import create_model
from foveate.models.encoders.last_map import LastMap
from tests.child_processes import child_processes
from tests.data.image_samples import make_folder, save
from tests.full_disk import no_file_beyond

SIZE = 32


def network(seed=0):
    torch.manual_seed(seed)
    return LastMap(create_model("resnet8"))


@pytest.fixture
def pictures(tmp_path):
    return [save(tmp_path / f"{number}.png", number) for number in range(7)]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "_SHARD", 3)


def opened(pictures, folder, **options):
    return open_features(
        pictures, encoder=options.pop("encoder", None) or network(), size=SIZE, folder=folder, **options
    )


@pytest.mark.parametrize(("precision", "error"), [("float32", 0.0), ("float16", 2.0**-11)])
def test_features_are_the_encoders_last_map(pictures, tmp_path, small, precision, error):
    features = opened(pictures, tmp_path / "cache", precision=precision)
    model = network().eval()
    images = torch.stack(
        [torch.from_numpy(np.asarray(PictureEncoder(model, size=SIZE).pixels(p)).copy()) for p in pictures]
    )
    with torch.no_grad():
        expected = model(images.permute(0, 3, 1, 2) / 255 * 2 - 1).flatten(2).transpose(1, 2)
    assert (len(features), features.places, features.channels) == (7, (8, 8), 64)
    order = [6, 0, 3, 3]
    assert features[order].dtype == torch.float32
    torch.testing.assert_close(features[order], expected[order], rtol=error + 1e-6, atol=1e-5)
    torch.testing.assert_close(features[torch.tensor(order)], features[order], rtol=0, atol=0)
    assert len(features[2:5]) == 3 and len(features[[]]) == 0
    with pytest.raises(IndexError):
        features[[7]]


def test_files_arrays_and_pil_pictures_give_the_same(pictures, tmp_path):
    features = opened(pictures, tmp_path / "cache", precision="float32")
    arrays = [np.asarray(Image.open(path)) for path in pictures]
    for given in (arrays, [Image.open(path) for path in pictures], [str(path) for path in pictures]):
        torch.testing.assert_close(features.encode_pictures(given), features[:])
    with pytest.raises(DataError, match="expected a file, a PIL picture or an array"):
        features.encode_pictures([np.zeros((4, 4, 3))])


def test_a_mirrored_picture_has_a_map_of_its_own(pictures, tmp_path):
    plain, mirrored = (PictureEncoder(network(), size=SIZE, flip=flip) for flip in (False, True))
    turned = [np.asarray(Image.open(path))[:, ::-1].copy() for path in pictures]
    torch.testing.assert_close(mirrored.encode(pictures), plain.encode(turned))
    assert plain.identity != mirrored.identity


def test_squashing_cuts_nothing_off():
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, :10] = 255
    crop, squash = (PictureEncoder(network(), size=SIZE, fit=fit).pixels(wide) for fit in ("crop", "squash"))
    assert crop.max() == 0 and squash[:, :3].min() > 200 and crop.shape == squash.shape == (SIZE, SIZE, 3)


def _refuse(*_):
    raise AssertionError("encoded again")


def test_a_second_call_encodes_nothing(pictures, tmp_path, monkeypatch, small):
    first = opened(pictures, tmp_path / "cache")
    monkeypatch.setattr(PictureEncoder, "encode", _refuse)
    again = opened(pictures, tmp_path / "cache")
    assert torch.equal(first[:], again[:])
    for options in ({"encoder": network(1)}, {"precision": "float32"}, {"fit": "squash"}, {"flip": True}):
        with pytest.raises(AssertionError, match="encoded again"):
            opened(pictures, tmp_path / "cache", **options)


def test_changed_and_added_pictures_cost_only_themselves(pictures, tmp_path, small):
    opened(pictures, tmp_path / "cache")
    before = set((tmp_path / "cache").iterdir())
    added = opened([*pictures, save(tmp_path / "new.png", 99)], tmp_path / "cache")
    assert len(set((tmp_path / "cache").iterdir()) - before) == 1 and len(added) == 8
    save(pictures[1], 55)
    changed = opened(pictures, tmp_path / "cache")
    assert len(set((tmp_path / "cache").iterdir()) - before) == 2
    assert not torch.equal(changed[[1]], added[[1]]) and torch.equal(changed[[2]], added[[2]])


@pytest.mark.parametrize("harm", ["cut", "bit", "other"])
def test_a_damaged_file_is_made_again(pictures, tmp_path, small, harm):
    whole = opened(pictures, tmp_path / "cache")[:]
    path = sorted((tmp_path / "cache").iterdir())[0]
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 4
    if harm == "other":
        np.save(path, np.zeros(3))
    else:
        path.write_bytes(stored[:-100] if harm == "cut" else stored)
    assert torch.equal(opened(pictures, tmp_path / "cache")[:], whole)


def test_a_bad_picture_is_named(pictures, tmp_path):
    pictures[4].write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"4\.png"):
        opened(pictures, tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []


def test_a_feature_beyond_float16_is_named(pictures, tmp_path):
    model = network()
    with torch.no_grad():
        model.network.layer3[-1].bn2.weight.fill_(1e9)
    with pytest.raises(DataError, match=r"\.png: .*float32"):
        opened(pictures, tmp_path / "cache", encoder=model)
    assert opened(pictures, tmp_path / "cache", encoder=model, precision="float32")[:].max() > 65504


def test_no_room_is_told(pictures, tmp_path):
    with no_file_beyond(1000), pytest.raises(DataError, match="FOVEATE_CACHE"):
        opened(pictures, tmp_path / "cache")


def test_where_it_is_kept(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "here"))
    opened(pictures, None)
    assert len(list((tmp_path / "here" / "features").iterdir())) == 1


def test_it_travels_to_another_process(pictures, tmp_path, small):
    features = opened(pictures, tmp_path / "cache")
    whole = features[:]
    assert torch.equal(pickle.loads(pickle.dumps(features))[:], whole)


def test_the_splits_of_a_data_set(tmp_path):
    folder = open_data(make_folder(tmp_path / "data", each=2))
    found = split_features(
        folder, encoder=network(), size=SIZE, folder=tmp_path / "cache", precision="float32"
    )
    assert {name: len(each) for name, each in found.items()} == {"train": 4, "test": 4}
    torch.testing.assert_close(found["test"][:], found["train"].encode_pictures(folder.splits["test"].files))
    painted = open_data("scenes(train=3, val=0, test=2)")
    found = split_features(painted, encoder=network(), size=SIZE, folder=tmp_path / "cache")
    one = painted.splits["test"].load(1)
    torch.testing.assert_close(found["test"][[1]], found["test"].encode_pictures([one]), rtol=1e-3, atol=1e-5)
    with pytest.raises(OptionError, match="flipped"):
        split_features(folder, encoder=network(), flipped=True)


def test_no_pictures_are_no_features(tmp_path):
    assert opened([], tmp_path / "cache")[:].shape == (0, 64, 64)


def test_an_encoder_that_is_shared_keeps_its_options(pictures, tmp_path):
    encoder = PictureEncoder(network(), size=SIZE)
    assert len(open_features(pictures, encoder=encoder, folder=tmp_path / "cache")) == 7
    for options in ({"size": 64}, {"flip": True}):
        with pytest.raises(OptionError, match=next(iter(options))):
            open_features(pictures, encoder=encoder, folder=tmp_path / "cache", **options)
    with pytest.raises(OptionError, match="flip"):
        opened(pictures, tmp_path / "cache", flipped=True)


class Counting(nn.Module):
    """Counts what it encodes; can end its process when it is asked for more."""

    def __init__(self, file, most):
        super().__init__()
        self.weight, self.file, self.most = nn.Parameter(torch.ones(1)), file, most

    def forward_features(self, images):
        if images.abs().sum() > 0 and len(images) > 1:  # pictures, not a trial
            with self.file.open("a") as file:
                file.write(f"{len(images)}\n")
            if self.most is not None and len(self.file.read_text().splitlines()) > self.most:
                os.kill(os.getpid(), signal.SIGKILL)
        return nn.functional.avg_pool2d(images, 8) * self.weight


def _open(pictures, folder, count, most, barrier=None):
    module._SHARD = 3
    torch.set_num_threads(1)
    if barrier is not None:
        barrier.wait()
    opened(pictures, folder, encoder=LastMap(Counting(count, most)))


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path, small):
    pictures = [save(tmp_path / f"{number}.png", number) for number in range(12)]
    for most, code in ((2, -signal.SIGKILL), (None, 0)):
        arguments = (pictures, tmp_path / "cache", tmp_path / f"count{most}", most)
        child = child_processes.Process(target=_open, args=arguments)
        child.start()
        child.join()
        assert child.exitcode == code
    assert len((tmp_path / "countNone").read_text().splitlines()) == 2  # of 4 files, the other 2
    kept = opened(pictures, tmp_path / "cache", encoder=LastMap(Counting(tmp_path / "c", None)))
    assert len(kept.files) == 4 and kept[:].shape == (12, 16, 3)


@pytest.mark.slow
def test_processes_at_once_agree(tmp_path, small):
    pictures = [save(tmp_path / f"{number}.png", number) for number in range(12)]
    barrier = child_processes.Barrier(3)
    arguments = [(pictures, tmp_path / "cache", tmp_path / f"count{n}", None, barrier) for n in range(3)]
    children = [child_processes.Process(target=_open, args=one) for one in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    model = LastMap(Counting(tmp_path / "c", None))
    alone = opened(pictures, tmp_path / "alone", encoder=model)
    assert torch.equal(opened(pictures, tmp_path / "cache", encoder=model)[:], alone[:])
    assert len(list((tmp_path / "cache").iterdir())) == 4
