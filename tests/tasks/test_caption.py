"""The task caption, from files to predictions, on pictures of two colours."""

import json

import numpy as np
import pytest
import torch

import foveate as fv
from foveate.cli.__main__ import main
from foveate.data.feature_cache import Features
from foveate.errors import OptionError, ShapeError
from foveate.infer.load import load
from foveate.recipe import TrainConfig
from foveate.tasks.build_model import build_model
from foveate.tasks.caption import Caption
from foveate.train.prepare import settle
from tests.tasks.word_data import COLOURS, write_captions

ENCODER = "tests.tasks.word_data:encoder"
MODEL = f"show_attend_tell(encoder={ENCODER}, embedding=16, state=32, dropout=0.0)"
TASK = "caption(min_count=1)"
RECIPE = TrainConfig(epochs=40, batch_size=16, lr=1e-2, augment="none")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_captions(tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    fv.train(Caption.open(folder), model=MODEL, train=RECIPE, task=TASK, size=40, out=out)
    return out


def settled(folder, options="min_count=1", **changed):
    """Return task, model and feeds as a training has them."""
    recipe = TrainConfig(epochs=1, batch_size=16, augment="none")
    made = settle(Caption.open(folder), MODEL, task=f"caption({options})", recipe=recipe, size=40, **changed)
    return made.task, build_model(made.task, MODEL), made.task.feeds(Caption.open(folder))


@pytest.mark.slow
def test_it_learns_to_describe(folder, trained):
    model = load(trained, trust_code=True)
    entries = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    some = [entry for entry in entries if entry["split"] == "test"]
    found = fv.predict(model, [folder / "images" / entry["file"] for entry in some])
    right = [text in entry["captions"] for text, entry in zip(found, some, strict=True)]
    assert np.mean(right) >= 0.8


@pytest.mark.slow
def test_the_command_describes_pictures(folder, trained, capsys):
    pictures = [str(folder / "images" / f"test{n}.png") for n in range(2)]
    assert main(["predict", str(trained), *pictures, "--trust-code"]) in (0, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == pictures
    assert {*lines[1].split()} & {*COLOURS}
    broken = folder / "images" / "broken.png"
    broken.write_bytes(b"no picture")
    assert main(["predict", str(trained), str(broken), pictures[0], "--trust-code", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert "error" in told[0]
    assert told[1]["captions"][0]["text"]
    broken.unlink()


def test_features_of_a_frozen_encoder_are_its_pictures(folder):
    task, model, feeds = settled(folder)
    other, _, pictures = settled(folder, "min_count=1, features=false")
    assert isinstance(feeds["train"].features, Features)
    model.eval()
    for one, two in zip(feeds["test"].test(4), pictures["test"].test(4), strict=True):
        assert one.items.features is not None
        assert two.items.images is not None
        a, b = task.judge(model, one), other.judge(model, two)
        assert a.answers == b.answers
        assert a.loss.item() == pytest.approx(b.loss.item(), rel=1e-3)  # features are kept in float16


def test_features_of_another_encoder_are_refused(folder):
    task, model, feeds = settled(folder)
    task.ready(model, feeds["train"])
    with torch.no_grad():
        next(model.encoder.last_map.parameters()).add_(1)
    with pytest.raises(OptionError, match=r"other weights or other layers.*caption\(features=false\)"):
        task.ready(model, feeds["train"])


def test_a_card_shows_where_each_word_looked(folder):
    task, model, feeds = settled(folder)
    answers = {name: ["red above blue"] * 6 for name in ("one", "two")}
    answers["two"][4] = "blue above red"
    scores = {name: np.full(6, np.nan) for name in answers}
    cards = task.cards({"one": model, "two": model}, feeds["test"], answers, scores)
    assert cards[0]["item"] == feeds["test"].names[4]
    assert cards[0]["disagreement"] == 1
    assert cards[0]["places"] == [4, 4]
    for answer in cards[0]["variants"]:
        weights = np.array(answer["weights"])
        assert weights.shape == (len(answer["words"]), 16)
        assert weights.sum(axis=1) == pytest.approx(1, abs=0.01)


def test_what_each_word_saw_is_drawn_beside_the_captions(folder, tmp_path):
    task, model, _ = settled(folder)
    pictures = [str(folder / "images" / f"test{n}.png") for n in range(2)]
    told = list(task.tell(model.eval(), pictures, out=tmp_path / "drawn", max_length=4))
    assert [answer.plain["files"] for answer in told] == [
        [str(tmp_path / "drawn" / f"000{n + 1}_test{n}.png")] for n in range(2)
    ]
    assert told[0].lines[1].endswith("0001_test0.png")
    assert (tmp_path / "drawn" / "0001_test0.png").read_bytes().startswith(b"\x89PNG")
    assert task.predict(model, pictures, max_length=4) == [
        answer.plain["captions"][0]["text"] for answer in told
    ]


def test_several_captions_are_one_item(folder):
    task, _, feeds = settled(folder)
    assert len(feeds["test"]) == 6
    assert len(feeds["train"]) == 48
    batch = next(iter(feeds["test"].test(2)))
    assert [len(texts) for texts in batch.items.references] == [2, 2]
    perfect = np.concatenate(
        [
            counter.records([texts[0] for texts in batch.items.references], [0, 1])
            for counter in batch.counters
        ],
        axis=1,
    )
    assert task.figures(perfect)["BLEU-1"] == pytest.approx(100)


def test_what_is_not_for_captions_is_refused(folder):
    data = Caption.open(folder)
    with pytest.raises(ShapeError, match=r"show_attend_tell: has no encoder.*encoder=timm/NAME"):
        fv.train(data, model="show_attend_tell", task=TASK, dry_run=True)
    with pytest.raises(ShapeError, match=r"resnet8: does not answer as .*show_attend_tell"):
        fv.train(data, model="resnet8", task=TASK, dry_run=True)
