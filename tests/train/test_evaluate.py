import numpy as np
import torch
from torch import nn

from foveate.running import eval_mode
from foveate.tasks import tasks
from foveate.train import evaluate
from tests.train.train_samples import small, split

TASK = tasks["classification"]()


def test_records_and_answers_come_item_by_item_in_order():
    data, model = split(23, seed=3), small().eval()
    found = evaluate(model, TASK, data, batch_size=7)
    with torch.no_grad():
        images = torch.from_numpy(data.images.copy()).float() / 255 * 2 - 1
        expected = model(images).softmax(1)
    np.testing.assert_allclose(found.answers, expected.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.records, expected.argmax(1).numpy() == data.targets)
    assert found.records.dtype == np.float64 and found.score == found.records.mean()
    chosen = expected[torch.arange(23), torch.from_numpy(data.targets)]
    np.testing.assert_allclose(found.loss, -chosen.log().mean().item(), rtol=1e-5)


def test_normalisation_is_that_of_the_caller():
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean((2, 3))

    seen: list[torch.Tensor] = []
    data = split(4, seed=0)
    evaluate(Mean(), TASK, data, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0), size=8)
    expected = data.images[:, :, 2:-2, 2:-2] / 255
    expected = (expected - np.array([0.1, 0.2, 0.3])[:, None, None]) / np.array([1, 2, 4])[:, None, None]
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_every_module_is_left_in_its_mode():
    model = small().train()
    model.body.bn1.eval()  # frozen by the user
    before = [m.training for m in model.modules()]
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    evaluate(model, TASK, split(9, seed=0))
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
    evaluate(model, TASK, split(4, seed=0))
    model(torch.rand(2, 3, 8, 8)).sum().backward()
