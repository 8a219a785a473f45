"""What training owes to any task: what judging does never reaches the weights, and parts take turns."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from foveate.train import TrainConfig, fit
from foveate.train.checkpoint import Checkpoints
from tests.train.own_task import Summing, Turns, sequence_feeds, summing
from tests.train.train_samples import same

CONFIG = TrainConfig(epochs=3, batch_size=4, lr=0.05, warmup=0.0)
FIGURES = ("epoch", "train_loss", "val_score", "lr")


@pytest.mark.parametrize("task", [Summing, Turns])
def test_how_a_task_judges_and_what_it_answers_changes_no_weight(tmp_path, task):
    judges = {
        "plain": task(),
        "drawing": task(draws=50),
        "texts": task(lambda rows: [str(row.tolist()) for row in rows]),
        "ragged": task(lambda rows: [row[: 1 + int(4 * row[0])] for row in rows]),
    }
    runs = [
        fit(summing(), judge, sequence_feeds(), CONFIG, tmp_path / name) for name, judge in judges.items()
    ]
    assert all(same(runs[0].model, run.model) for run in runs)
    unseen = fit(summing(), task(), {"train": sequence_feeds()["train"]}, CONFIG, tmp_path / "no val")
    assert same(runs[0].model, unseen.model) and unseen.val_score is None
    scores = [[entry["val_score"] for entry in run.history] for run in runs]
    assert scores == scores[:1] * len(runs) and scores[0][-1] < scores[0][0]


@pytest.mark.parametrize("stop", [1, 7, 10])
def test_parts_stopped_and_continued_equal_undisturbed(tmp_path, stop):
    config = dataclasses.replace(CONFIG, ema=0.9)
    whole = fit(summing(), Turns(), sequence_feeds(), config, tmp_path / "whole")
    part = dataclasses.replace(config, max_steps=stop)
    fit(summing(), Turns(), sequence_feeds(), part, tmp_path / "parts")
    parts = fit(summing(5), Turns(), sequence_feeds(), config, tmp_path / "parts")
    assert same(whole.model, parts.model)
    figures = (*FIGURES, "losses")
    assert [[e[f] for f in figures] for e in whole.history] == [
        [e[f] for f in figures] for e in parts.history
    ]


def test_parts_take_the_steps_of_two_optimizers_written_by_hand(tmp_path):
    """The second at every other step, at half the rate, on a loss of its own, with moments of its own."""
    config = dataclasses.replace(CONFIG, epochs=1, clip=None, weight_decay=0.0)
    ours, theirs = summing(), summing()
    data = sequence_feeds()["train"]
    history = fit(ours, Turns(), {"train": data}, config, tmp_path).history
    first = torch.optim.AdamW(theirs[0].parameters(), weight_decay=0.0)
    second = torch.optim.AdamW(theirs[1].parameters(), betas=(0.5, 0.9), weight_decay=0.0)
    losses = {"first": [], "second": []}
    for step, batch in enumerate(data.train(batch_size=4, seed=0, epoch=0)):
        rate = 0.05 * 0.5 * (1 + np.cos(np.pi * step / 6))
        for name, optimizer, factor in (("first", first, 1.0), ("second", second, 3.0)):
            if name == "second" and step % 2 == 0:
                continue
            optimizer.param_groups[0]["lr"] = rate * (1.0 if name == "first" else 0.5)
            theirs.zero_grad()
            loss = factor * (theirs(batch.rows)[:, 0] - batch.sums).square().mean()
            loss.backward()
            optimizer.step()
            losses[name].append(loss.item())
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-6)
    means = {name: pytest.approx(np.mean(found), rel=1e-4) for name, found in losses.items()}
    assert history[0]["losses"] == means and history[0]["train_loss"] == means["first"]


class Unnamed(Turns):
    """Parts of which the first has the name that a single one has."""

    def parts(self, model):
        return {"" if name == "first" else name: part for name, part in super().parts(model).items()}


def test_a_part_without_a_name_beside_another_keeps_both_optimizers(tmp_path):
    whole = fit(summing(), Unnamed(), sequence_feeds(), CONFIG, tmp_path / "whole")
    fit(summing(), Unnamed(), sequence_feeds(), dataclasses.replace(CONFIG, max_steps=4), tmp_path / "parts")
    assert same(whole.model, fit(summing(), Unnamed(), sequence_feeds(), CONFIG, tmp_path / "parts").model)


def test_a_checkpoint_of_an_earlier_version_is_continued(tmp_path):
    """Without ``losses``, which only several parts have, and without checksums and the number of threads."""
    whole = fit(summing(), Summing(), sequence_feeds(), CONFIG, tmp_path / "whole")
    folder = tmp_path / "old"
    fit(summing(), Summing(), sequence_feeds(), dataclasses.replace(CONFIG, max_steps=8), folder)
    _, training = Checkpoints(folder).load()
    del training["position"]["losses"], training["threads"]
    (step,) = (folder / "checkpoint").iterdir()
    (step / "checksums.json").unlink()
    torch.save(training, step / "training.pt")
    (folder / "result.json").unlink()
    assert same(whole.model, fit(summing(5), Summing(), sequence_feeds(), CONFIG, folder).model)


def test_a_result_of_an_earlier_version_is_read(tmp_path):
    """Without the checksum of the weights, and without the score of those that were kept."""
    first = fit(summing(), Summing(), sequence_feeds(), CONFIG, tmp_path)
    marker, weights = tmp_path / "result.json", load_file(tmp_path / "model.safetensors")
    record = json.loads(marker.read_text())
    assert all("losses" not in entry for entry in record["history"])
    del record["checksum"], record["val_score"]
    marker.write_text(json.dumps(record))
    again = fit(summing(5), Summing(), sequence_feeds(), CONFIG, tmp_path)
    assert again.history == first.history and again.val_score is None
    assert all(torch.equal(value, weights[name]) for name, value in again.model.state_dict().items())
