import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

import foveate.tensor_file as tensor_module
from foveate.data.batches import train_batches
from foveate.errors import CheckpointError, DataError, ShapeError, TrainingError
from foveate.insert.inserted_parts import gate_parameters
from foveate.insert.surgery import insert
from foveate.tasks import tasks
from foveate.train import TrainConfig, evaluate, fit
from foveate.train.checkpoint import Checkpoints
from foveate.train.progress import Silent
from tests.train.train_samples import Dropping, feed, feeds, same, small

CONFIG = TrainConfig(epochs=3, batch_size=8, lr=3e-3)
TASK = tasks["classification"]()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def changed(**fields: object) -> TrainConfig:
    return dataclasses.replace(CONFIG, **fields)


def test_learns_what_can_be_learnt(tmp_path):
    result = fit(small(), TASK, feeds(), changed(epochs=12), tmp_path)
    assert result.history[-1]["val_score"] == 1.0
    assert result.history[-1]["train_loss"] < 0.5 * result.history[0]["train_loss"]
    assert (result.steps, len(result.history)) == (12 * 6, 12)
    assert not result.model.training
    assert result.images_per_second > 0


def test_the_seed_decides_everything(tmp_path):
    runs = [
        fit(small(), TASK, feeds(), changed(seed=seed), tmp_path / str(i)) for i, seed in enumerate((7, 7, 8))
    ]
    assert same(runs[0].model, runs[1].model)
    assert not same(runs[0].model, runs[2].model)
    assert [e["train_loss"] for e in runs[0].history] == [e["train_loss"] for e in runs[1].history]


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    model = small()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fit(model, TASK, feeds(), CONFIG, tmp_path)
    assert torch.equal(torch.rand(4), expected)


def test_stopped_and_continued_equals_undisturbed(tmp_path):
    config = changed(ema=0.9, clip=0.5)
    whole = fit(small(), TASK, feeds(), config, tmp_path / "whole")
    figures = ("epoch", "train_loss", "val_score", "lr")
    for stop in (6, 17):  # at the end of an epoch, and within one
        folder = tmp_path / str(stop)
        fit(small(), TASK, feeds(), dataclasses.replace(config, max_steps=stop), folder)
        parts = fit(small(), TASK, feeds(), config, folder)
        assert same(whole.model, parts.model), stop
        assert [[e[f] for f in figures] for e in whole.history] == [
            [e[f] for f in figures] for e in parts.history
        ], stop


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_continued_in_pieces_with_either_optimizer(tmp_path, optimizer):
    config = changed(optimizer=optimizer, lr=0.01, weight_decay=5e-4, accumulate=2)
    whole = fit(small(), TASK, feeds(), config, tmp_path / "whole")
    for stop in (1, 2, 5, 9):
        model = small(seed=stop)  # whatever the model holds, the checkpoint decides, from the second piece on
        model = small() if stop == 1 else model
        parts = fit(model, TASK, feeds(), dataclasses.replace(config, max_steps=stop), tmp_path / "parts")
    assert same(whole.model, parts.model)


def test_a_finished_run_leaves_weights_and_a_marker_and_returns_at_once(tmp_path):
    first = fit(small(), TASK, feeds(), CONFIG, tmp_path, checkpoint_seconds=0.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "result.json"]
    assert json.loads((tmp_path / "result.json").read_text())["steps"] == first.steps
    seen = []

    class Listening(Silent):
        def begin(self, name, steps, done=0):
            seen.append(name)

    again = fit(small(seed=5), TASK, feeds(), CONFIG, tmp_path, progress=Listening())
    assert seen == []
    assert same(first.model, again.model)
    assert dataclasses.astuple(first)[1:] == dataclasses.astuple(again)[1:]


def test_another_recipe_in_the_same_folder_is_refused(tmp_path):
    fit(small(), TASK, feeds(), CONFIG, tmp_path)
    with pytest.raises(CheckpointError, match=r"lr was 0\.003, now it is 0\.1.*another folder"):
        fit(small(), TASK, feeds(), changed(lr=0.1), tmp_path)


def test_another_recipe_in_the_folder_of_an_unfinished_run_is_refused(tmp_path):
    fit(small(), TASK, feeds(), changed(max_steps=2), tmp_path)
    (tmp_path / "result.json").unlink()
    with pytest.raises(CheckpointError, match="batch_size was 8, now it is 4"):
        fit(small(), TASK, feeds(), changed(batch_size=4), tmp_path)
    with pytest.raises(CheckpointError, match="the model has other layers"):
        fit(Dropping(width=5), TASK, feeds(), CONFIG, tmp_path)


def test_fewer_steps_than_were_taken_are_refused(tmp_path):
    fit(small(), TASK, feeds(), changed(max_steps=4), tmp_path)
    with pytest.raises(CheckpointError, match="a run of 4 steps, but max_steps=2"):
        fit(small(), TASK, feeds(), changed(max_steps=2), tmp_path)


def test_accumulated_batches_make_the_gradient_of_one_large_batch(tmp_path):
    """Without batch norm, two batches of 4 are one of 8."""
    steps = []
    for batch_size, accumulate in ((8, 1), (4, 2)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 3)).double()
        config = changed(
            batch_size=batch_size, accumulate=accumulate, max_steps=3, optimizer="sgd", weight_decay=0
        )
        data = {"train": feed(48, seed=0)}
        fit(_Double(model), TASK, data, config, tmp_path / str(batch_size))
        steps.append(model[1].weight.detach())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-6, atol=1e-9)


class _Double(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.double())


def test_equals_a_loop_written_by_hand(tmp_path):
    """Three steps of AdamW with warm-up, clipping and label smoothing, without foveate's trainer."""
    config = changed(epochs=1, clip=0.3, label_smoothing=0.1, warmup=0.4, weight_decay=0.1)
    ours, theirs = _Body(), _Body()
    theirs.load_state_dict(ours.state_dict())
    data = feeds()["train"]
    task = tasks["classification"].of({"classes": ("a", "b", "c")}, recipe=config)  # for the smoothing
    fit(ours, task, {"train": data}, config, tmp_path)
    groups = [{"params": [theirs.layer.weight]}, {"params": [theirs.layer.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, weight_decay=0.1)
    batches = train_batches(data.split, batch_size=8, seed=0, epoch=0, augment="crop_flip")
    rates = [3e-3 / 3, 3e-3 * 2 / 3, *(3e-3 * 0.5 * (1 + np.cos(np.pi * k / 4)) for k in range(4))]
    for batch, rate in zip(batches, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        logits = theirs(batch.images)
        target = torch.nn.functional.one_hot(batch.targets, 3) * 0.9 + 0.1 / 3
        (-(target * logits.log_softmax(1)).sum(1).mean()).backward()
        length = torch.sqrt(sum((p.grad**2).sum() for p in theirs.parameters()))
        for p in theirs.parameters():
            p.grad *= min(1.0, 0.3 / (float(length) + 1e-6))
        optimizer.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-6)


class _Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 12 * 12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def test_the_moving_average_is_what_is_kept_and_evaluated(tmp_path):
    config = changed(epochs=1, max_steps=4, ema=0.5, batch_size=50)
    config = dataclasses.replace(config, epochs=4)
    weights = []

    class Remembering(Silent):
        def advance(self, done):
            weights.append(model.layer.weight.detach().clone())

    model = _Body()
    start = model.layer.weight.detach().clone()
    result = fit(model, TASK, feeds(), config, tmp_path, progress=Remembering())
    average = start
    for step, weight in enumerate(weights):
        keep = min(0.5, (1 + step) / (10 + step))
        average = keep * average + (1 - keep) * weight
    torch.testing.assert_close(result.model.layer.weight.detach(), average)
    scores = evaluate(result.model, TASK, feeds()["val"]).records
    assert result.history[-1]["val_score"] == scores.mean()


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_step(tmp_path, clip):
    class Failing(_Body):
        calls = 0

        def forward(self, x):
            self.calls += self.training
            return super().forward(x) * (float("inf") if self.calls == 5 else 1.0)

    with pytest.raises(TrainingError, match=r"^step 5: .*learning rate 0\.00\d+.*ten times smaller"):
        fit(Failing(), TASK, feeds(), changed(clip=clip), tmp_path, checkpoint_seconds=0.0)
    weights, training = Checkpoints(tmp_path).load()
    assert training["position"]["step"] == 4  # the last good one; what is not a number was never kept
    assert all(value.isfinite().all() for value in weights.values())


def test_a_target_beyond_the_models_classes_is_named(tmp_path):
    with pytest.raises(DataError, match=r"0 to 2, but the model has 2 outputs.*classes=3"):
        fit(Dropping(classes=2), TASK, feeds(), CONFIG, tmp_path)


def test_a_model_that_returns_maps_is_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"expected \(B, classes\)"):
        fit(nn.Conv2d(3, 3, 1), TASK, feeds(), CONFIG, tmp_path)


def test_a_model_that_is_on_another_device_is_checked_there():
    TASK.ready(small().to("meta"), feed(4, seed=0))


def test_a_full_disk_is_told_and_the_run_can_go_on(tmp_path, monkeypatch):
    whole = fit(small(), TASK, feeds(), CONFIG, tmp_path / "whole")
    save, calls = tensor_module.save_file, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(tensor_module, "save_file", full)
    with pytest.raises(TrainingError, match=r"after step 4 cannot be written.*No space left.*Make room"):
        fit(small(), TASK, feeds(), CONFIG, tmp_path / "full", checkpoint_seconds=0.0)
    assert [p.name for p in (tmp_path / "full" / "checkpoint").iterdir()] == ["000000003"]
    again = fit(small(), TASK, feeds(), CONFIG, tmp_path / "full", checkpoint_seconds=0.0)
    assert same(whole.model, again.model)


def test_dropout_is_common_to_models_that_draw_other_numbers_elsewhere(tmp_path):
    """A variant that draws more numbers sees, from the next step on, the same dropout as the baseline."""
    seen: dict[str, list[torch.Tensor]] = {}

    class Greedy(_Body):
        def __init__(self, name: str, extra: int) -> None:
            super().__init__()
            self.name, self.extra = name, extra

        def forward(self, x):
            if self.training:
                seen.setdefault(self.name, []).append(torch.rand(3))
                torch.rand(self.extra)
            return super().forward(x)

    for name, extra in (("baseline", 0), ("variant", 100)):
        fit(Greedy(name, extra), TASK, feeds(), changed(epochs=1), tmp_path / name)
    assert len(seen["baseline"]) == 6
    assert all(torch.equal(a, b) for a, b in zip(seen["baseline"], seen["variant"], strict=True))
    assert not torch.equal(seen["baseline"][0], seen["baseline"][1])


def test_branching_keeps_the_baselines_weights_and_the_insertions_start(tmp_path):
    baseline = fit(small(), TASK, feeds(), CONFIG, tmp_path / "baseline").model
    variant = insert(small(seed=9), "se@blocks", example=torch.rand(2, 3, 12, 12))
    before = {k: v.clone() for k, v in variant.state_dict().items() if "foveate" in k}
    config = changed(max_steps=1, lr=1e-12, weight_decay=0.0, gate_reach=0.0)
    branch = fit(variant, TASK, feeds(), config, tmp_path / "variant", start_from=baseline.state_dict()).model
    state = branch.state_dict()
    assert len(before) > 4
    for name, value in {**before, **dict(baseline.named_parameters())}.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-9)


def test_branching_from_another_model_is_refused(tmp_path):
    state = {k.replace("body.fc", "body.head"): v for k, v in small().state_dict().items()}
    with pytest.raises(CheckpointError, match=r'2 keys missing, 2 too many.*"body.fc.weight" is missing'):
        fit(small(), TASK, feeds(), CONFIG, tmp_path, start_from=state)


def test_gates_open_and_the_history_says_how_far(tmp_path):
    model = insert(small(), "se@stage1+cbam@stage3", example=torch.rand(2, 3, 12, 12))
    assert len(gate_parameters(model)) == 2
    result = fit(model, TASK, feeds(), changed(), tmp_path)
    openings = result.history[-1]["openings"]
    assert len(openings) == 2
    assert all(abs(value) > 1e-3 for value in openings.values())


def test_an_inserted_run_stopped_and_continued_equals_undisturbed(tmp_path):
    models = [insert(small(), "cbam@stage1+cbam@stage3", example=torch.rand(2, 3, 12, 12))]
    models += [copy.deepcopy(models[0]) for _ in range(2)]
    whole = fit(models[0], TASK, feeds(), CONFIG, tmp_path / "whole")
    fit(models[1], TASK, feeds(), changed(max_steps=8), tmp_path / "parts")
    parts = fit(models[2], TASK, feeds(), CONFIG, tmp_path / "parts")
    assert same(whole.model, parts.model)


def test_mixed_precision_is_used_and_keeps_weights_in_full(tmp_path):
    kinds = []

    class Looking(_Body):
        def forward(self, x):
            y = super().forward(x)
            kinds.append(y.dtype)
            return y

    model = fit(Looking(), TASK, feeds(), changed(precision="bf16-mixed", epochs=1), tmp_path).model
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert set(kinds) == {torch.bfloat16}  # in training and in evaluation
