"""Iterative patch selection: parity with the authors' code, and what it promises of memory and choice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from foveate.mechanisms.hard.iterative_patch_selection import IterativePatchSelection
from foveate.mechanisms.selecting.patch_transformer import sinusoids
from tests.picture_samples import Mixed

FIXTURE = Path(__file__).with_name("ips.npz")
NAMES = {
    "to_query.weight": "crs_attn.q_w.weight",
    "to_key.weight": "crs_attn.k_w.weight",
    "to_value.weight": "crs_attn.v_w.weight",
    "out.weight": "crs_attn.fc.weight",
    "norm.weight": "crs_attn.layer_norm.weight",
    "norm.bias": "crs_attn.layer_norm.bias",
    "wide.weight": "mlp.w_1.weight",
    "wide.bias": "mlp.w_1.bias",
    "narrow.weight": "mlp.w_2.weight",
    "narrow.bias": "mlp.w_2.bias",
    "last_norm.weight": "mlp.layer_norm.weight",
    "last_norm.bias": "mlp.layer_norm.bias",
}


def published():
    """Return the fixture's arrays, the mechanism and the encoder with their weights."""
    arrays = {name: torch.tensor(value) for name, value in np.load(FIXTURE).items()}
    module = IterativePatchSelection(
        6, patches=3, step=4, size=1, width=8, heads=2, queries=2, inner=10, shuffle=False
    )
    state = {name: arrays[f"w/transf.{theirs}"] for name, theirs in NAMES.items()}
    module.transformer.load_state_dict({**state, "queries": arrays["w/transf.crs_attn.q"][0]})
    normalise = nn.LayerNorm(6, elementwise_affine=False)
    encoder = nn.Sequential(normalise, nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
    encoder.load_state_dict({k[10:]: v for k, v in arrays.items() if k.startswith("w/encoder.")})
    return arrays, module.double().eval(), nn.Sequential(nn.Flatten(), encoder).double().eval()


@pytest.mark.parity("iterative_patch_selection")
def test_equals_the_authors_code():
    arrays, module, encoder = published()
    patches = arrays["in/patches"].double()
    features = encoder(patches.flatten(0, 1)).unflatten(0, (2, 14))
    placed = features + arrays["out/position_encoding"]
    torch.testing.assert_close(placed, arrays["out/embeddings"], rtol=0, atol=1e-9)
    places = sinusoids(14, 8, features)
    torch.testing.assert_close(places, arrays["out/position_encoding"][0], rtol=0, atol=1e-6)
    placed = features + arrays["out/position_encoding"]
    torch.testing.assert_close(module.transformer.scores(placed), arrays["out/scores_all"], rtol=0, atol=1e-9)
    torch.testing.assert_close(module.transformer(placed), arrays["out/aggregated_all"], rtol=0, atol=1e-9)
    found = module.select(patches.transpose(1, 2).unsqueeze(2), encoder)  # a picture of one row
    assert torch.equal(found.places[..., 1], arrays["out/chosen"])
    for row, task in enumerate(("majority", "multi")):
        weight, bias = (arrays[f"w/output_layers.{task}.0.{part}"].double() for part in ("weight", "bias"))
        pooled = module.pool(found.features, found.weights).unflatten(1, (2, 8))[:, row]
        scores = pooled @ weight.T + bias
        end = scores.softmax(dim=1) if task == "majority" else scores.sigmoid()
        torch.testing.assert_close(end, arrays[f"out/pred_{task}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("step", [1, 3, 50])
def test_with_one_head_and_query_the_best_of_all_are_kept_whatever_the_step(step):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 20, 28, dtype=torch.float64)
    module = IterativePatchSelection(
        1, patches=5, step=step, size=4, width=8, heads=1, positions=False
    ).double()
    module.eval()
    every = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).squeeze(1)  # (B, 35, 4, 4)
    features = module.embedding(every.flatten(0, 1)).unflatten(0, (2, 35))
    query = module.transformer.to_query(module.transformer.queries)
    logits = (module.transformer.to_key(features) @ query.T).squeeze(2)
    expected = logits.topk(5, dim=1).indices
    found = module.select(images)
    assert torch.equal(found.places[..., 0] // 4 * 7 + found.places[..., 1] // 4, expected)
    module.train()  # in another order
    assert torch.equal(module.select(images).places, found.places)


def test_memory_is_bounded_and_only_what_is_kept_is_learnt_from():
    torch.manual_seed(0)
    met = []

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.BatchNorm1d(16), nn.Linear(16, 8)

        def forward(self, x):
            met.append((len(x), self.training, torch.is_grad_enabled()))
            return self.linear(self.norm(x.flatten(1)))

    encoder = Encoder().train()
    module = IterativePatchSelection(1, patches=3, step=4, size=4, width=8).train()
    found = module.select(torch.rand(2, 1, 20, 20), encoder)
    assert met == [(6, False, False)] + [(8, False, False)] * 5 + [(4, False, False), (6, True, True)]
    assert encoder.training
    module.pool(found.features, found.weights).square().sum().backward()
    assert encoder.linear.weight.grad.any()


def test_nothing_outside_of_a_smaller_picture_is_kept():
    torch.manual_seed(0)
    pictures = Mixed([torch.rand(1, 40, 40), torch.rand(1, 10, 20)])
    found = IterativePatchSelection(1, patches=2, step=3, size=10, width=8).eval().select(pictures)
    assert (found.places[1] <= torch.tensor([0, 10])).all()
