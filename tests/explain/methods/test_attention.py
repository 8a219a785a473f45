"""Attention of all layers combined: against values computed elsewhere, by laws, and on recorded models."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

import foveate as fv
from foveate.errors import OptionError, SiteError
from foveate.explain.explain import explained
from foveate.explain.methods import GenericAttention, RawAttention, Rollout, TransformerAttribution
from foveate.explain.methods.attention_chain import Grid, chain_of, moved
from foveate.explain.methods.attention_flow import flows
from foveate.explain.methods.attention_grad_cam import weighted_heads
from foveate.explain.question import Question
from foveate.explain.targets import Word
from tests.each import each
from tests.explain.methods.toy_networks import SEEDS, ToyViT, attention_of, image, tensor, values

CLOSE = {"atol": 1e-9, "rtol": 0}
COMBINED = {
    "rollout_mean": Rollout(),
    "rollout_max": Rollout(fuse="max"),
    "rollout_min": Rollout(fuse="min"),
    "rollout_mean_discard_0.5": Rollout(discard=0.5),
    "rollout_max_discard_0.9": Rollout(fuse="max", discard=0.9),
    "rollout_mean_from_layer_1": Rollout(start=1),
    "chefer_iccv21": GenericAttention(),
    "chefer_cvpr21_without_lrp": TransformerAttribution(start=0),
    "chefer_row_normalised": TransformerAttribution(start=0, normalise=True),
}


def toy(seed):
    known, vit, x = values(seed)["vit"], ToyViT(seed), image(seed)
    weights, gradients = attention_of(vit, x, known["target"])
    return known["maps"], weights, gradients


def down(method, weights, gradients, rows):
    for a, g in reversed(list(zip(weights, gradients, strict=True))[method.first :]):
        rows = method.step(rows, method.of_layer(a, g))
    return rows


def class_row(count=10):
    return F.one_hot(torch.tensor([0]), count).double()


@each(SEEDS)
def test_values(seed):
    known, weights, gradients = toy(seed)
    for name, method in COMBINED.items():
        found = down(method, weights, gradients, class_row())[0, 1:]
        torch.testing.assert_close(found, tensor(known[name]), **CLOSE, msg=name)
    last, slope = weights[-1][:, :, 0], gradients[-1][:, :, 0]
    found = weighted_heads(last, slope, prefix=1)[0, 1:]
    torch.testing.assert_close(found, tensor(known["attention_grad_cam_last"]), **CLOSE)
    found = flows([a.mean(1)[0] for a in weights], class_row()[0])
    torch.testing.assert_close(found, tensor(known["attention_flow_cls_all_tokens"]), **CLOSE)


@each(SEEDS)
def test_recorded_from_a_fused_model(seed):
    """The weights and gradients of fused attention, with places that were traced through the model."""
    known, vit, x = values(seed)["vit"], ToyViT(seed), image(seed)
    chain = chain_of(Question(vit, x, known["target"]), one_layer=False)
    assert [link.seen.path for link in chain.links] == [f"blocks.{n}.attn" for n in range(3)]
    assert {link.grid for link in chain.links} == {Grid(1, 3, 3)}
    assert torch.equal(chain.rows, class_row())
    for name in ("rollout_mean", "chefer_iccv21", "rollout_mean_from_layer_1"):
        found, _ = COMBINED[name].combine(chain)
        torch.testing.assert_close(found[0, 1:], tensor(known["maps"][name]), **CLOSE)


@each(SEEDS)
def test_both_of_chefer_are_one_matrix_for_self_attention(seed):
    """R <- R + E R is the product of (I + E): the rule of ICCV and that of CVPR without its relevance."""
    _, weights, gradients = toy(seed)
    r = torch.eye(10).double()
    for a, g in zip(weights, gradients, strict=True):
        r = r + (a * g).relu().mean(1)[0] @ r
    for method in (GenericAttention(), TransformerAttribution(start=0)):
        torch.testing.assert_close(down(method, weights, gradients, class_row())[0], r[0])


@each(SEEDS)
def test_rows_of_rollout_sum_to_1(seed):
    _, weights, gradients = toy(seed)
    for method in (Rollout(), Rollout(fuse="max"), Rollout(discard=0.7)):
        found = down(method, weights, gradients, torch.full((1, 10), 0.1).double())
        torch.testing.assert_close(found.sum(), torch.ones(()).double())


def test_gradients_belong_to_their_own_layer():
    """vit-explain pairs the first layer's weights with the last layer's gradients: its map is another."""
    known, weights, gradients = toy(1)
    wrong = tensor(known["grad_rollout_as_vit_explain_codes_it_no_discard"])
    right = tensor(known["grad_rollout_mean_of_product_then_relu"])
    mixed = [(a * g).mean(1).relu() for a, g in zip(weights, gradients, strict=True)]
    found = class_row()
    for matrix in reversed(mixed):
        found = Rollout().step(found, matrix)
    torch.testing.assert_close(found[0, 1:], right, **CLOSE)
    assert torch.corrcoef(torch.stack([wrong, right]))[0, 1] < 0.6 and wrong.argmax() != right.argmax()


def test_shares_move_between_grids():
    rows = torch.rand(2, 1 + 4)
    fine = moved(rows, Grid(1, 2, 2), Grid(1, 4, 4))
    torch.testing.assert_close(fine[:, 0], rows[:, 0])
    torch.testing.assert_close(fine[:, 1:].sum(1), rows[:, 1:].sum(1))
    torch.testing.assert_close(
        fine[:, 1:].view(2, 4, 4)[:, :2, 2:], (rows[:, 2] / 4).view(2, 1, 1).expand(2, 2, 2)
    )
    torch.testing.assert_close(moved(rows, Grid(1, 2, 2), Grid(0, 3, 5)).sum(1), rows[:, 1:].sum(1))


def vit(name="vit_tiny_patch16_224", **options):
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 12, "num_heads": 2, "num_classes": 3}
    return timm.create_model(name, **(sizes | options)).eval()


X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@each([("token", 1), ("avg", 16)])
def test_rows_are_those_that_the_target_reads(case):
    """The class token's where it is read, else the mean of the positions."""
    pool, count = case
    chain = chain_of(Question(vit(global_pool=pool), X, 1), one_layer=True)
    assert (chain.rows > 0).sum(1).tolist() == [count, count]
    assert chain.rows[0, 0] == (1 if pool == "token" else 0)


def test_attention_pooling_is_read_by_its_own_weights():
    model = vit("vit_base_patch16_siglip_224")
    chain = chain_of(Question(model, X, 1), one_layer=False)
    with fv.record(model) as maps:
        model(X)
    pooled = maps["attn_pool"].mean(dim=(1, 2))
    torch.testing.assert_close(chain.rows, pooled)


def test_raw_attention_is_the_recorded_row():
    model = vit()
    with fv.record(model) as maps:
        model(X)
    expected = maps["blocks.0.attn"][:, 1, 0, 1:].view(2, 1, 4, 4)
    expected = F.interpolate(expected, (32, 32), mode="bilinear", align_corners=False)[:, 0]
    found = fv.explain(model, X, "raw_attention(head=1)", layer="blocks.0")
    torch.testing.assert_close(found, expected)
    with pytest.raises(OptionError, match="head: got 2, expected 0 to 1"):
        fv.explain(model, X, RawAttention(head=2))


class Windows(nn.Module):
    """A small Swin whose stages differ in their grids."""

    def __new__(cls):
        torch.manual_seed(0)
        return timm.create_model(
            "swin_tiny_patch4_window7_224",
            img_size=32, window_size=4, embed_dim=8, depths=(2, 2), num_heads=(2, 2), num_classes=3,
        ).eval()  # fmt: skip


def test_windows_are_put_in_their_places():
    """Across shifted windows and a merge of 2 x 2: a product of explicit matrices, token by token."""
    model = Windows()
    chain = chain_of(Question(model, X, 1), one_layer=False)
    assert [link.grid for link in chain.links] == [Grid(0, 8, 8)] * 2 + [Grid(0, 4, 4)] * 2
    found, link = Rollout().combine(chain)
    assert link.grid == Grid(0, 8, 8)
    r = torch.eye(64).expand(2, -1, -1)
    merge = torch.zeros(16, 64)
    for y in range(8):
        for x in range(8):
            merge[y // 2 * 4 + x // 2, y * 8 + x] = 1 / 4
    for number, each_link in enumerate(chain.links):
        a = each_link.matrix(each_link.weights).mean(1)
        torch.testing.assert_close(a.sum(2), torch.ones(a.shape[:2]))
        r = merge @ r if number == 2 else r
        r = (a + torch.eye(a.shape[1])) / 2 @ r
    torch.testing.assert_close(found, r.mean(1))
    torch.testing.assert_close(found.sum(1), torch.ones(2))


@each(
    [
        "rollout",
        "generic_attention",
        "transformer_attribution(start=0)",
        "attention_grad_cam",
        "raw_attention",
    ]
)
def test_a_windowed_model_is_explained(method):
    found = fv.explain(Windows(), X, method, target=1)
    assert found.shape == (2, 32, 32) and found.isfinite().all() and found.min() >= 0


def test_attention_flow_of_a_model_that_reads_the_mean():
    model = vit(global_pool="avg", class_token=False)
    found = fv.explain(model, X[:1], "attention_flow")
    assert found.shape == (1, 32, 32) and found.min() >= 0
    with pytest.raises(OptionError, match="got 257 tokens, expected at most 64"):
        fv.explain(vit(patch_size=2), X, "attention_flow")


def test_models_without_attention_over_positions():
    convolutions = timm.create_model("resnet18", num_classes=3).eval()
    with pytest.raises(SiteError, match="no self-attention"):
        fv.explain(convolutions, X, "rollout")
    with pytest.raises(SiteError, match="no mechanism of foveate"):
        fv.explain(convolutions, X, "mechanism")
    with pytest.raises(SiteError, match=r"no self-attention was recorded at .*blocks\.1"):
        fv.explain(vit(), X, "rollout", layer="blocks.7")
    with pytest.raises(SiteError, match="starts at layer 2, and there are 2"):
        fv.explain(vit(), X, "rollout(start=2)")


def test_the_map_of_a_mechanism():
    plain = timm.create_model("resnet18", num_classes=3).eval()
    model = fv.insert(plain, "spatial@stage2+spatial@stage4", example=X)
    with fv.record(model) as maps:
        model(X)
    paths = list(maps)
    found = explained(model, X, "mechanism")
    assert found.layers == (paths[-1],)
    named = fv.explain(model, X, "mechanism", layer=paths[0])
    expected = F.interpolate(maps[paths[0]], (32, 32), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(named, expected)


def test_the_map_of_a_class():
    head = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), fv.mechanisms["csra"](8, classes=3))
    by_class = [fv.explain(head.eval(), X, "mechanism", target=k) for k in range(3)]
    assert not torch.equal(by_class[0], by_class[1])
    torch.testing.assert_close(fv.explain(head, X, "mechanism", target=[2, 0])[0], by_class[2][0])


@each(["show_attend_tell", "adaptive_captioner"])
def test_what_a_word_read(name):
    torch.manual_seed(0)
    model = fv.create_model(name, classes=20, encoder="resnet18").eval()
    x, words = torch.rand(2, 3, 96, 64), torch.randint(4, 20, (2, 5))
    with fv.record(model) as maps:
        model(x, words)
    found = explained(model, (x, words), "mechanism", target=[Word(1), Word(4)])
    weights = maps[found.layers[0]]
    expected = torch.stack([weights[0, 1, :6], weights[1, 4, :6]]).view(2, 1, 3, 2)
    expected = F.interpolate(expected, (96, 64), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(found.maps, expected)
