"""Stages: what is not being trained stays as it is, to the bit; and stopping changes nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from foveate.data.image_feed import ImageFeed
from foveate.errors import OptionError, UnknownNameError
from foveate.models.classification.resnet_small import SmallResNet
from foveate.tasks import tasks
from foveate.train import TrainConfig, fit
from foveate.train.best import Best
from foveate.train.progress import Silent
from foveate.train.stages import freeze_others, in_stage
from tests.train.train_samples import feeds, same, small

CONFIG = TrainConfig(epochs=4, batch_size=16, lr=5e-3)
TASK = tasks["classification"]()


class TwoParts(nn.Module):
    """A network, then a layer on what it and a second one say: as any user could write it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = SmallResNet(8, classes=3, width=2)
        self.second = nn.Sequential(SmallResNet(8, classes=3, width=2), nn.Dropout(0.1))
        self.last = nn.Linear(6, 3)
        self.stage = None
        self.seen = []

    def training_stages(self):
        return {"first": (self.first,), "rest": (self.second, self.last)}

    def forward(self, x):
        if self.training:
            self.seen.append((self.stage, self.first.training, self.second.training, self.last.training))
        y = self.first(x)
        return y if self.stage == "first" else self.last(torch.cat([y, self.second(x)], dim=1))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Keeping(Silent):
    """Keeps a copy of the model's state and gradients at every step, and what it is told."""

    def __init__(self, model):
        self.model, self.kept, self.told = model, [], []

    def begin(self, name, steps, done=0):
        self.told.append((name, steps, done))

    def advance(self, done):
        state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        grads = {name: p.requires_grad for name, p in self.model.named_parameters()}
        self.kept.append((done, self.model.stage, state, grads))

    def note(self, text):
        self.told.append(text)


def changed_names(states, parts=("first", "second", "last")):
    first, *rest = states
    differ = {name for state in rest for name in state if not torch.equal(first[name], state[name])}
    return {part for part in parts if any(name.startswith(part) for name in differ)}


@pytest.mark.parametrize("options", [{}, {"ema": 0.5, "optimizer": "sgd", "weight_decay": 5e-4, "clip": 0.1}])
def test_only_the_parts_of_a_stage_change_running_statistics_and_all(tmp_path, options):
    model = TwoParts()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    keeping = Keeping(model)
    config = dataclasses.replace(CONFIG, **options)
    result = fit(model, TASK, feeds(), config, tmp_path / "run", progress=keeping)
    by_stage = {
        name: [state for _, stage, state, _ in keeping.kept if stage == name] for name in ("first", "rest")
    }
    assert changed_names([start, *by_stage["first"]]) == {"first"}
    assert changed_names(by_stage["rest"]) == {"second", "last"}
    assert not torch.equal(by_stage["first"][0]["first.bn1.running_mean"], start["first.bn1.running_mean"])
    assert all(
        needs == name.startswith("first" if stage == "first" else ("second", "last"))
        for _, stage, _, grads in keeping.kept
        for name, needs in grads.items()
    )
    assert set(model.seen) == {("first", True, False, False), ("rest", False, True, True)}
    assert result.model is model and model.stage is None and not model.training
    assert all(p.requires_grad for p in model.parameters())


def test_it_is_one_run_for_whoever_asks(tmp_path):
    model = TwoParts()
    keeping = Keeping(model)
    config = dataclasses.replace(CONFIG, epochs=5)
    result = fit(model, TASK, feeds(), config, tmp_path / "run", progress=keeping, name="both")
    assert result.steps == 5 * 3 and [done for done, *_ in keeping.kept] == list(range(1, 16))
    assert [entry["epoch"] for entry in result.history] == list(range(5))
    assert keeping.told[0] == ("both", 15, 0)
    assert [text.partition(":")[0] for text in keeping.told[1:]] == ["first"] * 3 + ["rest"] * 2
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["model.safetensors", "result.json"]
    again = fit(TwoParts(), TASK, feeds(), config, tmp_path / "run")
    assert same(again.model, model) and again.history == result.history


def test_stopped_and_continued_equals_undisturbed(tmp_path):
    whole = fit(TwoParts(), TASK, feeds(), CONFIG, tmp_path / "whole")
    figures = ("epoch", "train_loss", "val_score", "lr")
    for stop in (6, 8):  # between the stages, and within the second
        folder = tmp_path / str(stop)
        part = dataclasses.replace(CONFIG, max_steps=stop)
        assert fit(TwoParts(), TASK, feeds(), part, folder).steps == stop
        parts = fit(TwoParts(), TASK, feeds(), CONFIG, folder)
        assert same(whole.model, parts.model) and parts.steps == whole.steps, stop
        assert [[e[f] for f in figures] for e in whole.history] == [
            [e[f] for f in figures] for e in parts.history
        ], stop
        assert not (folder / "checkpoint").exists()


@pytest.mark.slow
def test_a_run_that_breaks_in_a_stage_leaves_the_model_free_and_goes_on(tmp_path):
    class Breaking(Silent):
        def advance(self, done):
            if done == 8:
                raise KeyboardInterrupt

    model = TwoParts()
    with pytest.raises(KeyboardInterrupt):
        fit(model, TASK, feeds(), CONFIG, tmp_path / "run", progress=Breaking(), checkpoint_seconds=0.0)
    assert model.stage is None and all(p.requires_grad for p in model.parameters())
    parts = fit(TwoParts(), TASK, feeds(), CONFIG, tmp_path / "run")
    assert same(parts.model, fit(TwoParts(), TASK, feeds(), CONFIG, tmp_path / "whole").model)


def test_parameters_that_the_user_froze_stay_frozen(tmp_path):
    model = TwoParts()
    model.first.conv1.requires_grad_(False)
    before = model.first.conv1.weight.clone()
    fit(model, TASK, feeds(), dataclasses.replace(CONFIG, epochs=2), tmp_path)
    assert torch.equal(model.first.conv1.weight, before) and not model.first.conv1.weight.requires_grad


def test_fewer_epochs_than_stages_are_refused(tmp_path):
    with pytest.raises(OptionError, match="first, rest"):
        fit(TwoParts(), TASK, feeds(), dataclasses.replace(CONFIG, epochs=1), tmp_path)


def test_stages_that_there_are_not():
    with pytest.raises(UnknownNameError, match="rest"), in_stage(TwoParts(), "last"):
        pass
    with pytest.raises(UnknownNameError), in_stage(small(), "first"):
        pass
    model = small().train()
    freeze_others(model)
    assert all(module.training for module in model.modules())


def test_the_weights_of_the_best_epoch_are_kept_and_outlive_a_stop(tmp_path):
    """Validation images with labels drawn at random have their best epoch anywhere."""
    data, labels = feeds(), np.random.default_rng(3).integers(0, 3, 20)
    data["val"] = ImageFeed(dataclasses.replace(data["val"].split, targets=labels))
    config = dataclasses.replace(CONFIG, epochs=6, keep_best=True)
    kept = fit(small(), TASK, data, config, tmp_path / "best")
    scores = [entry["val_score"] for entry in kept.history]
    at = scores.index(max(scores))
    assert at < 5
    until = dataclasses.replace(config, keep_best=False, max_steps=3 * (at + 1))
    assert same(kept.model, fit(small(), TASK, data, until, tmp_path / "until").model)
    part = dataclasses.replace(config, max_steps=3 * at + 4)
    fit(small(), TASK, data, part, tmp_path / "parts")
    assert same(kept.model, fit(small(), TASK, data, config, tmp_path / "parts").model)


@pytest.mark.parametrize(
    "higher, scores, winner", [(True, [0.2, 0.7, 0.7, 0.1], 1), (False, [0.2, 0.1, 0.1], 1)]
)
def test_the_first_of_the_best_scores_is_the_best(higher, scores, winner):
    best = Best(higher)
    for number, score in enumerate([float("nan"), *scores]):
        best.offer(score, {"w": torch.tensor(float(number - 1))})
    assert (best.score, best.weights["w"].item()) == (scores[winner], winner)
