"""What holds for every segmentation system: sizes, batches, copies, half precision, cost, graphs."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import foveate as fv

TINY = "timm/test_resnet"  # five stages of one block
SMALL = {
    "fcn": {"encoder": TINY},
    "unet": {"encoder": TINY, "widths": (8, 8, 8, 4, 4)},
    "pan": {"encoder": TINY},
    "deeplabv3plus": {"encoder": TINY, "width": 16},
    "u2netp": {},
    "attention_unet": {"widths": (4, 8, 12)},
}
ATTENTION = {  # for what else holds for these, see test_attention_systems
    "bisenet": {"encoder": TINY, "aux_width": 8},
    "danet": {"encoder": TINY},
    "ccnet": {"encoder": TINY},
    "psanet": {"encoder": TINY, "size": 9},
    "encnet": {"encoder": TINY, "lateral": True},
    "ocnet": {"encoder": TINY},
    "attention_to_scale": {"encoder": TINY, "width": 16, "hidden": 8, "scales": (1.0, 0.5)},
}
ALL = {**SMALL, **ATTENTION}
DEEP = {"classes": 21, "encoder": "resnet101"}
slow, nightly = (partial(pytest.param, marks=mark) for mark in (pytest.mark.slow, pytest.mark.nightly))


def small(name, **options):
    return fv.create_model(name, classes=2, **ALL[name], **options)


def some(names, *gate):
    """Return the names, of which the gate takes some and the nightly run the others."""
    return [pytest.param(n, marks=pytest.mark.slow if n in gate else pytest.mark.nightly) for n in names]


def quick(names, *gate):
    """Return the names, of which `make test` leaves out those that the gate takes."""
    return [pytest.param(n, marks=pytest.mark.slow) if n in gate else n for n in names]


def drawn(model):
    """Draw running statistics, so that evaluation is not that of a fresh network."""
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            torch.nn.init.normal_(module.running_mean, std=0.05)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("name", quick(SMALL, "u2netp"))
def test_logits_of_any_size_that_do_not_depend_on_the_rest_of_the_batch(name):
    model = drawn(small(name, in_channels=4))
    with torch.no_grad():
        for size in ((64, 64), (65, 97), (33, 47), (1, 1), (2, 30)):
            x = torch.rand(2, 4, *size)
            both = model(x)
            assert both.shape == (2, 2, *size)
            torch.testing.assert_close(both[1:], model(x[1:]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [n for n in SMALL if n != "u2netp"] + [nightly("u2netp")])
def test_a_copy_is_the_same_network(name):
    model, x = drawn(small(name)), torch.rand(1, 3, 17, 33)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            assert torch.equal(other(x), model(x))


@pytest.mark.parametrize(
    "name",
    [nightly("u2netp"), *quick([n for n in ALL if n != "u2netp"], "pan", "attention_to_scale", "ocnet")],
)
def test_half_precision_stays_finite_and_near(name):
    model, x = drawn(small(name)), torch.rand(1, 3, 40, 33)
    with torch.no_grad():
        full = model(x)
        for dtype in (torch.float16, torch.bfloat16):
            half = copy.deepcopy(model).to(dtype)(x.to(dtype))
            assert half.dtype == dtype and half.isfinite().all()
            assert (half - full).abs().mean() < 0.1 * full.std()


@pytest.mark.parametrize(
    "name, options, size, billions",
    [
        nightly("u2net", {"classes": 1}, (320, 320), 58.598),
        nightly("u2netp", {"classes": 1}, (320, 320), 19.756),
        nightly("deeplabv3plus", {**DEEP, "layout": "vainf"}, (513, 513), 83.005),
        nightly("deeplabv3plus", {**DEEP, "layout": "smp"}, (512, 512), 56.040),
        slow("attention_unet", {"classes": 1, "kind": "additive"}, (256, 256), 66.42),
        ("unet", {"classes": 1, "encoder": None}, (256, 256), 65.35),
        slow("attention_unet", {"classes": 4, "in_channels": 1, "dimensions": 3}, (80, 80, 48), 21.44),
    ],
)
def test_multiply_adds_as_measured_on_the_originals(name, options, size, billions):
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        fv.create_model(name, **options).eval()(torch.zeros(1, options.get("in_channels", 3), *size))
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.006)


@pytest.mark.parametrize("name", some([name for name in SMALL if name != "fcn"], "unet"))
def test_it_learns_eight_images_by_heart(name):
    torch.manual_seed(0)
    images = torch.rand(8, 3, 32, 32) * 0.4
    masks = torch.zeros(8, 32, 32, dtype=torch.long)
    for number, (top, left) in enumerate((8 * torch.randint(0, 3, (8, 2))).tolist()):
        masks[number, top : top + 16, left : left + 16] = 1
        images[number, :, top : top + 16, left : left + 16] += 0.5
    model = small(name).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    reached = 0.0
    for _ in range(120):
        logits = model(images)
        logits = logits if isinstance(logits, dict) else {"out": logits}
        found = logits["out"].argmax(1)
        both = [((found == k) & (masks == k)).sum() / ((found == k) | (masks == k)).sum() for k in (0, 1)]
        reached = max(reached, float(sum(both) / 2))
        if reached > 0.95:
            break
        optimiser.zero_grad()
        sum(torch.nn.functional.cross_entropy(each, masks) for each in logits.values()).backward()
        optimiser.step()
    assert reached > 0.95


@pytest.mark.parametrize("name", some(SMALL, "unet"))
def test_compiled_it_is_one_graph(name):
    model, x = drawn(small(name)), torch.rand(2, 3, 65, 33)
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), model(x), atol=1e-5, rtol=1e-4)


# A map of one row in the example would be one for ever; PAN's coarsest is at a 128th of the image's size.
# Rows stand for columns, and one stage for the eleven of U2-Net (test_u2net): symbols take their time.
@pytest.mark.parametrize("name", some([name for name in ALL if name != "u2netp"], "unet"))
def test_exported_it_takes_batches_and_heights_of_its_own(name):
    model = small(name).eval()
    free = dict.fromkeys((0, 2), torch.export.Dim.AUTO)
    exported = torch.export.export(model, (torch.rand(2, 3, 160, 48),), dynamic_shapes=(free,)).module()
    x = torch.rand(3, 3, 176, 48)
    with torch.no_grad():
        torch.testing.assert_close(exported(x), model(x), atol=1e-5, rtol=1e-4)
