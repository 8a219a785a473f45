"""Counts against numbers worked out by hand, published ones, and PyTorch's own counter on unfused models."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from foveate.cost.count import cost
from foveate.errors import ShapeError
from foveate.mechanisms.base import build
from foveate.mechanisms.facets import Cost


class Do(nn.Module):
    """A module whose forward is any function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def macs(function, *inputs):
    return cost(Do(function), inputs).macs


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12), 8 * 3 * 9 * 120),
        (nn.Conv2d(8, 12, 3, groups=4, stride=2), (8, 11, 9), 12 * 2 * 9 * 5 * 4),
        (nn.Conv2d(6, 6, 5, groups=6, padding=2), (6, 7, 7), 6 * 25 * 49),
        (nn.Conv2d(4, 6, 3, dilation=2), (4, 9, 9), 6 * 4 * 9 * 25),
        (nn.ConvTranspose2d(6, 4, 2, stride=2), (6, 5, 7), 6 * 4 * 4 * 35),
        (nn.ConvTranspose2d(6, 4, 3, groups=2), (6, 5, 7), 6 * 2 * 9 * 35),
        (nn.Conv1d(3, 5, 3), (3, 10), 5 * 3 * 3 * 8),
        (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), 3 * 2 * 8 * 27),
        (nn.Linear(7, 11), (7,), 77),
        (nn.Linear(7, 11, bias=False), (5, 7), 5 * 77),
        (nn.LSTM(6, 8, batch_first=True), (10, 6), 10 * 4 * 8 * (6 + 8)),
        (nn.GRU(6, 8, batch_first=True), (10, 6), 10 * 3 * 8 * (6 + 8)),
        (nn.BatchNorm2d(4), (4, 5, 5), 0),
    ],
)
def test_layer_by_hand(layer, shape, expected):
    assert cost(layer, torch.randn(1, *shape)).macs == expected
    assert cost(layer, torch.randn(4, *shape)).macs == expected  # for one image, whatever the batch


def test_matrix_products_by_hand():
    a, b = torch.randn(1, 4, 5), torch.randn(1, 5, 6)
    assert macs(torch.bmm, a, b) == 120
    assert macs(torch.matmul, a, b) == 120
    assert macs(lambda a, b: torch.baddbmm(torch.zeros(1, 4, 6), a, b), a, b) == 120
    assert macs(lambda a, b: torch.einsum("bij,bjk->bik", a, b), a, b) == 120
    assert macs(lambda a, b: a[0] @ b[0], a, b) == 120
    assert macs(lambda a, b: a[0] @ b[0, :, 0], a, b) == 20


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize(
    ("queries", "keys", "width", "value_width"), [(7, 7, 4, 4), (5, 9, 8, 8), (4, 6, 8, 5)]
)
def test_attention_by_hand_whatever_kernel(heads, queries, keys, width, value_width):
    q, k = torch.randn(1, heads, queries, width), torch.randn(1, heads, keys, width)
    v = torch.randn(1, heads, keys, value_width)
    expected = heads * queries * keys * (width + value_width)
    assert macs(F.scaled_dot_product_attention, q, k, v) == expected
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert macs(F.scaled_dot_product_attention, q, k, v) == expected
    assert macs(lambda q, k, v: (q @ k.mT).softmax(-1) @ v, q, k, v) == expected


def test_formulas_know_every_fused_kernel_that_torch_has():
    from foveate.cost.operator_macs import has_formula

    names = [
        n for n in dir(torch.ops.aten) if "attention" in n
    ]  # what the build's dispatcher has looked up so far
    names += [
        n.split("::")[1].split(".")[0] for n in torch._C._dispatch_get_all_op_names() if "attention" in n
    ]
    forward = {n for n in names if n.startswith("_scaled_dot_product") and "backward" not in n}
    composite = {"_scaled_dot_product_attention_math"}  # runs as matrix products
    assert len(forward) > 4
    unknown = {n for n in forward - composite if not has_formula(getattr(torch.ops.aten, n))}
    assert {n for n in unknown if "quantized" not in n} == set()


def test_multihead_attention_fast_path_is_counted():
    layer = nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, batch_first=True).eval()
    projections, scores, hidden = 4 * 16 * 16 * 9, 2 * 9 * 9 * 16, 2 * 16 * 32 * 9
    assert cost(layer, torch.randn(2, 9, 16)).macs == projections + scores + hidden
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.slow
def test_fused_vit_costs_what_the_unfused_one_does():
    model = timm.create_model("vit_tiny_patch16_224").eval()
    x = torch.randn(1, 3, 224, 224)
    fused = cost(model, x).macs
    for block in model.blocks:
        block.attn.fused_attn = False
    assert cost(model, x).macs == fused
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    assert fused == counter.get_total_flops() // 2
    assert fused == pytest.approx(2.51e9 / 2, rel=5e-3)


@pytest.mark.parametrize(
    ("build", "size", "parameters", "giga"),
    [  # as torchvision's own tables give them ("GFLOPS" there are multiply-adds)
        (torchvision.models.mobilenet_v3_small, 224, 2_542_856, 0.06),
        pytest.param(torchvision.models.resnet50, 224, 25_557_032, 4.09, marks=pytest.mark.slow),
        pytest.param(torchvision.models.densenet121, 224, 7_978_856, 2.83, marks=pytest.mark.slow),
        pytest.param(torchvision.models.efficientnet_b0, 224, 5_288_548, 0.39, marks=pytest.mark.slow),
        pytest.param(torchvision.models.vit_b_16, 224, 86_567_656, 17.56, marks=pytest.mark.slow),
        pytest.param(torchvision.models.swin_t, 224, 28_288_354, 4.49, marks=pytest.mark.slow),
    ],
)
def test_published_numbers(build, size, parameters, giga):
    found = cost(build(weights=None), torch.randn(1, 3, size, size))
    assert found.parameters == parameters
    assert round(found.macs / 1e9, 2) == giga


def test_bytes_are_parameters_and_buffers():
    layer = nn.BatchNorm2d(8)
    assert cost(layer, torch.randn(1, 8, 2, 2)) == Cost(16, 0, 4 * 32 + 8)
    assert cost(layer.bfloat16(), torch.randn(1, 8, 2, 2).bfloat16()).bytes == 2 * 32 + 8


def test_shared_parameters_count_once():
    layer = nn.Linear(4, 4, bias=False)
    assert cost(nn.Sequential(layer, layer), torch.randn(1, 4)) == Cost(16, 32, 64)


def test_model_and_random_state_are_left_as_they_were():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model[1].eval()
    random_layer = Do(lambda x: x + torch.rand_like(x))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    cost(nn.Sequential(model, random_layer), torch.zeros(2, 3, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == [True, True, False, True]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_modes_come_back_after_an_error():
    model = nn.Sequential(nn.Linear(3, 3), Do(lambda x: 1 / 0)).train()
    with pytest.raises(ShapeError, match="does not run on the example: ZeroDivisionError"):
        cost(model, torch.zeros(1, 3))
    assert model.training and torch.backends.mha.get_fastpath_enabled()


def test_compiled_model_counts_like_the_plain_one():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
    x = torch.zeros(2, 3, 8, 8)
    assert cost(torch.compile(model, backend="eager"), x).macs == cost(model, x).macs > 0


def test_examples_of_other_kinds():
    layer = nn.Linear(6, 2, bias=False)
    assert cost(Do(lambda images: layer(images[0])), [torch.randn(6), torch.randn(6)]).macs == 12
    assert cost(Do(lambda x, y: layer(x) + layer(y)), (torch.randn(3, 6), torch.randn(3, 6))).macs == 24

    class Named(nn.Module):
        def forward(self, *, pixels):
            return layer(pixels)

    assert cost(Named(), {"pixels": torch.randn(3, 6)}).macs == 12


@pytest.mark.parametrize("name", ["spatial", "cbam", "triplet", "se"])
def test_a_fast_path_costs_what_the_formula_does(name):
    """On large maps some convolutions run as matrix products that compute more than is wanted."""
    module = build(name, 64).eval()
    counted = cost(module, torch.zeros(1, 64, 96, 96))
    assert counted.macs == module.cost(96, 96).macs
