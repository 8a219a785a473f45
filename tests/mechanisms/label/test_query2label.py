from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import OptionError
from foveate.mechanisms.label.query2label import Attention, Query2Label
from foveate.mechanisms.pairwise.multi_head import sine2d


def make(**options: object) -> Query2Label:
    torch.manual_seed(0)
    return Query2Label(6, **{"classes": 3, "heads": 2, "width": 8, **options}).double()


def image() -> Tensor:
    return torch.randn(2, 6, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def pytorchs(ours: Attention) -> nn.MultiheadAttention:
    """PyTorch's own attention with our weights."""
    module = nn.MultiheadAttention(ours.merge.in_features, ours.heads, batch_first=True).double()
    module.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": ours.project.bias,
            "out_proj.weight": ours.merge.weight,
            "out_proj.bias": ours.merge.bias,
        }
    )
    return module


@torch.no_grad()
def by_pytorch(module: Query2Label, x: Tensor) -> Tensor:
    """The transformer in PyTorch's parts, laid out as DETR lays it out: normalised after each sum."""
    embedded = module.embed(x)
    memory = embedded.flatten(2).transpose(1, 2)
    place = sine2d(embedded).flatten(2).transpose(1, 2)
    for layer in module.encoder:
        own, forth = layer.own, layer.forth
        q = memory + place
        memory = own.norm(memory + pytorchs(own.attention)(q, q, memory)[0])
        memory = forth.norm(memory + forth.narrow(forth.widen(memory).relu()))
    queries = module.queries.expand(len(x), -1, -1)
    h = torch.zeros_like(queries)
    for layer in module.decoder:
        if layer.own is not None:
            q = h + queries
            h = layer.own.norm(h + pytorchs(layer.own.attention)(q, q, h)[0])
        h = layer.norm(h + pytorchs(layer.cross)(h + queries, memory + place, memory)[0])
        h = layer.forth.norm(h + layer.forth.narrow(layer.forth.widen(h).relu()))
    h = module.norm(h)
    logits = [[h[b, q] @ module.weight[q] + module.bias[q] for q in range(h.shape[1])] for b in range(len(x))]
    return torch.tensor(logits, dtype=torch.float64)


@pytest.mark.parametrize(
    "options",
    [{}, {"encoder_layers": 2, "decoder_layers": 3}, {"encoder_layers": 0, "self_attention": False}],
)
def test_equals_pytorchs_transformer_with_our_weights(options: dict[str, object]) -> None:
    module = make(**options)
    for parameter in module.parameters():  # biases and norms off their start
        parameter.data += 0.1 * torch.randn_like(parameter)
    torch.testing.assert_close(module(image()), by_pytorch(module, image()), rtol=0, atol=1e-10)


def test_permuting_classes_permutes_logits() -> None:
    module, other, order = make(), make(), torch.tensor([2, 0, 1])
    for name in ("queries", "weight", "bias"):
        getattr(other, name).data = getattr(module, name).data[order]
    torch.testing.assert_close(other(image()), module(image())[:, order])


@torch.no_grad()
def test_one_query_with_keys_that_say_nothing_pools_by_the_mean() -> None:
    module = make(classes=1, encoder_layers=0, decoder_layers=1)
    cross = module.decoder[0].cross
    cross.project.weight[8:16] = 0
    seen: list[Tensor] = []
    module.map.register_forward_hook(lambda _m, _i, out: seen.append(out))
    cross.register_forward_hook(lambda _m, _i, out: seen.append(out))
    module(image())
    torch.testing.assert_close(seen[0], torch.full((2, 2, 1, 3, 4), 1 / 12, dtype=torch.float64))
    pooled = module.embed(image()).mean(dim=(2, 3))
    expected = cross.merge(pooled @ cross.project.weight[16:].T + cross.project.bias[16:])
    torch.testing.assert_close(seen[1].squeeze(1), expected, rtol=0, atol=1e-12)


def test_without_classes_that_look_at_each_other_each_logit_is_its_own() -> None:
    alone, together = make(self_attention=False), make()
    for module, changes in ((alone, False), (together, True)):
        before = module(image())
        module.queries.data[0] += 1
        after = module(image())
        assert not torch.allclose(after[:, 0], before[:, 0])
        assert torch.allclose(after[:, 1:], before[:, 1:]) != changes


def test_scores_start_within_one_over_the_root_of_the_width() -> None:
    module = Query2Label(64, classes=80, width=64)
    for parameter in (module.weight, module.bias):
        assert parameter.abs().max() <= 1 / 8 and parameter.abs().max() > 0.9 / 8


def test_the_default_width_follows_the_channels() -> None:
    assert {c: Query2Label(c, classes=2).width for c in (1, 8, 12, 256, 512)} == {
        1: 8, 8: 8, 12: 16, 256: 256, 512: 256,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 10, "heads": 4}, "width: got 10, which heads=4 does not divide. Near: 12"),
        ({"decoder_layers": 0}, "decoder_layers"),
        ({"heads": 0}, "heads"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        make(**options)
    assert said in str(caught.value)
