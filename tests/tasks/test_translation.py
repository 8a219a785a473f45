"""The task translation, from files to predictions, on counting in two languages."""

import io
import json
import random

import numpy as np
import pytest
import torch

import foveate as fv
from foveate.cli.__main__ import main
from foveate.data.open import open_data
from foveate.errors import CheckpointError, DataError, OptionError, ShapeError
from foveate.infer.load import load
from foveate.models.create import create_model
from foveate.recipe import TrainConfig
from foveate.tasks.base import task_named
from foveate.tasks.translation import Translation
from foveate.train.evaluate import evaluate
from tests.tasks.word_data import ENGLISH, GERMAN, write_pairs

SMALL = "embedding=32, encoder_state=32, state=32, dropout=0.0"
RECIPE = TrainConfig(epochs=20, batch_size=16, lr=1e-2, augment="none")
TASK = "translation(units=words)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """The folder of a small translator that has learnt to count."""
    out = tmp_path_factory.mktemp("trained") / "run"
    data = Translation.open(folder, source="en", target="de")
    fv.train(data, model=f"translator({SMALL})", train=RECIPE, task=TASK, out=out)
    return out


def made(folder, **options):
    data = Translation.open(folder, source="en", target="de")
    task = Translation.of(Translation.inputs_of(data, units="words", **options))
    model = create_model(f"translator({SMALL})", **task.model_options())
    return task, model, task.feeds(data)


def test_it_learns_to_translate(trained):
    model = load(trained)
    sentence, expected = "three one two six.", "drei eins zwei sechs."
    assert fv.predict(model, [sentence, "", "five four."]) == [expected, "", "fünf vier."]
    assert fv.predict(trained, sentence) == [expected]
    ((best, second),) = fv.predict(model, [sentence], nbest=2)
    assert best["text"] == expected
    assert best["score"] > second["score"]
    assert best["finished"]


def test_order_and_batch_of_the_sentences_change_nothing(trained):
    draws, model = random.Random(1), load(trained)
    texts = [" ".join(draws.choices(ENGLISH, k=draws.randint(1, 9))) + "." for _ in range(70)]
    together = fv.predict(model, texts, nbest=3)
    order = draws.sample(range(len(texts)), len(texts))
    shuffled = fv.predict(model, [texts[i] for i in order], nbest=3)
    for place, i in enumerate(order):
        alone = fv.predict(model, [texts[i]], nbest=3)[0] if place < 5 else shuffled[place]
        for answers in (shuffled[place], alone):
            assert [a["text"] for a in answers] == [a["text"] for a in together[i]]
            assert np.allclose([a["score"] for a in answers], [a["score"] for a in together[i]], atol=1e-5)


def test_scores_are_those_of_the_metrics_on_whole_lists(folder):
    task, model, feeds = made(folder)
    found = evaluate(model, task, feeds["test"], batch_size=5)
    references = list(Translation.open(folder, source="en", target="de").splits["test"].target)
    assert found.score == pytest.approx(fv.score("sacrebleu", found.answers, references))
    figures = task.figures(found.records)
    assert list(figures.values()) == [pytest.approx(100 * fv.score("chrf", found.answers, references))]
    without = task.value_without_each(found.records)
    rest = [i for i in range(len(references)) if i != 3]
    expected = fv.score("sacrebleu", [found.answers[i] for i in rest], [references[i] for i in rest])
    assert without[3] == pytest.approx(expected)


def test_padding_changes_no_loss(folder):
    task, model, feeds = made(folder)
    batch = next(iter(feeds["train"].train(batch_size=8, seed=0, epoch=0)))
    model.eval()
    wider = torch.nn.functional.pad(batch.source, (0, 4)), torch.nn.functional.pad(batch.target, (0, 3))
    padded = type(batch)(*wider, batch.references, batch.indices)
    assert task.loss(model, padded).item() == pytest.approx(task.loss(model, batch).item(), rel=1e-6)


def test_recording_has_what_every_step_read(folder):
    task, model, _ = made(folder)
    with fv.record(model.eval()) as maps:
        decoded = model(*task.example(3))
    assert maps["reads"].equal(decoded.weights)
    assert maps["reads"].shape == (3, 4, 5)


@pytest.mark.slow
def test_a_study_of_reads_and_choices(folder, tmp_path):
    variants = [f"translator(attention=dot, {SMALL})", f"translator(choice=gumbel, {SMALL})"]
    study = fv.compare(
        Translation.open(folder, source="en", target="de"),
        model=f"translator(attention=none, {SMALL})",
        variants=variants,
        train=TrainConfig(epochs=2, batch_size=16, lr=1e-2, augment="none"),
        task=TASK,
        seeds=2,
        out=tmp_path / "study",
    )
    assert set(study.verdicts) == set(variants)
    cards = json.loads((tmp_path / "study" / "pictures.json").read_text(encoding="utf-8"))
    assert all(card["kind"] == "text" and card["read"][-1] == "</s>" for card in cards)
    answers = {answer["name"]: answer for answer in cards[0]["variants"]}
    for name in variants:
        weights = np.array(answers[name]["weights"])
        assert weights.shape == (len(answers[name]["words"]), len(cards[0]["read"]))
        assert weights.sum(axis=1) == pytest.approx(1, abs=0.01)
    gumbel = np.array(answers[variants[1]]["weights"])
    assert set(gumbel.flatten().tolist()) <= {0.0, 1.0}
    alike = np.array(answers["baseline"]["weights"])
    assert alike == pytest.approx(1 / len(cards[0]["read"]), abs=0.001)  # no attention reads the mean
    assert fv.predict(tmp_path / "study", ["one."])


def test_the_command_predicts_files_sentences_and_standard_input(trained, tmp_path, capsys, monkeypatch):
    text = tmp_path / "some.txt"
    text.write_text("one two.\nsix.\n", encoding="utf-8")
    assert main(["predict", str(trained), str(text), "four."]) in (0, None)
    assert capsys.readouterr().out.splitlines() == ["eins zwei.", "sechs.", "vier."]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"two two.\n")))
    assert main(["predict", str(trained), "-", "--beam", "3", "--nbest", "2", "--json"]) in (0, None)
    (told,) = json.loads(capsys.readouterr().out)
    assert told["source"] == "two two."
    assert told["translations"][0]["text"] == "zwei zwei."
    assert len(told["translations"]) == 2
    assert main(["predict", str(trained), str(tmp_path / "none.txt")]) == 2
    assert "no such file" in capsys.readouterr().err
    text.write_bytes("one.\ncafé two.\n".encode("latin-1"))
    assert main(["predict", str(trained), str(text)]) == 2
    assert "line 2: is not UTF-8" in capsys.readouterr().err


def test_the_command_draws_what_each_word_read(trained, tmp_path, capsys):
    out = tmp_path / "drawn"
    text = tmp_path / "some.txt"
    text.write_text("four one.\n\nsix.\n", encoding="utf-8")
    assert main(["predict", str(trained), str(text), "--out", str(out), "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out)
    assert [answer.get("files") for answer in told] == [
        [str(out / "0001_four_one.png")],
        None,  # of nothing, nothing was read
        [str(out / "0003_six.png")],
    ]
    assert all(
        (out / name).read_bytes().startswith(b"\x89PNG") for name in ("0001_four_one.png", "0003_six.png")
    )
    assert main(["predict", str(trained), "six.", "--out", str(out), "--sample"]) == 2
    assert "what drawn words were read from is not kept" in capsys.readouterr().err


def test_a_seed_decides_which_words_are_drawn(trained, tmp_path, capsys):
    model = load(trained)
    some = ["one two three four.", "six five."] * 4
    drawn = {seed: fv.predict(model, some, sample=True, temperature=5.0, seed=seed) for seed in (0, 1)}
    assert drawn[0] != drawn[1]
    assert fv.predict(model, some, sample=True, temperature=5.0, seed=0) == drawn[0]
    (tmp_path / "some.txt").write_text("\n".join(some), encoding="utf-8")
    asked = ["predict", str(trained), str(tmp_path / "some.txt"), "--sample", "--temperature", "5"]
    assert main(asked) in (0, None)
    assert capsys.readouterr().out.splitlines() == drawn[0]  # 0 is the usual seed of the command
    assert main([*asked, "--seed", "1"]) in (0, None)
    assert capsys.readouterr().out.splitlines() == drawn[1]
    with pytest.raises(OptionError, match="which words are drawn, but none are"):
        fv.predict(model, some, seed=3)


def test_words_that_training_never_saw_are_never_answered(trained):
    model = load(trained)
    answers = fv.predict(model, ["seven zebras one.", "日本語"], nbest=5)
    words = {word for each in answers for answer in each for word in answer["text"].rstrip(".").split()}
    assert words <= {*GERMAN, "."}


def test_what_is_forbidden_comes_on_top_of_unknown_words(trained):
    model = load(trained)
    six = model.task.target.encode("sechs")[0]
    answers = fv.predict(model, ["six.", "seven six."], nbest=5, forbidden=[six])
    texts = " ".join(answer["text"] for each in answers for answer in each)
    assert "sechs" not in texts and "<unk>" not in texts


def test_others_may_read_the_weights_as_they_may_read_any_new_file(trained, tmp_path):
    (tmp_path / "new").touch()
    assert (trained / "model.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_the_vocabularies_and_the_search_stand_in_the_plan(folder):
    task, _, _ = made(folder, beam=3, length_penalty=0.5)
    facts = "; ".join(task.facts())
    assert "en to de" in facts
    assert "beam 3, length penalty 0.5" in facts
    joint = Translation.inputs_of(
        Translation.open(folder, source="en", target="de"), units="words", joint=True
    )
    assert Translation.of(joint).source == Translation.of(joint).target


@pytest.mark.parametrize("entry", ["source", "target", "search", "languages"])
def test_a_damaged_description_is_named(trained, tmp_path, entry):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for damage in (None, 3, {"kind": "words", "words": [1]}, {"beam": -1}):
        changed = {**config, entry: damage}
        if damage is None:
            del changed[entry]
        (tmp_path / "config.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(CheckpointError, match=entry):
            load(tmp_path)


def test_what_is_not_for_translation_is_refused(folder, trained):
    data = Translation.open(folder, source="en", target="de")
    with pytest.raises(ShapeError, match=r"resnet8: does not answer as .*translator"):
        fv.train(data, model="resnet8", task=TASK, dry_run=True)
    with pytest.raises(ShapeError, match=r"show_attend_tell: does not answer as translation needs it"):
        fv.train(data, model="show_attend_tell", task=TASK, dry_run=True)
    with pytest.raises(DataError, match="is a folder"):
        list(load(trained).task.tell(load(trained), [str(folder)]))
    with pytest.raises(DataError, match="expected pairs of sentences"):
        Translation.expect(open_data("scenes(train=8, val=0, test=8)"))
    with pytest.raises(OptionError, match='task translation has no option "words"'):
        task_named("translation(words=3)")
    with pytest.raises(ShapeError, match="expected a sentence or a list of sentences"):
        fv.predict(trained, [3])
    with pytest.raises(OptionError, match='no option "beams"'):
        fv.predict(trained, ["one."], beams=3)
