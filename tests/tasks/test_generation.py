"""The task generation: trained, resumed, compared, judged and asked, from a command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import foveate as fv
from foveate.cli.__main__ import main
from foveate.explain.drawing.blend import blended
from foveate.recipe import TrainConfig
from foveate.sampling.noise import draw_noise
from foveate.tasks import tasks
from foveate.tasks.drawn_pictures import goals_for
from foveate.tasks.losses.hinge import discriminator_hinge, generator_hinge
from foveate.tasks.picture_net import OWN
from tests.compare.study_samples import brief_studies
from tests.data.posed.posed_samples import posed_rows, write_pictures, write_table

Generation = tasks["generation"]
DIGITS = "turned_digits(size=8, copies=1, digits=120)"
MODEL = "attention_gan(channels=1, noise=4)"
RECIPE = TrainConfig(epochs=2, batch_size=40, lr=1e-3, weight_decay=0.0, clip=None, ema=0.9, augment="none")


@pytest.fixture(scope="module", autouse=True)
def brief_judges():
    """Train the net that judges for a few steps only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foveate.tasks.picture_net._STEPS", 10)
        patch.setattr("foveate.tasks.picture_net._LEAST", 10)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return fv.train(DIGITS, model=MODEL, train=RECIPE, out=folder / "gan")


def test_a_training_is_judged_and_leaves_sheets(trained):
    assert trained.metric.name == f"KID x 1000 ({OWN})"
    assert not trained.metric.higher_is_better
    assert np.isfinite(trained.score)
    told = trained.figures
    assert {"class accuracy", "pose accuracy", "FID", "precision", "recall"} <= set(told)
    assert {"class accuracy of real pictures", "KID x 1000 of two halves of the real ones"} <= set(told)
    assert {*trained.history[0]["losses"]} == {"discriminator", "generator"}
    assert [path.name for path in sorted((trained.folder / "samples").iterdir())] == [
        "epoch_0001.png",
        "epoch_0002.png",
    ]


def test_the_model_that_was_kept_draws_what_is_asked_for(trained):
    model = fv.load(trained.folder)
    pictures = model.predict(None, label=3, pose=30, number=5, seed=1)
    assert pictures.shape == (5, 8, 8, 3)
    assert pictures.dtype == np.uint8
    again = trained.predict(None, label="3", pose="30", number=5, seed=1)
    # In training weights lie with channels last, so that sums have another order: a level may round away.
    assert np.abs(pictures.astype(int) - again).max() <= 1
    assert np.array_equal(pictures[:2], fv.predict(trained.folder, None, label=3, pose=30, number=2, seed=1))
    assert not np.array_equal(pictures, model.predict(None, label=3, pose=30, number=5, seed=2))
    assert not np.array_equal(
        pictures, model.predict(None, label=3, pose=30, number=5, seed=1, truncation=0.3)
    )
    for way in ({"pose": "-45:45"}, {"interpolate": True, "pose": 0}):
        assert model.predict(None, label=3, number=4, **way).shape == (4, 8, 8, 3)


def test_the_command_writes_pictures(trained, tmp_path, capsys):
    words = ["predict", str(trained.folder), "--class", "3", "--pose", "-30", "--number", "4", "--seed", "0"]
    assert main([*words, "--out", str(tmp_path / "drawn"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(entry["file"]).name for entry in told] == [*(f"000{n}.png" for n in range(4)), "sheet.png"]
    assert told[0]["goal"] == "class 3, angle -30"
    drawn = np.stack([np.asarray(Image.open(entry["file"])) for entry in told[:4]])
    assert np.array_equal(drawn, fv.predict(trained.folder, None, label=3, pose=-30, number=4, seed=0))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cat.jpg"], "draws from noise"),
        (["--class", "12"], "has no such class"),
        (["--pose", "80"], "outside of what training showed"),
        (["--beam", "3"], 'has no option "beam"'),
        (["--number", "0"], "number: got 0"),
    ],
)
def test_the_command_says_what_is_wrong(trained, words, said, capsys):
    assert main(["predict", str(trained.folder), *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_losses_are_the_hinge_and_reach_one_part_each(tmp_path):
    data = Generation.open(DIGITS)
    task = Generation.of(Generation.inputs_of(data), recipe=RECIPE)
    torch.manual_seed(0)
    model = fv.create_model(MODEL, **task.model_options()).eval()
    batch = next(iter(task.feeds(data)["train"].train(batch_size=6, seed=0, epoch=0)))
    torch.manual_seed(1)
    loss = task.loss(model, batch, "discriminator")
    torch.manual_seed(1)
    fake = model(torch.randn(6, 4), batch.conditions)
    real, drawn = model.judge(batch.images, batch.conditions), model.judge(fake, batch.conditions)
    torch.testing.assert_close(loss, discriminator_hinge(real, drawn))
    loss.backward()
    assert all(p.grad is None for p in model.generator.parameters())
    model.zero_grad()
    torch.manual_seed(1)
    loss = task.loss(model, batch, "generator")
    torch.testing.assert_close(loss, generator_hinge(drawn))
    loss.backward()
    assert all(p.grad is None for p in model.discriminator.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.generator.parameters())
    assert float(discriminator_hinge(torch.ones(3), -torch.ones(3))) == 0


def test_goals_of_others_are_a_part_of_what_is_rejected():
    data = Generation.open(DIGITS)
    task = Generation.of(Generation.inputs_of(data, mismatched=0.25), recipe=RECIPE)
    torch.manual_seed(0)
    model = fv.create_model(MODEL, **task.model_options()).eval()
    batch = next(iter(task.feeds(data)["train"].train(batch_size=6, seed=0, epoch=0)))
    torch.manual_seed(1)
    loss = task.loss(model, batch, "discriminator")
    torch.manual_seed(1)
    fake, goals = model(torch.randn(6, 4), batch.conditions), batch.conditions
    real, drawn = model.judge(batch.images, goals), model.judge(fake, goals)
    wrong = model.judge(batch.images, goals[[5, 0, 1, 2, 3, 4]])
    (real, drawn, wrong) = (scores.detach() for scores in (real, drawn, wrong))
    wanted = sum(
        max(0, 1 - r) + 0.75 * max(0, 1 + d) + 0.25 * max(0, 1 + w)
        for r, d, w in zip(*(scores.flatten().tolist() for scores in (real, drawn, wrong)), strict=True)
    )
    assert loss.item() == pytest.approx(wanted / 6, rel=1e-5)


CAPTIONED = "turned_digits(size=8, copies=2, digits=120, captions=True)"


@pytest.mark.parametrize(("goal", "width"), [("all", 12), ("words", 0)])
def test_captions_are_asked_for(goal, width, tmp_path):
    options = f"generation(goal={goal}, mismatched=0.5)"
    found = fv.train(CAPTIONED, model=MODEL, task=options, train=RECIPE, out=tmp_path / "run")
    assert {"class accuracy", "pose accuracy"} <= set(found.figures)  # the judge knows class and pose
    assert found.model.goal.classes + found.model.goal.pose == width
    model = fv.load(tmp_path / "run")
    assert model.classes == tuple("0123456789")  # what the test pictures show, asked for or not
    asked = {"words": "a seven leaning to the left", "number": 3}
    pictures = model.predict(None, **asked)
    assert pictures.shape == (3, 8, 8, 3)
    assert np.array_equal(pictures[:2], model.predict(None, **{**asked, "number": 2}))
    assert not np.array_equal(pictures, model.predict(None, words="a two standing upright", number=3))
    for wrong, said in (("un chat", "none of these words"), ("a seven " * 9, "at most")):
        with pytest.raises(fv.FoveateError, match=said):
            model.predict(None, words=wrong)
    if goal == "words":
        with pytest.raises(fv.FoveateError, match="trained without a pose"):
            model.predict(None, pose=3)


def test_sentences_need_captions():
    with pytest.raises(fv.FoveateError, match="have no captions"):
        Generation.inputs_of(Generation.open(DIGITS), goal="words")


def test_cards_show_where_pixels_looked(monkeypatch):
    task = Generation.of(Generation.inputs_of(Generation.open(DIGITS)), recipe=RECIPE)
    torch.manual_seed(0)
    models = {
        name: fv.create_model(f"attention_gan(channels=1, noise=4, attention={name})", **task.model_options())
        for name in ("none", "paper", "released")
    }
    shown = []

    def drawn(image, weights):
        shown.append(weights)
        return blended(image, weights)

    monkeypatch.setattr("foveate.tasks.cards.pixel_attention.blended", drawn)
    (card,) = task.cards(models, None, {}, {})
    assert [len(variant["images"]) for variant in card["variants"]] == [1, 2, 2]
    assert "looked" in card["item"]
    assert [maps.shape for maps in shown] == [(8, 8)] * 20 + [(4, 4)] * 20  # 4 pictures, 5 pixels of each
    model = models["released"].eval()
    asked = goals_for(task.asked, 4).conditions
    with torch.no_grad(), fv.record(model) as maps:
        model(draw_noise(4, 4, seed=0), torch.from_numpy(asked))
    (weights,) = [maps[path] for path in maps if path.startswith("generator")]
    np.testing.assert_allclose(shown[22], weights[0, 4 * 8 + 4].reshape(4, 4), atol=1e-6)  # of the middle


def test_two_time_scales_and_turns():
    inputs = Generation.inputs_of(Generation.open(DIGITS), rate=3.0, steps=2)
    task = Generation.of(inputs, recipe=RECIPE)
    parts = task.parts(fv.create_model(MODEL, **task.model_options()))
    assert [(name, part.lr, part.every, part.betas) for name, part in parts.items()] == [
        ("discriminator", 3.0, 1, (0.0, 0.9)),
        ("generator", 1.0, 2, (0.0, 0.9)),
    ]


def test_records_are_paired_and_groups_are_left_out():
    data = Generation.open(DIGITS)
    for metric in ("kid", "class_accuracy", "pose_accuracy"):
        task = Generation.of(Generation.inputs_of(data), recipe=RECIPE, metric=metric)
        feeds = task.feeds(data)
        torch.manual_seed(0)
        model = fv.create_model(MODEL, **task.model_options()).eval()
        with torch.no_grad():
            records = torch.cat([task.judge(model, b).records for b in feeds["test"].test(9)]).numpy()
        whole = task.value(records)
        assert np.isfinite(whole)
        every = np.arange(len(records))
        wanted = [task.value(records[every != n]) for n in range(3)]
        assert task.value_without_each(records)[:3] == pytest.approx(wanted)


def test_pictures_without_goals_can_be_learnt(tmp_path):
    folder = write_pictures(tmp_path / "all", [f"{n}.png" for n in range(60)], size=9)
    found = fv.train(folder, model=MODEL, task="generation", train=RECIPE, out=tmp_path / "run")
    assert "no classes" in found.facts
    assert found.predict(None, number=3).shape == (3, 8, 8, 3)
    assert "class accuracy" not in found.figures
    with pytest.raises(fv.FoveateError, match="trained without classes"):
        found.predict(None, label=0)
    with pytest.raises(fv.FoveateError, match="trained without captions"):
        found.predict(None, words="a cat")
    with pytest.raises(fv.FoveateError, match="have no goals"):
        Generation.inputs_of(Generation.open(folder), mismatched=0.5)


def test_a_table_with_poses_can_be_learnt(tmp_path):
    table = write_table(tmp_path / "posed", posed_rows(60))
    (tmp_path / "posed").mkdir(exist_ok=True)
    found = fv.train(table, model=MODEL, task="generation", train=RECIPE, size=8, out=tmp_path / "run")
    assert found.predict(None, label="cat", pose=20, number=2).shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "resnet8"}, "resnet8: draws no pictures"),
        ({"model": "attention_gan(size=32)"}, "size=32, but the data has 8. Write --size"),
        ({"model": "attention_gan(classes=4)"}, "classes=4, but the data has 10"),
        ({"size": 20}, "size: got 20, expected one of 8, 16, 32"),
        ({"train": TrainConfig(augment="flip")}, "have a pose, which flips and crops change"),
        ({"metric": "nearest_training"}, "more is not better"),
        ({"metric": "accuracy"}, "accuracy"),
    ],
)
def test_what_cannot_be_trained_is_said(changed, said, tmp_path):
    given = {"model": MODEL, "train": RECIPE, **changed}
    with pytest.raises(fv.FoveateError, match=said):
        fv.train(DIGITS, out=tmp_path / "run", **given)


def test_metrics_of_goals_need_goals(tmp_path):
    folder = write_pictures(tmp_path, [f"{n}.png" for n in range(30)])
    with pytest.raises(fv.FoveateError, match="have no classes"):
        fv.train(
            folder, model=MODEL, task="generation", metric="class_accuracy", train=RECIPE, out=tmp_path / "r"
        )


@pytest.mark.slow
def test_a_study_with_and_without_attention(tmp_path, capsys):
    words = [
        "compare",
        DIGITS,
        "--model",
        MODEL,
        "--try",
        "attention_gan(channels=1, noise=4, attention=none)",
    ]
    recipe = ["--epochs", "1", "--batch-size", "40", "--seeds", "2", "--augment", "none"]
    with brief_studies():
        assert main([*words, *recipe, "--metric", "class_accuracy", "--out", str(tmp_path / "study")]) == 0
    result = json.loads((tmp_path / "study" / "study.json").read_text("utf-8"))
    assert [v["role"] for v in result["variants"]] == ["baseline", "variant"]
    assert result["question"]["classes"] == [str(digit) for digit in range(10)]
    assert OWN in (tmp_path / "study" / "report.html").read_text("utf-8")
    assert main(["predict", str(tmp_path / "study"), "--number", "2", "--out", str(tmp_path / "drawn")]) == 0


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
    def run(folder, **stop):
        recipe = TrainConfig(**{**vars(RECIPE), "epochs": 3, **stop})
        return fv.train(DIGITS, model=MODEL, train=recipe, task="generation(steps=2)", out=tmp_path / folder)

    whole = run("whole")
    for steps in (1, 4):
        run("stopped", max_steps=steps)
    again = run("stopped")
    assert again.steps == whole.steps
    one, other = (load_file(folder / "model.safetensors") for folder in (whole.folder, again.folder))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert again.score == whole.score
