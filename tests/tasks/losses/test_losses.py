"""What holds for every loss of dense labels, whatever it computes."""

import pytest
import torch

from foveate.errors import DataError, ShapeError
from foveate.spelling import options_of
from foveate.tasks.losses import losses, parse_loss
from tests.each import each

VARIANTS = {  # each option of each loss, with another value than its own
    "ce": ["label_smoothing=0.2"],
    "dice": [
        "smooth=0.1",
        "square=True",
        "over=image",
        "classes=present",
        "background=False",
        "doubled=True",
    ],
    "focal": ["gamma=0.5", "alpha=0.25"],
    "lovasz": ["over=image", "classes=all"],
    "boundary": ["background=True"],
    "ohem": ["threshold=0.4", "min_share=0.9", "rule=probability"],
}
EVERY = [*VARIANTS, *(f"{name}({option})" for name, options in VARIANTS.items() for option in options)]
every = each([*EVERY, "ce+0.5*dice+0.01*boundary"])


def example(classes=4, size=(5, 6), batch=3, dtype=torch.float64):
    """Logits and targets: class 2 is nowhere, class 1 only in the first image, some pixels are unknown."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, *size, generator=draw, dtype=dtype)
    targets = 3 * torch.randint(0, 2, (batch, *size), generator=draw)
    targets[0, 1:3, 1:4] = 1
    targets[:, 0, ::2] = 255
    return logits, targets.clamp(max=255)


def test_every_option_of_every_loss_is_tried():
    assert {name: {o.partition("=")[0] for o in options} for name, options in VARIANTS.items()} == {
        name: set(options_of(cls)) for name, cls in losses.items()
    }


@each(v for v in EVERY if "(" in v)
def test_every_option_matters(variant):
    logits, targets = example()
    name, option = variant[:-1].split("(")
    # What hard pixels are kept at least shows when few are hard enough.
    beside = ", threshold=0.01, min_share=0.3" if "rule" in option else ""
    beside = ", threshold=0.01" if "min_share" in option else beside
    plain = f"{name}({beside[2:]})" if beside else name
    assert parse_loss(f"{name}({option}{beside})")(logits, targets) != parse_loss(plain)(logits, targets)


@every
def test_gradient_is_that_of_the_value(loss):
    logits, targets = example(size=(3, 2), batch=2)
    weights = torch.tensor([0.5, 2.0, 1.0, 1.5])
    assert torch.autograd.gradcheck(
        lambda x: parse_loss(loss)(x, targets, weights), logits.requires_grad_(), fast_mode=True
    )


@every
def test_unknown_pixels_neither_count_nor_learn(loss):
    logits, targets = example()
    other = logits + 10 * torch.randn_like(logits) * (targets == 255).unsqueeze(1)
    assert torch.equal(parse_loss(loss)(logits, targets), parse_loss(loss)(other, targets))
    logits.requires_grad_()
    parse_loss(loss)(logits, targets).backward()
    per_pixel = logits.grad.abs().sum(dim=1)
    assert not per_pixel[targets == 255].any()
    assert per_pixel.any()


@every
def test_a_batch_that_nobody_knows_is_0_and_teaches_nothing(loss):
    logits, targets = example()
    value = parse_loss(loss)(logits.requires_grad_(), torch.full_like(targets, 255), torch.rand(4))
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@every
def test_one_channel_is_two_classes_by_a_sigmoid(loss):
    x, targets = example(classes=1)[0], example()[1].clamp(max=1) + 254 * (example()[1] == 255)
    two = torch.cat([torch.zeros_like(x), x], dim=1)
    weights = torch.tensor([0.3, 0.7])
    assert torch.equal(parse_loss(loss)(x, targets, weights), parse_loss(loss)(two, targets, weights))
    p = x.sigmoid()
    logs = torch.cat([(1 - p).log(), p.log()], dim=1)
    torch.testing.assert_close(parse_loss(loss)(x, targets), parse_loss(loss)(logs, targets))


@every
def test_a_volume_of_one_slice_is_an_image(loss):
    logits, targets = example()
    flat = parse_loss(loss)(logits, targets)
    torch.testing.assert_close(parse_loss(loss)(logits.unsqueeze(2), targets.unsqueeze(1)), flat)


@every
def test_half_precision_is_computed_in_single(loss):
    logits, targets = example(dtype=torch.bfloat16)
    value = parse_loss(loss)(logits, targets)
    assert value.dtype == torch.float32 and value.ndim == 0
    assert torch.equal(value, parse_loss(loss)(logits.float(), targets))
    torch.testing.assert_close(
        value.double(), parse_loss(loss)(logits.double(), targets), rtol=1e-5, atol=1e-6
    )


@every
def test_only_the_proportions_of_class_weights_count(loss):
    logits, targets = example()
    plain = parse_loss(loss)(logits, targets)
    torch.testing.assert_close(parse_loss(loss)(logits, targets, torch.full((4,), 3.0)), plain)
    uneven = torch.tensor([1.0, 2.0, 3.0, 4.0])
    weighed = parse_loss(loss)(logits, targets, uneven)
    torch.testing.assert_close(parse_loss(loss)(logits, targets, 7 * uneven), weighed)
    assert weighed != plain


@every
def test_the_order_of_images_does_not_matter(loss):
    logits, targets = example()
    torch.testing.assert_close(
        parse_loss(loss)(logits.flip(0), targets.flip(0)), parse_loss(loss)(logits, targets)
    )


@every
def test_extreme_logits_stay_finite(loss):
    logits, targets = example(dtype=torch.float32)
    logits = (1e4 * logits).requires_grad_()
    value = parse_loss(loss)(logits, targets)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@every
def test_a_step_against_the_gradient_helps(loss):
    logits, targets = example()
    before = parse_loss(loss)(logits.requires_grad_(), targets)
    before.backward()
    assert parse_loss(loss)(logits.detach() - 1e-3 * logits.grad, targets) < before


def test_what_does_not_fit_is_refused():
    logits, targets = example()
    loss = parse_loss("ce+dice")
    for wrong in (logits[:, :, :4], logits[:2], logits[:, 0], logits.long()):
        with pytest.raises(ShapeError, match="expected floating point"):
            loss(wrong, targets)
    with pytest.raises(ShapeError, match=r"int32, expected .* \.long\(\)"):
        loss(logits, targets.int())
    with pytest.raises(DataError, match=r"hold -1, 7, but there are logits for classes 0 to 3"):
        loss(logits, targets.where(targets != 3, 7).where(targets != 1, -1))
    with pytest.raises(ShapeError, match=r"class_weights \(3,\), expected \(4,\)"):
        loss(logits, targets, torch.ones(3))
    with pytest.raises(DataError, match="255 marks ignored pixels"):
        loss(torch.zeros(1, 256, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long))
