"""The task question: loss, metric, what is recorded of attention, studies with blind models, predictions."""

import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image

import foveate as fv
from foveate.cli.__main__ import main
from foveate.data.feature_cache import Features
from foveate.errors import DataError, OptionError, ShapeError
from foveate.infer.load import load
from foveate.recipe import TrainConfig
from foveate.tasks.attention_inside import looked
from foveate.tasks.build_model import build_model
from foveate.tasks.metrics.vqa_accuracy import credit
from foveate.tasks.question import Question
from foveate.train.prepare import settle

MODEL = "top_down(encoder=resnet8(width=4), embedding=6, state=8, hidden=8)"
SCENES = "scenes(train=48, val=8, test=24)"
RECIPE = TrainConfig(epochs=1, batch_size=16, augment="none")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data():
    return Question.open(SCENES)


@pytest.fixture(scope="module")
def settled(data):
    made = settle(data, MODEL, recipe=RECIPE)
    return made.task, build_model(made.task, MODEL).eval(), made.task.feeds(data)


def by_leaving_out(answers, given):
    """The official accuracy: of each annotator's others, how many agree, at most three of them counting."""
    worth = []
    for number in range(len(answers)):
        others = answers[:number] + answers[number + 1 :]
        worth.append(min(1.0, sum(other == given for other in others) / min(3, len(others))))
    return np.mean(worth)


@pytest.mark.parametrize("annotators", [2, 3, 4, 10])
def test_the_accuracy_of_several_annotators(annotators):
    for counts in itertools.product(range(annotators + 1), repeat=2):
        if sum(counts) <= annotators:
            rest = annotators - sum(counts)
            answers = ["a"] * counts[0] + ["b"] * counts[1] + [f"c{n}" for n in range(rest)]
            worth = credit(answers)
            for given in {*answers, "d"}:
                assert worth.get(given, 0.0) == pytest.approx(by_leaving_out(answers, given))
    assert credit(["a"]) == {"a": 1.0}
    for count in range(11):
        assert credit(["a"] * count + [f"c{n}" for n in range(10 - count)]).get("a", 0.0) == pytest.approx(
            min(1.0, 0.3 * count)
        )


def test_score_takes_answers():
    assert fv.score("vqa_accuracy", ["Red.", "two"], [["red"] * 2 + ["pink"] * 8, "two"]) == pytest.approx(
        0.8
    )
    with pytest.raises(ShapeError, match="one prediction for each"):
        fv.score("vqa_accuracy", ["red"], [["red"], ["two"]])


def test_the_loss_takes_the_shares_of_the_annotators(settled):
    task, model, feeds = settled
    batch = next(iter(feeds["test"].test(6)))
    targets = torch.rand(batch.targets.shape, generator=torch.Generator().manual_seed(0))
    batch = type(batch)(**{**vars(batch), "targets": targets})
    logits = model(batch.inputs, batch.words).double()
    expected = -sum(
        t * (row[k] - torch.logsumexp(row, 0))
        for row, own in zip(logits, targets.double(), strict=True)
        for k, t in enumerate(own)
    ) / len(logits)
    torch.testing.assert_close(task.loss(model, batch).double(), expected, rtol=1e-5, atol=1e-5)


def test_an_epoch_can_be_continued_anywhere(settled):
    feed = settled[2]["train"]
    whole = list(feed.train(batch_size=10, seed=3, epoch=2))
    left = list(feed.train(batch_size=10, seed=3, epoch=2, start=2))
    assert len(whole) == 4
    assert len(left) == 2
    for one, other in zip(whole[2:], left, strict=True):
        assert all(torch.equal(getattr(one, n), getattr(other, n)) for n in ("inputs", "words", "targets"))
    other = next(iter(feed.train(batch_size=10, seed=3, epoch=3)))
    assert not torch.equal(other.indices, whole[0].indices)


def test_attention_can_be_inserted_into_the_encoder(data):
    plan = fv.compare(data, model=MODEL, variants=["se@blocks"], train=RECIPE, seeds=2, dry_run=True)
    assert {"se@blocks", "without the question"} <= {variant.name for variant in plan.variants}


def test_chance_is_the_most_frequent_answer(settled):
    task, _, feeds = settled
    train, test = ([some[0] for some in feeds[n].split.answers] for n in ("train", "test"))
    usual = min(set(train), key=lambda answer: (-train.count(answer), answer))
    assert task.chance(feeds) == pytest.approx(np.mean([answer == usual for answer in test]))


def test_records_and_figures(settled):
    task, model, feeds = settled
    with torch.no_grad():
        judged = [task.judge(model, batch) for batch in feeds["test"].test(10)]
    records = torch.cat([found.records for found in judged]).numpy()
    answers = [answer for found in judged for answer in found.answers]
    split = feeds["test"].split
    right = np.array([answer in own for answer, own in zip(answers, split.answers, strict=True)])
    assert task.value(records) == pytest.approx(right.mean())
    without = task.value_without_each(records)
    assert without[3] == pytest.approx(np.delete(right, 3).mean())
    figures = task.figures(records)
    for family in task.families:
        some = np.array([own == family for own in split.families])
        assert figures[family] == pytest.approx(100 * right[some].mean())
    assert figures["inside over its area"] == pytest.approx(1, abs=0.4)  # it has learnt nothing


def test_attention_inside_by_loops():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 3, 16, generator=generator).softmax(dim=2)
    look = (torch.rand(2, 8, 8, generator=generator) > 0.6).float()
    look[1] = 0
    inside, area, known = looked(weights, look, 2)[0].tolist()
    expected = 0.0
    for row in range(8):
        for column in range(8):
            place = row // 2 * 4 + column // 2
            expected += float(weights[0, :, place].mean()) / 4 * float(look[0, row, column])
    assert inside == pytest.approx(expected)
    assert area == pytest.approx(float(look[0].mean()))
    assert known == 1
    assert looked(weights, look, 2)[1].tolist() == [0, 0, 0]
    assert not looked(None, look, 2).any()


def test_every_study_has_the_blind_models(data, tmp_path):
    other = MODEL.replace("top_down(", "top_down(attention=cosine, ")
    plan = fv.compare(
        data, model=MODEL, variants=[other], train=RECIPE, seeds=2, out=tmp_path / "study", dry_run=True
    )
    models = {variant.name: variant.model for variant in plan.variants}
    assert models["without the question"] == f"goal_blind(of={MODEL})"
    assert models["without the picture"] == f"picture_blind(of={MODEL})"
    assert len(models) == 4


def test_cards_show_the_question_and_every_look(settled):
    task, model, feeds = settled
    answers = {name: ["7"] * len(feeds["test"]) for name in ("one", "two")}
    answers["two"][5] = "yes"
    scores = {name: np.full(len(feeds["test"]), np.nan) for name in answers}
    card = task.cards({"one": model, "two": model}, feeds["test"], answers, scores)[0]
    split = feeds["test"].split
    assert card["item"] == feeds["test"].names[5]
    assert (card["source"], card["reference"]) == (split.questions[5], list(split.answers[5]))
    assert card["places"] == [8, 8]
    for answer in card["variants"]:
        assert answer["words"] == ["glimpse 1", "glimpse 2"]
        assert np.array(answer["weights"]).sum(axis=1) == pytest.approx(1, abs=0.05)


def test_what_is_not_for_questions_is_refused(data):
    with pytest.raises(ShapeError, match=r"resnet8: does not take a picture and a question"):
        settle(data, "resnet8", recipe=RECIPE)
    with pytest.raises(ShapeError, match=r"has no encoder of pictures. Write stacked_attention\(encoder="):
        settle(data, "stacked_attention(width=8)", recipe=RECIPE)
    with pytest.raises(DataError, match="expected questions about pictures"):
        Question.expect(fv_scenes())
    made = settle(data, MODEL, recipe=TrainConfig(epochs=1))
    with pytest.raises(OptionError, match="augment: got crop_flip"):
        made.task.feeds(data)


def fv_scenes():
    from foveate.data.scenes.open_scenes import scenes

    return scenes(train=5, val=0, test=5)


@pytest.mark.slow
def test_from_training_to_answers_on_the_command_line(tmp_path, capsys):
    run = tmp_path / "run"
    fv.train(SCENES, task="question", model=MODEL, train=RECIPE, out=run)
    model = load(run)
    split = Question.open(SCENES).splits["test"]
    pictures = [tmp_path / f"{n}.png" for n in range(3)]
    for number, path in enumerate(pictures):
        Image.fromarray(split.pictures.load(number)).save(path)
    pairs = list(zip(pictures, split.questions, strict=False))
    found = fv.predict(model, pairs, nbest=2)
    assert [best[0]["answer"] for best in found] == fv.predict(run, pairs)
    assert main(["predict", str(run), str(pictures[0]), "--goal", split.questions[0], "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out)[0]
    assert told["question"] == split.questions[0]
    assert told["answers"][0]["answer"] == found[0][0]["answer"]
    assert told["answers"][0]["probability"] == pytest.approx(found[0][0]["probability"], abs=1e-5)
    with pytest.raises(OptionError, match="goal: this model answers questions"):
        fv.predict(model, pictures)
    assert main(["predict", str(run), str(pictures[0])]) == 2


@pytest.mark.slow
def test_a_study_of_questions_to_its_report(data, tmp_path):
    study = fv.compare(
        data,
        model=MODEL,
        variants={"cosine": MODEL.replace("top_down(", "top_down(attention=cosine, ")},
        train=RECIPE,
        seeds=2,
        out=tmp_path / "study",
        control="none",
    )
    assert {"cosine", "without the question", "without the picture"} <= {
        row["variant"] for row in study.table
    }
    page = (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
    assert "which digit is" in page


def test_features_of_a_frozen_encoder_are_its_pictures():
    frozen = "top_down(encoder=tests.tasks.word_data:encoder, trainable=none, state=8, hidden=8, embedding=6)"
    data, found = Question.open("scenes(train=6, val=0, test=6)"), []
    for features in ("true", "false"):
        made = settle(data, frozen, task=f"question(features={features})", recipe=RECIPE, size=40)
        model, feeds = build_model(made.task, frozen).eval(), made.task.feeds(data)
        assert isinstance(feeds["test"].features, Features) == (features == "true")
        made.task.ready(model, feeds["test"])
        with torch.no_grad():
            found.append(made.task.judge(model, next(iter(feeds["test"].test(6)))))
    assert found[0].answers == found[1].answers
    assert found[0].loss.item() == pytest.approx(found[1].loss.item(), rel=1e-3)  # float16 on disk
