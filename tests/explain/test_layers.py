"""Which layer is taken when none is named, on models of every kind, and what happens when one is named."""

import gc
import weakref

import pytest
import timm
import torch
import torchvision
from torch import nn

import foveate as fv
from foveate.errors import SiteError
from foveate.explain.explain import explained
from foveate.explain.layers import layers_of
from foveate.explain.question import Question
from tests.each import each


def filled(model):
    """Give layers that start at zero some noise, so that scores depend on the image."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if not parameter.count_nonzero():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


VIT = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 12, "num_heads": 2, "num_classes": 3}
FAST = {
    "resnet18": ({}, "layer4"),
    "vit_tiny_patch16_224": (VIT, "blocks.1.norm1"),  # behind the last block only the class token is read
    "vit_base_patch16_siglip_224": (VIT, "norm"),  # attention pooling reads all positions
    "vit_relpos_small_patch16_224": (VIT, "blocks.1"),  # the mean of all positions is read
}
SLOW = {
    "convnext_atto": ({}, "stages"),
    "efficientnet_lite0": ({}, "bn2"),
    "densenet121": ({}, "features"),
    "swin_tiny_patch4_window7_224": ({"img_size": 64, "window_size": 4}, "norm"),
    "pvt_v2_b0": ({}, "stages"),
    "levit_128s": ({"img_size": 224}, "stages"),
    "cait_xxs24_224": ({"img_size": 64}, "blocks_token_only.1.norm1"),
    "deit_tiny_distilled_patch16_224": ({"img_size": 64}, "blocks.11.norm1"),
    "mobilevit_xxs": ({}, "final_conv"),
}


def takes(name, options, layer):
    size = options.get("img_size", 64)
    model = filled(timm.create_model(name, **({"num_classes": 3} | options)))
    found = explained(model, torch.rand(1, 3, size, size), "hires_cam")
    assert found.layers == (layer,)
    assert found.maps.shape == (1, size, size) and found.maps.count_nonzero()


@each(FAST)
def test_the_last_map_on_the_way_to_the_target(name):
    takes(name, *FAST[name])


@pytest.mark.slow
@each(SLOW)
def test_the_last_map_of_more_families(name):
    takes(name, *SLOW[name])


class WithClassToken(nn.Module):
    """A transformer of PyTorch's own layers; the class token lies first or last."""

    def __init__(self, last):
        super().__init__()
        self.last = last
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        token = self.token.expand(len(x), -1, -1)
        x = self.encoder(torch.cat([x, token] if self.last else [token, x], dim=1))
        return self.head(x[:, -1 if self.last else 0])


@each([False, True])
def test_class_tokens_are_left_out_wherever_they_lie(last):
    torch.manual_seed(0)
    model = WithClassToken(last).eval()
    (m,) = Question(model, torch.rand(2, 3, 16, 24)).layer_maps()
    assert m.layer.path == "encoder.layers.1.norm1" and m.activations.shape == (2, 8, 4, 6)
    found: list[torch.Tensor] = []
    handle = model.encoder.layers[1].norm1.register_forward_hook(lambda _m, _i, output: found.append(output))
    model(question_images := torch.rand(2, 3, 16, 24))
    (m,) = Question(model, question_images).layer_maps()
    handle.remove()
    tokens = found[0][:, :-1] if last else found[0][:, 1:]
    torch.testing.assert_close(m.activations.flatten(2).transpose(1, 2), tokens)


def test_a_layer_by_name():
    model, x = timm.create_model("resnet18", num_classes=3).eval(), torch.rand(1, 3, 64, 64)
    assert explained(model, x, layer="layer3.1").layers == ("layer3.1",)
    both = fv.explain(model, x, "hires_cam", layer=["layer3", "layer4"])
    each_alone = [fv.explain(model, x, "hires_cam", layer=layer) for layer in ("layer3", "layer4")]
    torch.testing.assert_close(both, sum(each_alone))


def test_a_layer_that_cannot_be_taken():
    model, x = timm.create_model("resnet18", num_classes=3).eval(), torch.rand(1, 3, 64, 64)
    with pytest.raises(SiteError, match=r"Nearest: .*layer4"):
        fv.explain(model, x, layer="layer5")
    with pytest.raises(SiteError, match='no map can be taken at "fc"'):
        fv.explain(model, x, layer="fc")


def test_a_model_without_a_map():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    with pytest.raises(SiteError, match="integrated_gradients"):
        fv.explain(model, torch.rand(1, 3, 4, 4))
    assert fv.explain(model, torch.rand(1, 3, 4, 4), "saliency").shape == (1, 4, 4)


def test_a_model_that_computes_without_gradients():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        @torch.no_grad()
        def forward(self, x):
            return self.conv(x).mean(dim=(2, 3))

    with pytest.raises(SiteError, match="occlusion"):
        fv.explain(Frozen(), torch.rand(1, 3, 8, 8))
    assert fv.explain(Frozen(), torch.rand(1, 3, 8, 8), "occlusion").count_nonzero()


def test_a_head_of_zeros_gives_a_map_of_zeros():
    model = torchvision.models.resnet18(num_classes=3).eval()
    nn.init.zeros_(model.fc.weight)
    assert not fv.explain(model, torch.rand(1, 3, 32, 32)).any()


def test_layers_are_found_again_after_a_change_and_die_with_the_model():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    x = torch.rand(1, 3, 8, 8)
    assert explained(model, x).layers == ("1",)
    assert layers_of(model, x) is layers_of(model, x)
    model[1] = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    assert explained(model, x).layers == ("1",)
    assert fv.explain(model, torch.rand(2, 3, 10, 8)).shape == (2, 10, 8)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_compiled_models_are_explained_as_written():
    model = timm.create_model("resnet18", num_classes=3).eval()
    x = torch.rand(1, 3, 64, 64)
    expected = fv.explain(model, x, target=1)
    torch.testing.assert_close(fv.explain(torch.compile(model, backend="eager"), x, target=1), expected)


@each([torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model = timm.create_model("resnet18", num_classes=3).eval()
    x = torch.rand(1, 3, 64, 64)
    expected = fv.explain(model, x, "hires_cam", target=1)
    found = fv.explain(model.to(dtype), x.to(dtype), "hires_cam", target=1)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.2 * expected.norm()
