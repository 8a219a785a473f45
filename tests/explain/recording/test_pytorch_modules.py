"""``nn.MultiheadAttention`` and ``nn.TransformerEncoder``: weights, bits, and the fused path with padding."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import foveate as fv

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def padding() -> Tensor:
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[0, 3:] = mask[2, 1:] = True
    return mask


def attention(**options: object) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    made = nn.MultiheadAttention(8, 2, **options).eval()
    nn.init.normal_(made.in_proj_bias)
    return made


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"kdim": 8, "vdim": 6}]
)
@pytest.mark.parametrize("grads", [False, True])
def test_weights_are_those_the_module_can_return(
    batch_first: bool, other: bool, options: dict[str, object], grads: bool
) -> None:
    module = attention(batch_first=batch_first, **options)
    query = tokens(3, 5, 8)
    memory = tokens(3, 5, 8, seed=1) if other else query
    value = memory[..., :6].contiguous() if "vdim" in options else memory
    given = [x if batch_first else x.transpose(0, 1) for x in (query, memory, value)]
    if not other and "vdim" not in options:
        given = [given[0]] * 3
    masks = {"key_padding_mask": padding(), "attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1)}
    for used in (
        {},
        {"key_padding_mask": masks["key_padding_mask"]},
        {"attn_mask": masks["attn_mask"]},
        masks,
    ):
        with torch.set_grad_enabled(grads):
            plain, _ = module(*given, need_weights=False, **used)
            with fv.record(module) as maps:
                assert torch.equal(module(*given, need_weights=False, **used)[0], plain)
        _, expected = module(*given, average_attn_weights=False, **used)
        torch.testing.assert_close(maps[""], expected, rtol=0, atol=1e-6)


def test_gradients_are_those_of_the_weights() -> None:
    """Against the values, output projection and loss, written out from the recorded weights on."""
    module = attention(batch_first=True).double()
    x = tokens(2, 5, 8).double().requires_grad_()
    with fv.record(module, grad=True) as maps:
        module(x, x, x, need_weights=False)[0].sin().sum().backward()
    weights = maps[""].clone().requires_grad_()
    w, b = module.in_proj_weight[16:], module.in_proj_bias[16:]
    values = (x @ w.T + b).unflatten(-1, (2, 4)).transpose(1, 2)
    module.out_proj((weights @ values).transpose(1, 2).flatten(2)).sin().sum().backward()
    torch.testing.assert_close(maps.calls("")[0].gradient, weights.grad, rtol=1e-10, atol=1e-10)


def encoder(norm_first: bool = False) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first, activation="gelu")
    made = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(
    "masks", [{}, {"src_key_padding_mask": padding()}, {"mask": torch.ones(5, 5).triu(1).bool()}]
)
def test_the_fused_encoder_keeps_its_bits_and_shows_its_weights(
    norm_first: bool, masks: dict[str, Tensor]
) -> None:
    model, x = encoder(norm_first), tokens(3, 5, 8)
    with torch.no_grad():
        plain = model(x, **masks)
        with fv.record(model) as maps:
            assert torch.equal(model(x, **masks), plain)
    model.requires_grad_()
    with fv.record(model) as unfused:  # with gradients the layers run as written
        model(x, **masks)
    assert list(maps) == list(unfused) == ["layers.0.self_attn", "layers.1.self_attn"]
    seen = ~masks["src_key_padding_mask"] if "src_key_padding_mask" in masks else torch.ones(3, 5).bool()
    if "src_key_padding_mask" in masks and not norm_first:
        assert not plain[~seen].any()  # the fused path was taken: padded rows are zero
    for path, weights in maps.items():
        rows = seen[:, None, :, None].expand(weights.shape)
        torch.testing.assert_close(weights[rows], unfused[path].detach()[rows], rtol=0, atol=1e-5)


def test_a_decoder_has_a_map_for_each_of_its_attentions() -> None:
    torch.manual_seed(0)
    model = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval()
    with torch.no_grad():
        plain = model(tokens(2, 4, 8), tokens(2, 6, 8, seed=1))
        with fv.record(model) as maps:
            assert torch.equal(model(tokens(2, 4, 8), tokens(2, 6, 8, seed=1)), plain)
    assert {path: tuple(w.shape) for path, w in maps.items()} == {
        "self_attn": (2, 2, 4, 4),
        "multihead_attn": (2, 2, 4, 6),
    }


class OfOnesOwn(nn.MultiheadAttention):
    def forward(self, *given: Tensor, **options: object) -> tuple[Tensor, Tensor | None]:
        return super().forward(*given, **options)


def test_a_class_derived_from_the_module() -> None:
    torch.manual_seed(0)
    module = OfOnesOwn(8, 2, batch_first=True)
    x = tokens(2, 5, 8)
    with fv.record(module) as maps:
        _, expected = module(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(maps[""], expected.detach(), rtol=0, atol=1e-6)


def left(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = sum(len(getattr(part, kind)) for part in model.modules() for kind in kinds)
    wrapped = sum("forward" in part.__dict__ for part in model.modules())
    return hooks + wrapped + torch._C._len_torch_function_stack()


def ends(model: nn.Module) -> dict[str, Callable[[], None]]:
    def raises(error: type[BaseException]) -> None:
        with fv.record(model):
            model(tokens(1, 5, 8))
            raise error

    def in_the_model() -> None:
        with fv.record(model):
            model(tokens(1, 5, 9))

    def out_of_order() -> None:
        first, second = fv.record(model), fv.record(model)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        model(tokens(1, 5, 8))
        second.__exit__(None, None, None)

    return {
        "error in the block": lambda: raises(ZeroDivisionError),
        "interrupt": lambda: raises(KeyboardInterrupt),
        "error in the model": in_the_model,
        "out of order": out_of_order,
    }


@pytest.mark.parametrize("end", ends(nn.Identity()))
def test_nothing_is_left_behind(end: str) -> None:
    model = encoder()
    plain = model(tokens(1, 5, 8))
    assert left(model) == 0
    try:
        ends(model)[end]()
    except (ZeroDivisionError, KeyboardInterrupt, RuntimeError, AssertionError):
        pass
    assert left(model) == 0
    assert torch.equal(model(tokens(1, 5, 8)), plain)


def test_a_forward_of_the_users_own_stays() -> None:
    module = attention(batch_first=True)
    x = tokens(1, 5, 8)
    mine = module.forward = functools.partial(module.forward)
    with fv.record(module) as maps:
        module(x, x, x)
    assert len(maps) == 1 and module.forward is mine
