"""Two tasks that foveate does not know go through every door: training, studies, reports, prediction."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import foveate as fv
from foveate.cli.__main__ import main
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.train.loop import fit
from tests.child_processes import child_processes
from tests.compare.study_samples import brief_studies
from tests.doors import killed as killed_training
from tests.doors import toy_gan, toy_translation
from tests.doors.pairs import write_pairs

TOYS = ("toy_translation", "toy_gan")
QUICK = ("--epochs", "2", "--batch-size", "16", "--lr", "0.02", "--plugin")


def source(toy: str, folder: Path) -> str:
    return str(write_pairs(folder / "toy.pairs")) if toy == "toy_translation" else "ring:64"


def models_of(toy: str) -> tuple[str, str]:
    if toy == "toy_translation":
        return "toy_translator", "toy_translator(attention=False)"
    return "toy_gan", "toy_gan(width=24)"


@pytest.fixture(scope="module", params=TOYS)
def study(request, tmp_path_factory):
    """A study from the command line, of a model and of the same model with another option."""
    home = tmp_path_factory.mktemp(request.param)
    data, (model, other) = source(request.param, home), models_of(request.param)
    words = ["compare", data, "--model", model, "--try", other, "--seeds", "3", "--out", str(home / "study")]
    with brief_studies():
        assert main([*words, *QUICK, f"tests.doors.{request.param}"]) == 0
    return request.param, home / "study", json.loads((home / "study" / "study.json").read_text("utf-8"))


def test_a_study_of_models_has_costs_differences_and_verdicts(study):
    toy, _, result = study
    baseline, other = result["variants"]
    assert [v["role"] for v in result["variants"]] == ["baseline", "variant"]  # no control for a model
    assert other["model"] == models_of(toy)[1] and other["spec"] is None
    assert other["as_attention"] is None
    assert all(
        v["cost"]["parameters"] > 0 and v["latency"]["single"]["median"] > 0 for v in (baseline, other)
    )
    assert other["difference"]["low"] <= other["difference"]["mean"] <= other["difference"]["high"]
    called = {"toy_translation": "sentences", "toy_gan": "points"}[toy]
    assert result["question"]["items_called"] == called
    assert f"test {called}" in result["could_have_found"]


def test_the_metric_is_that_of_the_whole_set_and_better_may_be_less(study):
    toy, folder, result = study
    task = {"toy_translation": toy_translation.ToyTranslation, "toy_gan": toy_gan.ToyGeneration}[toy]
    kept = [np.load(path)["records"] for path in sorted(folder.glob("runs/baseline/*/test.npz"))]
    judge = task({"vocabulary": []})
    scores = [task.metric.scale * judge.value(records) for records in kept]
    told = next(v for v in result["variants"] if v["role"] == "baseline")["score"]
    assert told["per_seed"] == pytest.approx(scores)
    if toy == "toy_gan":
        chosen = {
            run["seed"]: run["score"] for run in result["runs"] if run["variant"] == result["best"]["variant"]
        }
        ranked = sorted(chosen, key=chosen.get)
        assert result["best"]["seed"] == ranked[1]  # the median of three, there being no validation split
        epochs = result["variants"][0]["curves"][0]["epochs"]
        assert {*epochs[0]["losses"]} == {"discriminator", "generator"}


def test_answers_of_any_length_are_shown_as_cards(study):
    toy, folder, _ = study
    cards = json.loads((folder / "pictures.json").read_text("utf-8"))
    assert {card["kind"] for card in cards} == {{"toy_translation": "text", "toy_gan": "image"}[toy]}
    page = (folder / "report.html").read_text("utf-8")
    if toy == "toy_translation":
        answers = {v["answer"] for card in cards for v in card["variants"]}
        assert len({len(answer.split()) for answer in answers}) > 1
        assert cards[0]["source"] in page and cards[0]["reference"][0] in page
    else:
        assert cards[0]["variants"][0]["images"][0] in page


def test_the_same_command_goes_on_and_trains_nothing_again(study, capsys):
    toy, folder, _ = study
    data = source(toy, folder.parent)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    (folder / "report.html").unlink()
    model, other = models_of(toy)
    words = ["compare", data, "--model", model, "--try", other, "--seeds", "3", "--out", str(folder)]
    with brief_studies():
        assert main([*words, *QUICK, f"tests.doors.{toy}"]) == 0
    runs = {path: time for path, time in before.items() if "runs" in path.parts}
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    assert (folder / "report.html").exists()


def test_predict_asks_the_best_model(study, capsys):
    toy, folder, _ = study
    assert main(["predict", str(folder), "one two", "three", "--json", "--plugin", f"tests.doors.{toy}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["input"] for entry in told] == ["one two", "three"]
    answers = fv.predict(folder, ["one two", "three"])
    assert [entry["answer"] for entry in told] == answers


def test_a_model_of_another_packages_task_says_which_package(study, monkeypatch, capsys):
    toy, folder, _ = study
    own = {name: task for name, task in tasks._entries.items() if not name.startswith("toy_")}
    monkeypatch.setattr(tasks, "_entries", own)  # as in a process that was given no plug-in
    assert main(["predict", str(folder), "one"]) == 2
    assert f"--plugin tests.doors.{toy}" in capsys.readouterr().err


def test_a_study_over_folds_needs_no_code_of_the_task(tmp_path):
    data, (model, other) = source("toy_translation", tmp_path), models_of("toy_translation")
    words = ["compare", data, "--model", model, "--try", other, "--seeds", "1", "--folds", "3", *QUICK]
    with brief_studies():
        assert main([*words, "tests.doors.toy_translation", "--out", str(tmp_path / "study")]) == 0
    result = json.loads((tmp_path / "study" / "study.json").read_text("utf-8"))
    assert result["question"]["items"] == 52  # of 60 sentences; eight are for validation
    whole = tasks["toy_translation"].folds(tasks["toy_translation"].open(data), 3).whole
    cards = json.loads((tmp_path / "study" / "pictures.json").read_text("utf-8"))
    sources = [" ".join(pair[0]) for pair in whole.splits["test"]]
    assert all(card["source"] in sources for card in cards)
    kept = [np.load(path) for path in (tmp_path / "study").glob("runs/*/0/test.npz")]
    assert [len(run["records"]) for run in kept] == [52, 52]
    lengths = [len(pair[1]) for pair in whole.splits["test"]]
    assert all(run["records"][:, -1].tolist() == lengths for run in kept)  # each beside its own reference


def test_data_that_is_drawn_says_that_it_has_no_folds(capsys):
    words = ["compare", "ring:64", "--model", "toy_gan", "--try", "toy_gan(width=24)", "--folds", "3", *QUICK]
    assert main([*words, "tests.doors.toy_gan"]) == 2
    assert "ring: this data cannot be cut into folds" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
@pytest.mark.parametrize("toy", TOYS)
def test_a_killed_training_goes_on_to_the_same_bits(toy, tmp_path):
    data, model = source(toy, tmp_path), models_of(toy)[0]

    def train(folder, after):
        words = (f"tests.doors.{toy}", data, model, tmp_path / folder, after)
        child = child_processes.Process(target=killed_training.train, args=words)
        child.start()
        child.join()
        return child.exitcode

    assert train("whole", 0) == 0
    for after in (5, 11):  # within the first epoch or the second; of the GAN after either part's turn
        assert train("killed", after) == -signal.SIGKILL
    assert train("killed", 0) == 0
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all((whole[name] == killed[name]).all() for name in whole)


def test_parts_take_turns(tmp_path):
    """The generator of a GAN steps at every second step of its discriminator."""
    task = toy_gan.ToyGeneration({})
    data = toy_gan.Rings(32)
    model = toy_gan.ToyGAN(classes=0)
    seen = []
    loss = task.loss
    task.loss = lambda model, batch, part="": seen.append(part) or loss(model, batch, part)
    result = fit(model, task, task.feeds(data), TrainConfig(epochs=2, batch_size=8), tmp_path)
    assert seen == ["discriminator", "discriminator", "generator"] * 4
    assert result.steps == 8
    assert result.history[0]["train_loss"] == result.history[0]["losses"]["discriminator"]


def test_a_training_from_python(tmp_path):
    found = fv.train(
        write_pairs(tmp_path / "toy.pairs"), model="toy_translator", epochs=1, out=tmp_path / "run"
    )
    assert found.items == "sentences" and 0 <= found.score <= 100
    assert isinstance(found.predict(["one two"])[0], str)
    assert fv.load(tmp_path / "run").predict(["one two"]) == found.predict(["one two"])


def test_data_for_another_task_is_refused(tmp_path):
    with pytest.raises(fv.FoveateError, match="images"):
        fv.train(
            write_pairs(tmp_path / "toy.pairs"), model="resnet8", task="classification", out=tmp_path / "x"
        )
