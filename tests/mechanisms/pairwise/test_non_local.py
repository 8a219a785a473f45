from __future__ import annotations

import pytest
import torch
from timm.layers.non_local_attn import NonLocalAttn
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from foveate.errors import OptionError
from foveate.mechanisms.base import build
from foveate.mechanisms.pairwise.non_local import FORMS, NonLocal


@pytest.mark.parametrize("subsample", [False, True])
def test_equals_the_formula_in_loops(subsample: bool, double: object) -> None:
    module, x = double("non_local", 4, subsample=subsample), torch.randn(1, 4, 4, 2, dtype=torch.float64)
    q, k, v = module.query(x), module.key(x), module.value(x)
    if subsample:
        k, v = (
            torch.stack([p[..., i : i + 2, :].amax((2, 3)) for i in (0, 2)], 2)[..., None] for p in (k, v)
        )
    q, k, v = (p[0].flatten(1).T for p in (q, k, v))
    read = torch.zeros(1, module.width, 4, 2, dtype=torch.float64)
    for i in range(8):
        raised = [torch.exp(q[i] @ key) for key in k]
        read[0, :, i // 2, i % 2] = sum(r / sum(raised) * value for r, value in zip(raised, v, strict=True))
    z = F.conv2d(read, module.merge.weight, module.merge.bias)
    mean, variance = module.norm.running_mean, module.norm.running_var
    scale = module.norm.weight / (variance + 1e-5).sqrt()
    expected = x + (z - mean[:, None, None]) * scale[:, None, None] + module.norm.bias[:, None, None]
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(7, 5), (12, 20)])
@pytest.mark.parametrize("scale", [False, True])
def test_equals_timm_with_its_weights(
    training: bool, size: tuple[int, int], scale: bool, double: object
) -> None:
    """timm leaves the subsampling out, and its scale is of the width of the input."""
    ours = double("non_local", 64, reduction=8, subsample=False, scale=scale).train(training)
    theirs = NonLocalAttn(64, use_scale=scale).double().train(training)
    names = {"t": "query", "p": "key", "g": "value", "z": "merge", "norm": "norm"}
    theirs.load_state_dict(
        {
            key: ours.state_dict()[f"{names[key.split('.')[0]]}.{key.split('.')[1]}"]
            for key in theirs.state_dict()
        }
    )
    x = torch.randn(3, 64, *size, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-10)


@torch.no_grad()
def read_in_loops(module: NonLocal, x: Tensor) -> Tensor:
    """What every position reads by each of the four comparisons of section 3.2."""
    parts = module.query(x), module.pool(module.key(x)), module.pool(module.value(x))
    q, k, v = (part[0].flatten(1).T for part in parts)
    read = torch.zeros(len(q), v.shape[1], dtype=x.dtype)
    for i in range(len(q)):
        if module.pairwise == "concat":
            weights = [(torch.cat([q[i], key]) @ module.compare.flatten()).relu() for key in k]
        else:
            weights = [q[i] @ key for key in k]
            weights = weights if module.pairwise == "dot" else [w.exp() for w in weights]
        total = sum(weights) if module.pairwise in ("embedded", "gaussian") else len(k)
        read[i] = sum(w / total * value for w, value in zip(weights, v, strict=True))
    return read.T.unflatten(1, x.shape[2:])[None]


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("pairwise", FORMS)
def test_each_form_equals_the_papers(
    pairwise: str, subsample: bool, double: object, explicit: object
) -> None:
    module = double("non_local", 6, subsample=subsample, pairwise=pairwise)
    x = torch.randn(1, 6, 5, 4, dtype=torch.float64)
    expected = x + module.norm(module.merge(read_in_loops(module, x)))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(explicit(module, x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pairwise", [pytest.param("gaussian", marks=pytest.mark.slow), "dot", "concat"])
def test_each_form_has_its_gradients_in_every_type(pairwise: str, double: object, explicit: object) -> None:
    module, x = double("non_local", 4, pairwise=pairwise), torch.randn(2, 4, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(module, [x.requires_grad_()])
    wanted, grads = [*module.parameters(), x], []
    for call in (module, lambda x: explicit(module, x)):
        grads.append(torch.autograd.grad(call(x).square().sum(), wanted))
    for fast, slow in zip(*grads, strict=True):
        torch.testing.assert_close(fast, slow)
    half = double("non_local", 16, pairwise=pairwise).bfloat16()
    x = torch.randn(1, 16, 9, 7).bfloat16()
    expected = half.float()(x.float())
    assert (half.bfloat16()(x).float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("pairwise", ["gaussian", "dot", "concat"])
@pytest.mark.parametrize("subsample", [False, True])
def test_each_form_costs_what_can_be_counted(pairwise: str, subsample: bool) -> None:
    module = build("non_local", 16, pairwise=pairwise, subsample=subsample).eval()
    more = {torch.ops.aten.mv: lambda a, b, **_: 2 * a[0] * a[1]}
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        module(torch.randn(1, 16, 12, 9))
    assert module.cost(12, 9).macs == counter.get_total_flops() // 2
    assert module.cost(12, 9).parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("pairwise", ["dot", "concat"])
def test_forms_without_a_softmax_keep_memory_and_work_linear(pairwise: str, largest: type) -> None:
    module, x = build("non_local", 16, pairwise=pairwise), torch.randn(1, 16, 64, 64).requires_grad_()
    with largest() as seen:
        module(x).sum().backward()
    assert seen.elements <= 2 * x.numel()
    assert module.cost(64, 64).macs == 1024 * module.cost(2, 2).macs


@pytest.mark.parametrize(("channels", "parameters"), [(256, 33_632), (512, 132_800)])
def test_parameters_as_counted_in_timm(channels: int, parameters: int) -> None:
    assert build("non_local", channels, reduction=8).cost(7, 7).parameters == parameters


@pytest.mark.parametrize("training", [False, True])
def test_a_fresh_one_is_the_identity_to_the_bit(training: bool) -> None:
    x = torch.randn(2, 16, 7, 5)
    assert torch.equal(build("non_local", 16).train(training)(x), x)


def test_does_not_know_where_things_are(double: object) -> None:
    module = double("non_local", 16, subsample=False)
    x, order = torch.randn(2, 16, 24, 1, dtype=torch.float64), torch.randperm(24)
    torch.testing.assert_close(module(x[:, :, order]), module(x)[:, :, order])


def test_subsampling_keeps_the_last_row_and_column_of_an_odd_map(double: object) -> None:
    module = double("non_local", 8)
    x = torch.randn(1, 8, 5, 3, dtype=torch.float64, requires_grad=True)
    keys = module.pool(module.key(x))
    assert keys.shape[2:] == (3, 2)
    keys[..., -1, -1].sum().backward()
    assert x.grad[..., -1, -1].any()


def test_subsampling_costs_a_quarter_of_the_products() -> None:
    def products(subsample: bool) -> int:
        module = NonLocal(64, subsample=subsample)
        return module.cost(32, 32).macs - 4 * 64 * 32 * 32**2

    assert products(False) == 4 * products(True) == 2 * 32**4 * 32


def test_both_paths_agree(double: object, explicit: object) -> None:
    for subsample in (False, True):
        module, x = double("non_local", 16, subsample=subsample).float(), torch.randn(2, 16, 9, 7)
        torch.testing.assert_close(explicit(module, x), module(x), rtol=1e-5, atol=1e-5)


def test_refuses_a_reduction_of_zero() -> None:
    with pytest.raises(OptionError, match="reduction: got 0"):
        NonLocal(16, reduction=0)


def test_refuses_an_unknown_comparison() -> None:
    with pytest.raises(OptionError, match="pairwise: got 'cosine', expected one of embedded"):
        NonLocal(16, pairwise="cosine")


@pytest.mark.parametrize("size", [(9,), (3, 4, 5)])
def test_keys_of_a_volume_are_pooled_in_its_slices_and_those_of_a_signal_in_pairs(
    size: tuple[int, ...], double: object
) -> None:
    module, x = double("non_local", 4), torch.randn(2, 4, *size, dtype=torch.float64)

    def pooled(layer: torch.nn.Conv2d) -> Tensor:
        """One slice, or two positions of a signal, at a time; what is left at the end counts alone."""
        y = torch.einsum("ri,bi...->br...", layer.weight[:, :, 0, 0], x) + layer.bias.view(
            -1, *[1] * len(size)
        )
        if len(size) == 1:
            return torch.stack([part.amax(2) for part in y.split(2, dim=2)], 2)
        rows = [part.amax(3, keepdim=True) for part in y.split(2, dim=3)]
        windows = [part.amax(4, keepdim=True) for part in torch.cat(rows, 3).split(2, dim=4)]
        return torch.cat(windows, 4).flatten(2)

    query = (
        torch.einsum("ri,bin->brn", module.query.weight[:, :, 0, 0], x.flatten(2))
        + module.query.bias[:, None]
    )
    weights = (query.transpose(1, 2) @ pooled(module.key)).softmax(dim=2)  # (B, N, M)
    read = pooled(module.value) @ weights.transpose(1, 2)
    z = torch.einsum("ci,bin->bcn", module.merge.weight[:, :, 0, 0], read) + module.merge.bias[:, None]
    norm = module.norm
    z = F.batch_norm(z, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    torch.testing.assert_close(module(x), x + z.view_as(x), rtol=0, atol=1e-10)
