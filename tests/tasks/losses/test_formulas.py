"""Each loss against its formula in plain loops, and against other libraries where they have it."""

import itertools
import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision

from foveate.errors import OptionError
from foveate.tasks.losses import parse_loss
from tests.each import each
from tests.tasks.losses.test_losses import example

WEIGHTS = torch.tensor([0.5, 2.0, 3.0, 1.5], dtype=torch.float64)
weighing = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighed"])


def pixels(logits, targets):
    """Yield (image, place, probabilities, class) of every known pixel."""
    p = logits.softmax(dim=1)
    for place in np.ndindex(*targets.shape):
        if targets[place] != 255:
            yield place[0], place[1:], p[(place[0], slice(None), *place[1:])].tolist(), int(targets[place])


def mean(pairs):
    """Return the mean of (value, weight) pairs."""
    pairs = list(pairs)
    return sum(v * w for v, w in pairs) / sum(w for _, w in pairs)


def weight(weights, c):
    return 1.0 if weights is None else weights[c].item()


@weighing
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(weights, smoothing):
    logits, targets = example()
    total = parts = 0.0
    for _, _, p, c in pixels(logits, targets):
        parts += weight(weights, c)
        for k, q in enumerate(p):
            total -= weight(weights, k) * ((1 - smoothing) * (k == c) + smoothing / 4) * math.log(q)
    found = parse_loss(f"ce(label_smoothing={smoothing})")(logits, targets, weights)
    assert found.item() == pytest.approx(total / parts)
    torchs = torch.nn.CrossEntropyLoss(weights, ignore_index=255, label_smoothing=smoothing)
    torch.testing.assert_close(found, torchs(logits, targets))


def dice(group, c, smooth, square, doubled):
    both = sum(p[c] for *_, p, t in group if t == c)
    given = sum(p[c] ** (2 if square else 1) for *_, p, t in group)
    true = sum(t == c for *_, t in group)
    below = given + true + smooth
    return (2 * (both + smooth) if doubled else 2 * both + smooth) / below if below else 1.0


@each(
    itertools.product(
        (None, WEIGHTS),
        ("batch", "image"),
        ("all", "present"),
        [(1, False, True, False), (0, True, True, False), (0.01, False, False, True)],
    )
)
def test_dice(chosen):
    weights, over, classes, (smooth, square, background, doubled) = chosen
    logits, targets = example()
    every = list(pixels(logits, targets))
    groups = [every] if over == "batch" else [[x for x in every if x[0] == i] for i in range(3)]
    pairs = []
    for group in groups:
        for c in range(0 if background else 1, 4):
            if classes == "all" or any(t == c for *_, t in group):
                pairs.append((1 - dice(group, c, smooth, square, doubled), weight(weights, c)))
    text = f"dice(smooth={smooth}, square={square}, over={over}, classes={classes}, background={background}, "
    found = parse_loss(f"{text}doubled={doubled})")(logits, targets, weights)
    assert found.item() == pytest.approx(mean(pairs))


def test_dice_is_that_of_another_library():
    logits, _ = example()
    targets = torch.arange(3 * 5 * 6).view(3, 5, 6) % 4
    other = smp.losses.DiceLoss("multiclass", smooth=0.25)  # added before theirs doubles both lines
    torch.testing.assert_close(parse_loss("dice(smooth=0.5)")(logits, targets), other(logits, targets))


@weighing
@pytest.mark.parametrize("gamma, alpha", [(2.0, None), (0.5, 0.25), (0, None)])
def test_focal(weights, gamma, alpha):
    logits, targets = example()
    pairs = []
    for _, _, p, c in pixels(logits, targets):
        a = 1 if alpha is None else alpha if c else 1 - alpha
        pairs.append((-a * (1 - p[c]) ** gamma * math.log(p[c]), weight(weights, c)))
    found = parse_loss(f"focal(gamma={gamma}, alpha={alpha})")(logits, targets, weights)
    assert found.item() == pytest.approx(mean(pairs))


def test_focal_of_one_channel_is_the_sigmoid_one():
    x = example(classes=1)[0]
    y = (torch.arange(x.numel()).view(x.shape) % 3 == 0).to(x)
    other = torchvision.ops.sigmoid_focal_loss(x, y, alpha=0.25, gamma=2, reduction="mean")
    torch.testing.assert_close(parse_loss("focal(alpha=0.25)")(x, y[:, 0].long()), other)


def lovasz(group, c):
    """Return the sum of what each wrong pixel adds to the Jaccard loss of sets, the worst first."""
    errors = sorted(((1 - p[c] if t == c else p[c], t == c) for *_, p, t in group), reverse=True)
    true, total, before = sum(t for _, t in errors), 0.0, 0.0
    for count, (error, _) in enumerate(errors, 1):
        missed = sum(t for _, t in errors[:count])
        jaccard_loss = 1 - (true - missed) / (true + count - missed)
        total, before = total + error * (jaccard_loss - before), jaccard_loss
    return total


@weighing
@pytest.mark.parametrize("over", ["batch", "image"])
@pytest.mark.parametrize("classes", ["all", "present"])
def test_lovasz(weights, over, classes):
    logits, targets = example()
    every = list(pixels(logits, targets))
    groups = [every] if over == "batch" else [[x for x in every if x[0] == i] for i in range(3)]
    pairs = [
        (lovasz(group, c), weight(weights, c))
        for group in groups
        for c in range(4)
        if classes == "all" or any(t == c for *_, t in group)
    ]
    found = parse_loss(f"lovasz(over={over}, classes={classes})")(logits, targets, weights)
    assert found.item() == pytest.approx(mean(pairs))


@pytest.mark.parametrize("over", ["batch", "image"])
def test_lovasz_is_that_of_another_library(over):
    logits, targets = example(dtype=torch.float32)
    targets[1] = torch.arange(30).view(5, 6) % 4
    if over == "image":  # theirs takes the mean over the classes of each image first
        targets[:] = targets[1]
    other = smp.losses.LovaszLoss("multiclass", per_image=over == "image", ignore_index=255)
    torch.testing.assert_close(parse_loss(f"lovasz(over={over})")(logits, targets), other(logits, targets))


def test_lovasz_of_sure_answers_is_1_minus_iou():
    truth = torch.tensor([[[0, 0, 1, 1, 1, 0]]])
    given = torch.tensor([[[0, 1, 1, 1, 0, 0]]])
    sure = 1e3 * torch.nn.functional.one_hot(given).permute(0, 3, 1, 2).double()
    assert parse_loss("lovasz")(sure, truth).item() == pytest.approx(1 - (2 / 4 + 2 / 4) / 2)


def signed_distance(truth, place, c):
    """Return the distance of one pixel from class c by looking at every other."""
    inside = truth[place] == c
    others = [math.dist(place, other) for other in np.ndindex(*truth.shape) if (truth[other] == c) != inside]
    return 0.0 if not others else 1 - min(others) if inside else min(others)


@weighing
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("size", [(5, 6), (3, 4, 3)])
def test_boundary(weights, background, size):
    logits, targets = example(size=size, batch=2)
    targets[1] = 1  # everywhere: no boundary
    first, sums = 0 if background else 1, np.zeros(4)
    every = list(pixels(logits, targets))
    for image, place, p, _ in every:
        sums += [p[c] * signed_distance(targets[image].numpy(), place, c) for c in range(4)]
    pairs = [(sums[c] / len(every), weight(weights, c)) for c in range(first, 4)]
    found = parse_loss(f"boundary(background={background})")(logits, targets, weights)
    assert found.item() == pytest.approx(mean(pairs))


def hard(losses, unknown, rule, threshold, share):
    """Return which pixels are kept, in the words of the two public versions."""
    order = sorted(range(len(losses)), key=lambda i: -losses[i])
    if rule == "loss":
        least = int(share * len(losses))
        kept = [i for i in order if losses[i] > -math.log(threshold)]
        return kept if len(kept) >= least else order[:least]
    least = int(share * (len(losses) + unknown))
    if least >= len(losses):
        return order
    bar = max(threshold, math.exp(-losses[order[least - 1]])) if least else threshold
    return [i for i in order if math.exp(-losses[i]) <= bar * (1 + 1e-12)]


@each(
    itertools.product((None, WEIGHTS), ("loss", "probability"), (0.7, 0.1, 1e-3), (0, 0.0625, 0.5, 0.95, 1))
)
def test_hard_examples(chosen):
    weights, rule, threshold, share = chosen
    logits, targets = example()
    every = list(pixels(logits, targets))
    losses = [-math.log(p[c]) for *_, p, c in every]
    kept = hard(losses, targets.numel() - len(every), rule, threshold, share)
    expected = mean((losses[i], weight(weights, every[i][3])) for i in kept) if kept else 0
    text = f"ohem(rule={rule}, threshold={threshold}, min_share={share})"
    assert parse_loss(text)(logits, targets, weights).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "text, said",
    [
        ("ce(label_smoothing=2)", "label_smoothing: got 2, expected a number from 0 to 1"),
        ("dice(smooth=-1)", "smooth: got -1, expected a number of at least 0"),
        ("dice(square=1)", "square: got 1, expected True or False"),
        ("dice(over=pixel)", "over: got 'pixel', expected one of batch, image"),
        ("focal(gamma=-1)", "gamma: got -1"),
        ("focal(alpha=1.5)", "alpha: got 1.5"),
        ("lovasz(classes=some)", "classes: got 'some', expected one of present, all"),
        ("boundary(background=no)", "background: got 'no', expected True or False"),
        ("ohem(threshold=0)", "threshold: got 0, expected a number above 0"),
        ("ohem(min_share=2)", "min_share: got 2"),
        ("ohem(rule=authors)", "rule: got 'authors', expected one of loss, probability"),
    ],
)
def test_impossible_options_are_refused(text, said):
    with pytest.raises(OptionError, match=said):
        parse_loss(text)
