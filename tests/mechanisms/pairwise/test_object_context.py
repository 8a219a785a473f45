from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.object_context import ObjectContext


def normalised(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


@torch.no_grad()
def in_loops(module: ObjectContext, x: Tensor, leak: float = 0.0) -> Tensor:
    keys = F.leaky_relu(normalised(module.key[1], module.key[0](x)), leak)[0].flatten(1).T
    values, read = (
        module.value(x)[0].flatten(1).T,
        torch.zeros(module.width, x.shape[2] * x.shape[3]).double(),
    )
    for i in range(len(keys)):
        raised = [math.exp(keys[i] @ key / math.sqrt(module.width)) for key in keys]
        read[:, i] = sum(r / sum(raised) * value for r, value in zip(raised, values, strict=True))
    context = module.merge(read.unflatten(1, x.shape[2:])[None])
    if module.kind == "context":
        return context
    joined = module.join[0](torch.cat([context, x], dim=1))
    return F.leaky_relu(normalised(module.join[1], joined), leak)


@pytest.mark.parametrize("kind", ["base", "context"])
@pytest.mark.parametrize("leak", [0.0, 0.01])
def test_equals_the_formula_in_loops(kind: str, leak: float, double: object, explicit: object) -> None:
    module, x = (
        double("object_context", 6, kind=kind, leak=leak),
        torch.randn(1, 6, 3, 4, dtype=torch.float64),
    )
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    expected = in_loops(module, x, leak)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), expected, rtol=0, atol=1e-10)


def test_similarity_is_mutual_before_the_softmax(double: object, explicit: object) -> None:
    module, x = double("object_context", 8), torch.randn(2, 8, 4, 3, dtype=torch.float64)
    seen: list[Tensor] = []
    module.map.register_forward_hook(lambda _m, _i, formed: seen.append(formed))
    explicit(module, x)
    energies = seen[0].log()
    centred = energies - energies.diagonal(dim1=1, dim2=2).unsqueeze(2)  # the softmax's constant drops out
    key = module.key(x).flatten(2)
    products = key.transpose(1, 2) @ key / math.sqrt(module.width)
    torch.testing.assert_close(products, products.transpose(1, 2))
    torch.testing.assert_close(centred, products - products.diagonal(dim1=1, dim2=2).unsqueeze(2))


def test_a_fresh_one_has_no_context() -> None:
    x = torch.randn(2, 16, 7, 5)
    assert not build("object_context", 16, kind="context")(x).any()
    module = build("object_context", 16).eval()
    order = torch.randperm(5)
    torch.testing.assert_close(module(x[..., order]), module(x)[..., order])
    alone = module(x[..., :1, :1])
    torch.testing.assert_close(module(x)[..., :1, :1], alone)  # each position by itself


def test_does_not_know_where_things_are(double: object) -> None:
    module, order = double("object_context", 16), torch.randperm(24)
    x = torch.randn(2, 16, 24, 1, dtype=torch.float64)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_channels_are_dropped_whole_and_in_training_only(double: object) -> None:
    module, x = double("object_context", 64, dropout=0.5), torch.randn(4, 64, 5, 5, dtype=torch.float64)
    nn.init.ones_(module.join[1].bias)
    nn.init.zeros_(module.join[1].weight)
    assert (module(x) == 1).all()
    kept = module.train()(x).flatten(2)
    assert set(kept.unique().tolist()) == {0.0, 2.0} and (kept.amax(2) == kept.amin(2)).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [("kind", "pyramid"), ("dropout", 1.0), ("dropout", -0.1), ("leak", -1.0), ("reduction", 0)],
)
def test_refuses_by_name(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"{option}: got"):
        ObjectContext(16, **{option: value})


@pytest.mark.parity("object_context")
def test_the_keys_statistics_move_as_if_the_query_passed_the_layer_too(double: object) -> None:
    module, x = double("object_context", 8, twice=True), torch.randn(3, 8, 5, 4, dtype=torch.float64)
    norm = nn.BatchNorm2d(module.width).double().train()
    for _ in range(2):  # batches, each of which the authors' code sends through twice
        module.train()(x)
        norm(module.key[0](x))
        norm(module.key[0](x))
    torch.testing.assert_close(module.key[1].running_mean, norm.running_mean)
    torch.testing.assert_close(module.key[1].running_var, norm.running_var)
