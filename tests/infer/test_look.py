"""``fv.look``: what it draws of attention of every kind, and what it refuses."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import timm
import torch
from torch import nn

import foveate as fv
from foveate.errors import DataError, OptionError, ShapeError
from foveate.explain.atlas.atlas_content import AtlasLayer
from foveate.explain.atlas.from_record import layers_of
from foveate.explain.record import record
from foveate.infer.look_figures import Look
from foveate.tasks.judged import WordReading

PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    options = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 12, "num_heads": 2, "num_classes": 3}
    return timm.create_model("vit_tiny_patch16_224", **options).eval()


@pytest.fixture(scope="module")
def gated():
    torch.manual_seed(0)
    plain = fv.create_model("resnet8", classes=3)
    spec, example = "se@blocks+sk_conv@stage2+spatial@stage3", torch.rand(1, 3, 32, 32)
    return fv.insert(plain, spec, example=example, start="paper").eval()


@pytest.fixture(scope="module")
def seen(vit):
    return fv.look(vit, PHOTOS, size=32)


def test_a_transformer_shows_its_heads_and_the_evidence(seen, tmp_path):
    names = [name for name in seen.drawings if "heads" in name]
    assert names == ["picture1_heads", "picture2_heads"] and "maps" in seen.drawings
    assert [*seen.pictures[0].maps] == ["attention, blocks.1.attn", "grad_cam"]
    assert all(values.shape == (32, 32) for s in seen.pictures for values in s.maps.values())
    assert sum(share for _, share in seen.pictures[0].prediction) == pytest.approx(1)
    paths = seen.save(tmp_path, ("svg",))
    assert all(ET.parse(path) for path in paths if path.suffix == ".svg")
    plain = json.loads((tmp_path / "look.json").read_text())
    assert [p["name"] for p in plain["pictures"]] == ["picture 1", "picture 2"] and plain["drawings"]


def test_the_attention_shown_is_that_of_the_class_token(vit, seen):
    image = (torch.from_numpy(PHOTOS[:1]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with record(vit) as maps, torch.no_grad():
        vit(image)
    weights = maps["blocks.1.attn"][0, :, 0, 1:].mean(dim=0).reshape(4, 4).numpy()
    shown = seen.pictures[0].maps["attention, blocks.1.attn"]
    np.testing.assert_allclose(shown[4::8, 4::8], weights, atol=1e-6)


def test_a_notebook_shows_pictures_with_words(seen):
    page = seen._repr_html_()
    assert page.count("<img") == len(seen.drawings) and 'src="data:image/png' in page
    assert seen._repr_png_().startswith(b"\x89PNG")
    assert "Look(VisionTransformer" in repr(seen)


def test_gates_and_branches_have_bars(gated):
    found = fv.look(gated, torch.rand(3, 3, 32, 32), method="attention")
    kinds = {name.partition("_")[0] for name in found.drawings}
    assert {"gates", "branches", "maps"} <= kinds
    gates = [name for name in found.drawings if name.startswith("gates")]
    assert len(gates) == 3  # the first, the middle one, the last
    (branches,) = [drawing for name, drawing in found.drawings.items() if name.startswith("branches")]
    widths = [bar.get_width() for bar in branches.figure.axes[0].patches]
    assert sum(widths) == pytest.approx(3)  # a softmax over branches, three pictures
    assert any("stage" in name or "layer" in name for name in found.pictures[0].maps)


def test_one_head_and_one_query_can_be_asked_for(vit):
    whole = fv.look(vit, PHOTOS[:1], method="attention", size=32)
    one = fv.look(vit, PHOTOS[:1], method="attention", layer="blocks.0*", head=1, query=(0, 31), size=32)
    (name,) = one.pictures[0].maps
    assert name == "attention, blocks.0.attn" and name not in whole.pictures[0].maps
    image = (torch.from_numpy(PHOTOS[:1]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with record(vit) as maps, torch.no_grad():
        vit(image)
    row = maps["blocks.0.attn"][0, 1, 1 + 3, 1:].reshape(4, 4).numpy()  # the cell in the upper right corner
    np.testing.assert_allclose(one.pictures[0].maps[name][4::8, 4::8], row, atol=1e-6)


def test_words_have_strips_and_alignments():
    rng = np.random.default_rng(0)
    strip = WordReading("a.jpg", ("a", "dog", "</s>"), rng.random((3, 17)), PHOTOS[0], (4, 4))
    matrix = WordReading("ein Hund", ("a", "dog"), rng.dirichlet(np.ones(3), 2), read=("ein", "Hund", "</s>"))
    found = Look("captioner", readings=[strip, matrix])
    assert [*found.drawings] == ["words1", "words2"]
    assert "elsewhere" in found.drawings["words1"].figure.axes[1].get_title()
    assert "a read" in found.drawings["words2"].text
    with pytest.raises(OptionError, match="alignments"):
        found.atlas("never.html")


def looked_at(layer: AtlasLayer, cell: int) -> np.ndarray:
    """Return where each head looks from a cell, as the page's script finds it."""
    rows = [row for row in range(layer.weights.shape[1]) if cell in layer.queries.cells[0, row]]
    (row,) = rows
    places = layer.keys.cells[0 if layer.sets is None else layer.sets[row]]
    out = np.zeros((len(layer.weights), int(np.prod(layer.keys.grid))))
    for entry, parts in enumerate(places):
        covered = parts[parts >= 0]
        for part in covered:
            out[:, part] += layer.weights[:, row, entry] / len(covered)
    return out.reshape(-1, *layer.keys.grid)


@pytest.mark.parametrize("name", ["vit", "swin"])
def test_an_atlas_looks_where_the_record_says(name, vit):
    """Every query of plain and of windowed, shifted attention, against ``to_image``."""
    if name == "swin":
        torch.manual_seed(0)
        options = {"img_size": 32, "patch_size": 2, "window_size": 4, "depths": (2,), "num_heads": (2,)}
        options["embed_dim"] = 8
        vit = timm.create_model("swin_tiny_patch4_window7_224", **options).eval()
    with record(vit) as maps, torch.no_grad():
        vit(torch.rand(1, 3, 32, 32))
    layers = layers_of(maps.in_order)
    assert len(layers) == 2
    for layer, call in zip(layers, maps.in_order, strict=True):
        height, width = layer.keys.grid
        for cell in range(0, height * width, 5):
            query = divmod(cell, width)
            for head, found in enumerate(looked_at(layer, cell)):
                expected = call.to_image((height, width), query=query, head=head).values[0]
                np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_large_atlas_keeps_fewer_queries(seen, tmp_path):
    whole = seen.atlas(tmp_path / "whole.html")
    text = (tmp_path / "whole.html").read_text(encoding="utf-8")
    assert whole == (tmp_path / "whole.html").stat().st_size and "only one query" not in text
    seen.atlas(tmp_path / "small.html", size=1000)
    assert "only one query of each 2×2 is kept" in (tmp_path / "small.html").read_text(encoding="utf-8")


def test_what_cannot_be_looked_at_is_named(vit):
    with pytest.raises(DataError, match="got no picture"):
        fv.look(vit, [])
    with pytest.raises(ShapeError, match="expected a batch"):
        fv.look(vit, torch.rand(3, 32, 32))
    with pytest.raises(fv.FoveateError, match="grad_cim"):
        fv.look(vit, PHOTOS, method="grad_cim", size=32)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    with pytest.raises(OptionError, match="nothing can be drawn"):
        fv.look(flat, PHOTOS, size=32)


def test_a_look_is_judged_as_judge_does(vit):
    pictures = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    found = fv.look(vit, pictures, size=32, judge=True)
    batch = (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    maps = {
        name: torch.from_numpy(np.stack([s.maps[name] for s in found.pictures]))
        for name in found.judgement.maps
    }
    expected = fv.judge(vit, batch, maps)
    assert [*maps] == ["attention, blocks.1.attn", "grad_cam"]
    for name in (*maps, "centre"):
        np.testing.assert_allclose(found.judgement["deletion", name], expected["deletion", name], atol=1e-6)
    assert "better than the centre of the picture" in str(found.judgement)
    plain = found.as_plain()["judgement"]
    assert plain["scores"]["insertion"]["grad_cam"]["low"] is not None


def test_coarse_maps_of_mechanisms_are_judged_on_the_grid_of_the_picture(gated):
    found = fv.look(gated, torch.rand(2, 3, 32, 32), judge=True)
    drawn = found.pictures[0].maps
    coarse = [name for name, values in drawn.items() if values.shape != (32, 32) and np.ptp(values) > 0]
    assert coarse and set(coarse) < set(found.judgement.maps)
    for name in coarse:
        assert np.isfinite(found.judgement["deletion", name].each).all()


def test_one_picture_has_scores_and_no_interval(vit):
    found = fv.look(vit, PHOTOS[:1], method="grad_cam", size=32, judge=True)
    assert np.isfinite(found.judgement["deletion"].mean) and np.isnan(found.judgement["deletion"].low)
    assert "not decided, with 1 picture\n" in str(found.judgement)
