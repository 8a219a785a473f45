from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from foveate.errors import CheckpointError, OptionError
from foveate.mechanisms.detr import detr_sines
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
        ({"embed": False}, "embed"),
        ({"positions": "detr", "width": 6}, "positions"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        make(**options)
    assert said in str(caught.value)


def test_the_sines_of_detr_written_out() -> None:
    sines = detr_sines(torch.zeros(1, 8, 3, 5, dtype=torch.float64))[0]
    for row in range(3):
        for column in range(5):
            for half, place in ((0, (row + 1) / (3 + 1e-6)), (4, (column + 1) / (5 + 1e-6))):
                for wave in (0, 1):
                    angle = 2 * math.pi * place / 10_000 ** (2 * wave / 4)
                    found = sines[half + 2 * wave : half + 2 * wave + 2, row, column]
                    expected = torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64)
                    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def authors_state(
    width: int = 8, hidden: int = 12, classes: int = 3, embed: bool = True
) -> dict[str, Tensor]:
    """Random weights under the authors' names and in their shapes, one layer of encoder, two of decoder."""
    shapes: dict[str, tuple[int, ...]] = {"query_embed.weight": (classes, width), "fc.W": (1, classes, width)}
    shapes |= {"fc.b": (1, classes), "transformer.decoder.norm.weight": (width,)}
    shapes |= {"transformer.decoder.norm.bias": (width,)}
    if embed:
        shapes |= {"input_proj.weight": (width, 6, 1, 1), "input_proj.bias": (width,)}
    for layer, attention, norms in (
        ("encoder.layers.0", "self_attn", "12"),
        ("decoder.layers.0", "multihead_attn", "23"),
        ("decoder.layers.1", "multihead_attn", "23"),
    ):
        at = f"transformer.{layer}."
        shapes |= {f"{at}{attention}.in_proj_weight": (3 * width, width)}
        shapes |= {f"{at}{attention}.in_proj_bias": (3 * width,)}
        shapes |= {
            f"{at}{attention}.out_proj.weight": (width, width),
            f"{at}{attention}.out_proj.bias": (width,),
        }
        shapes |= {f"{at}linear1.weight": (hidden, width), f"{at}linear1.bias": (hidden,)}
        shapes |= {f"{at}linear2.weight": (width, hidden), f"{at}linear2.bias": (width,)}
        shapes |= {f"{at}norm{n}.{part}": (width,) for n in norms for part in ("weight", "bias")}
    generator = torch.Generator().manual_seed(2)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) / 2
        for name, shape in shapes.items()
    }


def of_authors(state: dict[str, Tensor], x: Tensor, heads: int = 2) -> Tensor:
    """The authors' network on a map: PyTorch's attention and layers, with their weights by their names."""

    def attention(at: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        module = nn.MultiheadAttention(value.shape[2], heads, batch_first=True).double()
        module.load_state_dict({n.removeprefix(at): v for n, v in state.items() if n.startswith(at)})
        return module(query, key, value)[0]

    def norm(at: str, h: Tensor) -> Tensor:
        return nn.functional.layer_norm(h, h.shape[2:], state[f"{at}.weight"], state[f"{at}.bias"])

    def forth(at: str, last: str, h: Tensor) -> Tensor:
        hidden = (h @ state[f"{at}linear1.weight"].T + state[f"{at}linear1.bias"]).relu()
        return norm(at + last, h + hidden @ state[f"{at}linear2.weight"].T + state[f"{at}linear2.bias"])

    if "input_proj.weight" in state:
        x = nn.functional.conv2d(x, state["input_proj.weight"], state["input_proj.bias"])
    memory, place = (m.flatten(2).transpose(1, 2) for m in (x, detr_sines(x)))
    at = "transformer.encoder.layers.0."
    q = memory + place
    memory = norm(f"{at}norm1", memory + attention(f"{at}self_attn.", q, q, memory))
    memory = forth(at, "norm2", memory)
    queries = state["query_embed.weight"].expand(len(x), -1, -1)
    h = torch.zeros_like(queries)
    for layer in (0, 1):
        at = f"transformer.decoder.layers.{layer}."
        h = norm(f"{at}norm2", h + attention(f"{at}multihead_attn.", h + queries, memory + place, memory))
        h = forth(at, "norm3", h)
    return (norm("transformer.decoder.norm", h) * state["fc.W"]).sum(-1) + state["fc.b"]


@pytest.mark.parity("query2label")
@pytest.mark.parametrize("embed", [True, False])
def test_equals_the_authors_code_with_its_names(embed: bool) -> None:
    channels, width = (6, 8) if embed else (8, 8)
    state = authors_state(width=width, embed=embed)
    module = Query2Label(
        channels, classes=3, heads=2, width=width, feedforward=12,
        self_attention=False, positions="detr", embed=embed,
    ).double()  # fmt: skip
    module.load_state_dict(module.from_published(state))
    x = torch.randn(2, channels, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x), of_authors(state, x), rtol=0, atol=1e-10)


def test_weights_that_it_cannot_hold_are_told() -> None:
    name = "transformer.decoder.layers.0.self_attn.in_proj_bias"
    with pytest.raises(CheckpointError, match="keep_first_self_attn_dec"):
        make().from_published({name: torch.zeros(24)})
