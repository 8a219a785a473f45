import numpy as np
import pytest
import torch
from torch import nn

from foveate.data.image_feed import ImageFeed
from foveate.nested_tensors import tensors_in
from foveate.running import eval_mode
from foveate.tasks import tasks
from foveate.train import TrainConfig, evaluate
from tests.train.own_task import SequenceFeed, Summing, summing
from tests.train.train_samples import feed, small, split

TASK = tasks["classification"]()


def test_records_and_answers_come_item_by_item_in_order():
    data, model = split(23, seed=3), small().eval()
    found = evaluate(model, TASK, ImageFeed(data), batch_size=7)
    with torch.no_grad():
        images = torch.from_numpy(data.images.copy()).float() / 255 * 2 - 1
        expected = model(images).softmax(1)
    np.testing.assert_allclose(found.answers, expected.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.records, expected.argmax(1).numpy() == data.targets)
    assert found.records.dtype == np.float64 and found.score == found.records.mean()
    chosen = expected[torch.arange(23), torch.from_numpy(data.targets)]
    np.testing.assert_allclose(found.loss, -chosen.log().mean().item(), rtol=1e-5)


def test_normalisation_and_size_are_those_of_the_feed():
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean((2, 3))

    seen: list[torch.Tensor] = []
    data = split(4, seed=0)
    evaluate(Mean(), TASK, ImageFeed(data, TrainConfig(size=8), (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)))
    expected = data.images[:, :, 2:-2, 2:-2] / 255
    expected = (expected - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array([1, 2, 4])[:, None, None]
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_every_module_is_left_in_its_mode():
    model = small().train()
    model.body.bn1.eval()  # frozen by the user
    before = [m.training for m in model.modules()]
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    evaluate(model, TASK, feed(9, seed=0))
    assert [m.training for m in model.modules()] == before
    assert all(torch.equal(v, weights[k]) for k, v in model.state_dict().items())
    try:
        with eval_mode(model):
            raise KeyError
    except KeyError:
        assert [m.training for m in model.modules()] == before


def test_training_can_go_on_after_an_evaluation():
    """A module that keeps a tensor from evaluation can use it in training: it is no inference tensor."""

    class Keeping(nn.Linear):
        kept: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.kept = torch.ones(3) * 2 if self.kept is None else self.kept
            return super().forward(x.mean((2, 3))) * self.kept

    model = Keeping(3, 3)
    evaluate(model, TASK, feed(4, seed=0))
    model(torch.rand(2, 3, 8, 8)).sum().backward()


def _ragged(rows):
    """Arrays whose lengths differ from item to item."""
    return [row[: 1 + int(4 * row[0])] for row in rows]


def _boxes(rows):
    return [{"box": row, "scores": (row[:1], [row[0].item()])} for row in rows]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_ragged, list),
        (lambda rows: rows.sum(dim=1), np.ndarray),
        (lambda rows: rows[:, : len(rows)], list),  # batches of 4, 4 and 2: arrays that do not join
        (lambda rows: [f"{row.sum():.3f}" for row in rows], list),
        (_boxes, list),
    ],
)
def test_answers_of_any_kind_come_item_by_item_in_order(answer, kind):
    rows = SequenceFeed(10, seed=1)
    found = evaluate(summing(), Summing(answer), rows, batch_size=4)
    wanted = [each for batch in rows.test(4) for each in answer(batch.rows)]
    assert isinstance(found.answers, kind) and len(found.answers) == len(rows)
    assert not any(tensors_in(found.answers))
    for ours, theirs in zip(found.answers, wanted, strict=True):
        np.testing.assert_equal(_plain(ours), _plain(theirs))
    assert np.isnan(found.loss)  # the task has none for judging


def _plain(answer):
    if isinstance(answer, dict):
        return {name: _plain(value) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [_plain(each) for each in answer]
    return answer.tolist() if hasattr(answer, "tolist") else answer


def test_judging_is_seeded_alike_and_leaves_the_callers_random_numbers_alone():
    model, rows, found = summing(), SequenceFeed(10, seed=1), []
    for seed in (5, 6):
        torch.manual_seed(seed)
        expected = torch.rand(4)
        torch.manual_seed(seed)
        found.append(evaluate(model, Summing(draws=2), rows, batch_size=4).records)
        assert torch.equal(torch.rand(4), expected)
    np.testing.assert_array_equal(*found)
    assert len({*found[0][:, 1]}) == 10  # it did draw
