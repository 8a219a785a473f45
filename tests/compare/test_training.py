"""``fv.train``: whose run a folder holds, what is told before training, and what comes back."""

from __future__ import annotations

import json
import logging
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import foveate as fv
from foveate.errors import CheckpointError, DataError, FoveateError, OptionError, ShapeError, StudyError
from foveate.models import create_model
from foveate.recipe import TrainConfig
from foveate.train.progress import Silent
from foveate.train.result import MARKER
from foveate.train.train_one import train
from foveate.train.training import Training, TrainingPlan

DATA = "scenes(size=24, train=32, val=0, test=12, classes=3)"
CONFIG = TrainConfig(batch_size=16)


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEATE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def trained(data: object = DATA, **others: Any) -> Any:
    usual = {"model": "resnet8(width=4)", "epochs": 1, "out": "kept", "train": CONFIG, "progress": Silent()}
    return train(data, **{**usual, **others})


def pictures(folder: Path, classes: tuple[str, str], *, swapped: bool = False) -> Path:
    for split, count in (("train", 8), ("test", 4)):
        for which, name in enumerate(classes):
            for n in range(count):
                pixels = np.random.default_rng([which, n, count]).integers(0, 90, (16, 16, 3), dtype=np.uint8)
                pixels[..., which] = 250
                path = folder / split / (classes[1 - which] if swapped else name) / f"{which}_{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return folder


def test_what_comes_back_is_a_model_and_how_good_it_is(workplace: Path):
    found = trained(attention="se@blocks")
    assert isinstance(found, Training) and found.folder == Path("kept")
    assert found.model.task.size == (24, 24) and found.test_items == 12 and found.steps == 2
    assert {row["class"] for row in found.by_class} == {"0", "1", "2"}
    assert sum(row["items"] for row in found.by_class) == 12 and 25 < found.chance < 60
    json.dumps(found.to_dict())
    picture = np.zeros((30, 40, 3), np.uint8)
    assert torch.equal(found.predict(picture), fv.load("kept").predict(picture))
    assert torch.equal(fv.predict(found, picture), fv.predict("kept", picture))


def test_the_same_call_goes_on_and_another_folder_belongs_to_another_one(workplace: Path):
    first = trained(out=None)
    before = {path: path.stat().st_mtime_ns for path in first.folder.glob("*.safetensors")}
    again, other = trained(out=None), trained(out=None, seed=1)
    assert again.score == first.score and again.folder == first.folder != other.folder
    assert {path: path.stat().st_mtime_ns for path in first.folder.glob("*.safetensors")} == before
    assert first.folder.parent == Path("runs")


def test_a_later_call_goes_on_beyond_max_steps_in_the_same_folder(workplace: Path):
    one, two = (trained(out=None, train=TrainConfig(batch_size=16, max_steps=n)) for n in (1, 2))
    assert one.folder == two.folder == trained(out=None).folder
    assert (one.steps, two.steps) == (1, 2)


def test_weights_that_another_tool_has_saved_again_are_taken(workplace: Path):
    first = trained()
    save_file(load_file("kept/model.safetensors"), "kept/model.safetensors")
    assert trained().score == first.score
    fv.load("kept")


def test_another_run_is_refused_and_the_old_one_stays_whole(workplace: Path):
    data = pictures(workplace / "data", ("ant", "bee"))
    trained(data)
    before = {path.name: path.read_bytes() for path in Path("kept").iterdir() if path.is_file()}
    other = pictures(workplace / "other", ("car", "van"))
    for words, text in (
        ({"data": other}, r"the data has changed.*classes was \['ant', 'bee'\], now it is \['car', 'van'\]"),
        ({"size": 12}, r"size was \[16, 16\], now it is \[12, 12\]"),
        ({"attention": "se@blocks"}, "attention was None, now it is 'se@blocks'"),
        ({"model": "resnet8(width=8)"}, "network was"),
        ({"metric": "f1"}, "metric was 'accuracy', now it is 'f1'"),
        ({"seed": 1}, "seed was 0, now it is 1"),
        ({"task": "diagnosis"}, "task was"),
        ({"epochs": 2}, "epochs was 1"),
    ):
        with pytest.raises(
            CheckpointError, match=rf"kept holds another run: .*{text}.*Choose another folder"
        ):
            trained(**{"data": data, **words})
    pictures(data, ("ant", "bee"), swapped=True)
    for wrong in [*data.glob("*/ant/0_*"), *data.glob("*/bee/1_*")]:
        wrong.unlink()  # as many pictures as before, with the other label
    with pytest.raises(CheckpointError, match="the data has changed"):
        trained(data)
    assert {path.name: path.read_bytes() for path in Path("kept").iterdir() if path.is_file()} == before


def test_an_unfinished_run_of_other_data_is_refused_too(workplace: Path):
    with pytest.raises(FoveateError, match="three steps are enough"):
        trained(epochs=4, progress=Stopping(3), train=TrainConfig(batch_size=16))
    with pytest.raises(CheckpointError, match="the data has changed"):
        trained(DATA.replace("test=12", "test=13"), epochs=4)


class Stopping(Silent):
    """Stops a run after so many steps, behind a checkpoint."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def advance(self, done: int) -> None:
        if done == self.steps:
            raise OptionError("three steps are enough")


@pytest.fixture(autouse=True)
def checkpoint_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from foveate.train import train_one

    fit = train_one.fit
    monkeypatch.setattr(train_one, "fit", lambda *a, **k: fit(*a, **k, checkpoint_seconds=0.0))


def test_a_folder_with_something_else_is_refused(workplace: Path):
    trained()
    Path("kept", MARKER).unlink()
    with pytest.raises(CheckpointError, match=r"holds a model, but not the result\.json"):
        trained()
    Path("study").mkdir()
    Path("study/study.sqlite").write_bytes(b"")
    with pytest.raises(CheckpointError, match="holds a study"):
        trained(out="study")
    Path("file").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"file/x: cannot be created \(not a directory\)"):
        trained(out="file/x")


def test_a_run_of_an_older_version_says_what_it_lacks(workplace: Path):
    trained()
    marker = json.loads(Path("kept", MARKER).read_text())
    del marker["run"]["data"]
    Path("kept", MARKER).write_text(json.dumps(marker))
    with pytest.raises(CheckpointError, match="does not say its data, as an older version made it"):
        trained()


def test_the_file_of_weights_belongs_to_the_run(workplace: Path):
    small = create_model("resnet8", width=4, classes=3).state_dict()
    save_file(small, "start.safetensors")
    first = trained(weights="start.safetensors")
    assert first.model.task.size == (24, 24)  # and not what foveate's networks were made for
    small["stem.0.weight" if "stem.0.weight" in small else next(iter(small))] += 1
    save_file(small, "start.safetensors")
    with pytest.raises(CheckpointError, match="the file of weights to start from has changed"):
        trained(weights="start.safetensors")
    kept = trained(out="again", weights="kept/model.safetensors", size=None)
    assert kept.model.task.size == (24, 24)
    trained(out="small", size=16)
    begun = trained(out="from", weights="small/model.safetensors")
    assert begun.model.task.size == (16, 16)  # as its config.json says


def test_weights_that_are_no_numbers_are_named(workplace: Path):
    small = create_model("resnet8", width=4, classes=3).state_dict()
    name = next(key for key, value in small.items() if value.ndim == 4)
    small[name][0] = float("nan")
    save_file(small, "broken.safetensors")
    with pytest.raises(CheckpointError, match=f'not finite.*"{name}"'):
        trained(weights="broken.safetensors")


NETWORK = """
from torch import nn
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, classes)
    def forward(self, x):
        return self.fc(self.body(x).flatten(1)){}
def build(classes):
    return Net(classes)
"""


@pytest.mark.slow
def test_the_code_of_a_model_belongs_to_the_run_and_to_the_study(workplace: Path, monkeypatch):
    from foveate.compare.study import compare

    monkeypatch.syspath_prepend(str(workplace))
    Path("mine_1.py").write_text(NETWORK.format(""))
    own = {"model": "mine_1:build", "out": "own"}
    trained(**own, train=TrainConfig(batch_size=1), size=8)  # batch normalisation of single values, too
    words = {"data": DATA, "model": "mine_1:build", "variants": ["se@body.0"], "seeds": 1, "epochs": 1}
    study = {**words, "train": CONFIG, "control": "none", "out": "study", "progress": Silent()}
    compare(**study)
    Path("mine_1.py").write_text(NETWORK.format(" * 2"))
    with pytest.raises(CheckpointError, match="the code of the model has changed"):
        trained(**own, train=TrainConfig(batch_size=1), size=8)
    with pytest.raises(StudyError, match="model: its code has changed"):
        compare(**study)


@pytest.mark.slow
def test_another_number_of_threads_is_told(workplace: Path, caplog):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with pytest.raises(FoveateError, match="enough"):
            trained(epochs=2, progress=Stopping(2))
        torch.set_num_threads(2)
        with caplog.at_level(logging.WARNING, "foveate"):
            trained(epochs=2)
        assert "started with 1 threads and resumes with 2" in caplog.text
    finally:
        torch.set_num_threads(threads)


def test_a_dry_run_says_what_would_be_and_writes_nothing(workplace: Path):
    plan = trained(dry_run=True, attention="se@blocks", metric="auroc")
    assert isinstance(plan, TrainingPlan) and not Path("kept").exists()
    assert plan.steps == 2 and plan.parameters > 0 and plan.macs > 0 and plan.seconds > 0
    text = str(plan)
    assert "24 px" in text and "judged by AUROC" in text and "with se@blocks" in text
    assert max(map(len, text.splitlines())) <= 100
    json.dumps(plan.to_dict())


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ({"train": TrainConfig(keep_best=True)}, OptionError, "keep_best: scenes has no validation split"),
        ({"model": "unet(encoder=resnet8)"}, ShapeError, "pooling and a linear layer"),
        ({"model": "timm/vit_tiny_patch16_224", "size": 24}, ShapeError, "does not take images of 24 x 24"),
        ({"task": "segmentation"}, DataError, "segmentation needs masks"),
        ({"metric": "top_5"}, OptionError, "smaller k"),
        ({"epochs": 0}, OptionError, "epochs: got 0"),
        ({"size": 0}, OptionError, "size: got 0"),
        ({"seed": -1}, OptionError, "seed: got -1"),
        ({"seed": 2**64}, OptionError, "seed: got"),
        ({"start": "end"}, OptionError, "identity, paper"),
        ({"train": TrainConfig(loss="dice")}, OptionError, 'expected "ce"'),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_mistakes_are_told_before_anything_is_made(words, error, text, dry_run, workplace: Path):
    with pytest.raises(error, match=text):
        trained(**words, dry_run=dry_run)
    assert not Path("kept").exists()


def test_images_are_brought_to_the_size_that_a_model_cannot_do_without(workplace: Path):
    found = trained(model="timm/vit_tiny_patch16_224(depth=1, embed_dim=24, num_heads=2)", dry_run=True)
    assert "224 px" in found.facts


@pytest.mark.parametrize(("data", "seed"), [("scenes(seed=-1)", 0), ("scenes", -1), ("nowhere", 2**64)])
def test_seeds_of_data_are_whole_numbers_from_0(data, seed):
    from foveate.data.open import open_data

    with pytest.raises(OptionError, match="seed"):
        open_data(data, seed=seed)


def test_predict_takes_folders_lists_and_patterns(workplace: Path):
    data = pictures(workplace / "data", ("ant", "bee"))
    found = trained(data)
    folder = data / "test" / "ant"
    assert fv.predict(found, folder).shape == (4, 2)
    assert fv.predict(found, [folder, str(data / "test" / "b*" / "*.png")]).shape == (8, 2)
    assert fv.predict(found, []).shape == (0, 2)
    with pytest.raises(DataError, match="no picture matches"):
        fv.predict(found, "nothing/*.png")
    with pytest.raises(CheckpointError, match="does not know its task"):
        fv.predict(create_model("resnet8"), folder)
    config = json.loads(Path("kept/config.json").read_text())
    config["normalisation"]["std"] = [0.5, 0.0, 0.5]
    Path("kept/config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="deviations above 0"):
        fv.load("kept")


def test_pictures_are_read_as_in_training_and_what_is_left_out_is_told(workplace: Path, caplog):
    for number, (split, name) in enumerate(product(("train", "test"), ("ant", "bee"))):
        for n in range(4):
            values = np.random.default_rng([number, n]).integers(0, 4000, (16, 16)).astype(np.uint16)
            path = Path("deep", split, name, f"{n}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values // (n + 1)).save(path)
    Path("deep/train/ant/scan.dcm").write_bytes(b"DICM")
    with caplog.at_level(logging.WARNING, "foveate"):
        found = trained("deep")
    assert "1 file not read, though named as pictures" in caplog.text
    dark = Path("deep/test/bee/3.png")  # by its own depth, ten bits, it would be four times as bright
    grey = (np.asarray(Image.open(dark)) * (255 / 4095)).round().astype(np.uint8)
    expected = found.predict(np.stack([grey] * 3, axis=-1))
    assert torch.equal(fv.predict("kept", dark), expected)
    assert torch.equal(fv.predict("kept", "deep/test/b*/3.png"), expected)
    with pytest.raises(DataError, match="give --max-pixels 256"):
        fv.predict("kept", dark, max_pixels=255)


@pytest.mark.slow
def test_only_masks_are_judged_in_the_batches_of_training(workplace: Path, monkeypatch: pytest.MonkeyPatch):
    from foveate.compare import run
    from foveate.compare.study import compare
    from foveate.tasks.diagnosis import Diagnosis

    seen, usual = [], run.evaluate
    monkeypatch.setattr(run, "evaluate", lambda *a, **k: seen.append(k["batch_size"]) or usual(*a, **k))
    words = {"model": "resnet8(width=4)", "variants": ["se@blocks"], "control": "none", "train": CONFIG}
    compare(DATA, **words, seeds=1, epochs=1, task="diagnosis", out="study", progress=Silent())
    assert seen == [Diagnosis().judging_batch(CONFIG.batch_size)] * 2 != [CONFIG.batch_size] * 2
