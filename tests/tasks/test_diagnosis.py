from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from foveate.errors import DataError, OptionError, ShapeError
from foveate.tasks import tasks
from foveate.tasks.metrics.auroc import auroc, mean_present, sensitivity, sensitivity_at, specificity

TASK = tasks["diagnosis"](("NORMAL", "PNEUMONIA"))


def some(*targets):
    targets = torch.tensor(targets)
    return SimpleNamespace(images=torch.zeros(len(targets), 3, 8, 8), targets=targets)


def answers(seed, items=60, findings=3, ties=False):
    rng = np.random.default_rng(seed)
    truths = (rng.random((items, findings)) < 0.3).astype(np.float64)
    probabilities = rng.random((items, findings)) * 0.7 + 0.3 * truths
    return (probabilities.round(1) if ties else probabilities), truths


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_scikit_learn(seed, ties):
    probabilities, truths = answers(seed, ties=ties)
    expected = [roc_auc_score(truths[:, k], probabilities[:, k]) for k in range(3)]
    np.testing.assert_allclose(auroc(probabilities, truths), expected, rtol=1e-12)


def test_the_area_counts_pairs():
    probabilities, truths = answers(0, items=20, findings=1, ties=True)
    yes, no = probabilities[truths == 1], probabilities[truths == 0]
    pairs = [(a > b) + 0.5 * (a == b) for a in yes for b in no]
    assert auroc(probabilities, truths)[0] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("wanted", [0.0, 0.5, 0.9, 1.0])
def test_sensitivity_at_a_specificity_is_a_point_of_the_curve(wanted, ties):
    probabilities, truths = answers(1, ties=ties)
    for k, found in enumerate(sensitivity_at(probabilities, truths, wanted)):
        wrong, right, _ = roc_curve(truths[:, k], probabilities[:, k], drop_intermediate=False)
        assert found == pytest.approx(right[wrong <= 1 - wanted + 1e-9].max())


def test_a_tenth_of_false_alarms_is_a_tenth():
    probabilities = np.array([[0.9], [0.8], *([[0.1]] * 9), [0.85]])
    truths = np.array([[0], *([[0]] * 9), [1], [1]])
    assert sensitivity_at(probabilities, truths, 0.9)[0] == 0.5  # one of ten may be above
    assert sensitivity_at(probabilities, truths, 0.91)[0] == 0.0


def test_sensitivity_and_specificity_at_a_half():
    probabilities = np.array([[0.9, 0.5], [0.2, 0.6], [0.6, 0.4], [0.5, 0.1]])
    truths = np.array([[1, 1], [1, 0], [0, 0], [0, 1]])
    assert sensitivity(probabilities, truths).tolist() == [0.5, 0.0]
    assert specificity(probabilities, truths).tolist() == [0.5, 0.5]


def test_a_finding_of_no_item_or_of_all_has_no_score_and_is_left_out_of_the_mean():
    probabilities, truths = answers(2)
    truths[:, 0], truths[:, 2] = 0, 1
    for score in (auroc, sensitivity_at, sensitivity, specificity):
        found = score(probabilities, truths)
        assert np.isnan(found[[0, 2]]).all()
        assert mean_present(found) == found[1]
    assert np.isnan(mean_present(auroc(probabilities, np.zeros_like(truths))))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ShapeError, match="findings"):
        auroc(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_papers_written_out(smoothing):
    logits, rows = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), [[1, 0], [0, 1]]
    expected = 0.0
    for scores, truths in zip(logits.tolist(), rows, strict=True):
        for x, truth in zip(scores, truths, strict=True):
            p, wanted = 1 / (1 + np.exp(-x)), truth * (1 - smoothing) + smoothing / 2
            expected -= (wanted * np.log(p) + (1 - wanted) * np.log(1 - p)) / 4
    for targets in ((0, 1), rows):  # folders of one class an image, and several findings an image
        found = TASK.loss_of(logits, some(*targets), label_smoothing=smoothing)
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_one_output_is_the_second_of_two_classes():
    x = torch.tensor([[2.0], [-1.0], [0.3]])
    both = torch.cat([-x, x], dim=1)
    assert TASK.loss_of(x, some(0, 1, 1)).item() == pytest.approx(TASK.loss_of(both, some(0, 1, 1)).item())
    torch.testing.assert_close(TASK.record(x, some(0, 1, 1)), TASK.record(both, some(0, 1, 1)))


def test_findings_weigh_in_the_loss_as_they_are_told_to():
    logits, batch = torch.tensor([[2.0, -1.0]]), some(1)
    weighed = tasks["diagnosis"](("a", "b"), class_weights=(0.0, 2.0)).loss_of(logits, batch)
    assert weighed.item() == pytest.approx(-np.log(1 / (1 + np.e)))
    one = tasks["diagnosis"](("a", "b"), class_weights=(0.0, 2.0)).loss_of(logits[:, 1:], batch)
    assert one.item() == pytest.approx(2 * weighed.item())


def test_the_metric_of_any_items_follows_from_their_records():
    rng = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(40, 3, generator=rng), torch.randint(0, 3, (40,), generator=rng)
    batch = SimpleNamespace(images=torch.zeros(40, 3, 8, 8), targets=targets)
    records = TASK.record(logits, batch).numpy()
    kept = np.arange(0, 40, 3)
    truths = np.eye(3)[targets.numpy()]
    probabilities = logits.sigmoid().double().numpy()
    expected = [roc_auc_score(truths[kept, k], probabilities[kept, k]) for k in range(3)]
    assert TASK.value(records[kept]) == pytest.approx(np.mean(expected))
    np.testing.assert_allclose(TASK.by_class(records[kept]), expected)
    assert TASK.figures(records) == {
        "sensitivity at 90 % specificity": pytest.approx(100 * sensitivity_at(probabilities, truths).mean()),
        "sensitivity": pytest.approx(100 * sensitivity(probabilities, truths).mean()),
        "specificity": pytest.approx(100 * specificity(probabilities, truths).mean()),
    }
    assert torch.equal(TASK.answer(logits), logits.sigmoid())
    assert not TASK.metric.averages


def test_the_specificity_can_be_said():
    task = tasks["diagnosis"](("a",), metric="auroc(specificity=0.95)")
    assert next(iter(task.figures(np.array([[0.1, 0], [0.2, 1]])))) == "sensitivity at 95 % specificity"


@pytest.mark.parametrize(
    "options",
    [{"loss": "ce"}, {"metric": "accuracy"}, {"metric": "auroc(x=1)"}, {"metric": "auroc(specificity=2)"}],
)
def test_choices_that_there_are_not(options):
    with pytest.raises(OptionError):
        tasks["diagnosis"](("a",), **options)


@pytest.mark.parametrize(
    "logits, targets, error",
    [
        (torch.zeros(2, 3, 4, 4), np.array([0, 1]), ShapeError),
        (torch.zeros(2, 3), np.array([0, 3]), DataError),
        (torch.zeros(2, 1), np.array([0, 2]), DataError),
        (torch.zeros(2, 3), np.array([[0, 1], [1, 1]]), ShapeError),
        (torch.zeros(2, 2), np.array([[0, 1], [1, 2]]), DataError),
    ],
)
def test_targets_that_do_not_fit_are_told(logits, targets, error):
    with pytest.raises(error):
        TASK.check_outputs(logits, targets)
    TASK.check_outputs(torch.zeros(2, 3), np.array([0, 2]))
    TASK.check_outputs({"out": torch.zeros(2, 2)}, np.array([[0, 1], [1, 0]]))
