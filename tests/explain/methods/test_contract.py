"""What every method of explanation must keep, over the registry."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import foveate as fv
from foveate.errors import FoveateError, OptionError, UnknownNameError
from foveate.explain import methods
from foveate.explain.explain import explained
from foveate.explain.methods import Explanation, read_method
from tests.each import each

FEWER = {"rise": "rise(masks=8)", "smooth_grad": "smooth_grad(samples=3)", "score_cam": "score_cam"} | {
    "integrated_gradients": "integrated_gradients(steps=3)",
    "occlusion": "occlusion(size=8, stride=8)",
}
NAMES = sorted(fv.explanations)


class Attended(nn.Module):
    """A network with a map, attention of its own between positions, and a mechanism of foveate."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.se = fv.mechanisms["cbam"](8)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.LayerNorm(8)
        self.attention = fv.mechanisms["multi_head"](8, heads=2)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.attention(self.se(self.stem(x)))
        return self.head(self.drop(self.norm(x.mean(dim=(2, 3)))))


def model_of(name):
    import timm

    torch.manual_seed(0)
    if fv.explanations[name].reads == "attention" and name != "mechanism":
        model = timm.create_model(
            "vit_tiny_patch16_224",
            img_size=32,
            patch_size=16,
            depth=2,
            embed_dim=12,
            num_heads=2,
            num_classes=3,
        )
    else:
        model = Attended()
    return model.train()


def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def maps(model, x, name, **options):
    return fv.explain(model, x, FEWER.get(name, name), **options)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    """Shape, type, range, an image at a time, no trace left, frozen parameters, and inference mode."""
    model, x = model_of(name), images()
    before, draws = copy.deepcopy(model), torch.get_rng_state()
    found = maps(model, x, name, target=1)
    assert found.shape == (3, 32, 32) and found.dtype == torch.float32 and not found.requires_grad
    assert found.isfinite().all()
    assert fv.explanations[name].signed or found.min() >= 0
    torch.testing.assert_close(maps(model, x[1:2], name, target=1)[0], found[1], atol=1e-6, rtol=1e-4)
    untouched(model, before)
    assert torch.equal(draws, torch.get_rng_state())
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(maps(model, x, name, target=1), found)
    with torch.inference_mode():
        inside = maps(model, x + 0, name, target=1)
    torch.testing.assert_close(inside, found)
    assert all(not p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_after_an_error(name):
    model, x = model_of(name), images()
    before = copy.deepcopy(model)
    with pytest.raises(FoveateError):
        maps(model, x, name, target=7)
    untouched(model, before)
    handle = model.head.register_forward_hook(fail)
    with pytest.raises((ZeroDivisionError, FoveateError), match="planned"):
        maps(model, x, name, target=1)
    handle.remove()
    untouched(model, before)


def fail(*_):
    raise ZeroDivisionError("planned")


def untouched(model, before):
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), before.state_dict().values(), strict=True)
    )
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    for module, old in zip(model.modules(), before.modules(), strict=True):
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            assert len(getattr(module, hooks)) == len(getattr(old, hooks))
        assert "forward" not in vars(module)


def test_gradients_of_the_user_are_kept():
    model, x = model_of("grad_cam"), images()
    model(x).sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    maps(model, x, "grad_cam")
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))


@each(NAMES)
def test_declared(name):
    method = fv.explanations[name]
    assert issubclass(method, Explanation) and method.__dataclass_params__.frozen
    assert method.paper and method.__doc__ and method.reads
    assert str(method()) == name and read_method(name) == method()
    assert "Differs from the paper" in sys.modules[method.__module__].__doc__


def test_every_method_is_listed():
    helpers = {"__init__", "explanation", "cam", "path_gradients", "attention_chain"}
    files = {p.stem for p in Path(methods.__file__).parent.glob("*.py")} - helpers
    assert files == set(NAMES) == {m.__module__.rpartition(".")[2] for m in fv.explanations.values()}


def test_options_by_name():
    assert read_method("rise(masks=5, visible=0.25)") == fv.explanations["rise"](masks=5, visible=0.25)
    for wrong in (
        "rise(masks=0)",
        "rise(visible=1)",
        "rise(mask=3)",
        "occlusion(size=0)",
        "smooth_grad(sigma=-1)",
    ):
        with pytest.raises(OptionError):
            read_method(wrong)
    with pytest.raises(UnknownNameError, match="grad_cam"):
        read_method("gradcam")


def test_a_method_of_ones_own():
    class Brightness(Explanation):
        reads, signed, paper = "changed images", False, "none"

        def __call__(self, question):
            return question.images.mean(dim=1)

    x = images()
    torch.testing.assert_close(fv.explain(model_of("grad_cam"), x, Brightness()), x.mean(dim=1))


def test_a_layer_for_a_method_without_one():
    with pytest.raises(OptionError, match="looks at no layer"):
        fv.explain(model_of("rise"), images(), "rise", layer="stem")


def test_what_was_explained():
    found = explained(model_of("grad_cam"), images(), "grad_cam", target=2)
    assert found.layers and found.score.classes.tolist() == [2, 2, 2] and str(found.method) == "grad_cam"
