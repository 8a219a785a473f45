from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, pad

from foveate.mechanisms.mixed.residual_attention import ResidualAttention


def random_residual(**options: object) -> ResidualAttention:
    torch.manual_seed(0)
    module = ResidualAttention(4, **{"reduction": 2, **options}).double().eval()
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if "var" in name else 0.5 * torch.randn_like(tensor))
    return module


def layer(x: Tensor, norm: nn.BatchNorm2d, conv: nn.Conv2d) -> Tensor:
    x = batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps).relu()
    return conv2d(x, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)


def units(x: Tensor, block: nn.Sequential) -> Tensor:
    for each in block:
        change = x
        for at in (0, 3, 6):
            change = layer(change, each.change[at], each.change[at + 2])
        x = x + change
    return x


def halved(x: Tensor) -> Tensor:
    """The greatest of the 3 x 3 values around every second position."""
    around = pad(x, (1, 1, 1, 1), value=-torch.inf)
    rows = [
        torch.stack([around[:, :, i : i + 3, j : j + 3].amax(dim=(2, 3)) for j in range(0, x.shape[3], 2)], 2)
        for i in range(0, x.shape[2], 2)
    ]
    return torch.stack(rows, dim=2)


def enlarged(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, half-pixel centres, one axis after the other as a matrix product."""
    for axis, out in zip((2, 3), size, strict=True):
        n = x.shape[axis]
        matrix = torch.zeros(out, n, dtype=x.dtype)
        for i in range(out):
            place = max(0.0, (i + 0.5) * n / out - 0.5)
            low = min(int(place), n - 1)
            matrix[i, low] += 1 - (place - low)
            matrix[i, min(low + 1, n - 1)] += place - low
        x = torch.movedim(torch.movedim(x, axis, -1) @ matrix.T, -1, axis)
    return x


def test_equals_the_formula_written_out_with_two_levels() -> None:
    module, x = random_residual(mask=1), torch.randn(2, 4, 9, 6, dtype=torch.float64)
    z = units(x, module.before)
    one = units(halved(z), module.down[0])
    two = units(units(halved(one), module.down[1]), module.up[1])
    mask = enlarged(units(one + enlarged(two, one.shape[2:]), module.up[0]), z.shape[2:])
    for at in (0, 3):
        mask = layer(mask, module.logits[at], module.logits[at + 2])
    trunk = units(z, module.trunk)
    expected = units((1 + 1 / (1 + torch.exp(-mask))) * trunk, module.after)
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("bias", "factor"), [(-60.0, 1), (60.0, 2)])
def test_a_closed_and_an_open_mask(bias: float, factor: int) -> None:
    """A closed mask leaves the trunk as it is: attention does not dim what the layers before it found."""
    module, x = random_residual(around=0), torch.randn(2, 4, 9, 6, dtype=torch.float64)
    nn.init.constant_(module.logits[-1].bias, bias)
    nn.init.zeros_(module.logits[-1].weight)
    torch.testing.assert_close(module(x), factor * module.trunk(x))


def test_as_many_units_as_the_paper_counts() -> None:
    """p = 1 before and after, t = 2 in the trunk, and r = 1 twice a level."""
    module = ResidualAttention(16, levels=3)
    counts = [len(b) for b in (module.before, module.trunk, module.after, *module.down, *module.up)]
    assert counts == [1, 2, 1, 1, 1, 1, 1, 1, 1]


def test_more_levels_than_the_map_has_halves() -> None:
    module = ResidualAttention(4, levels=5).train()
    assert module(torch.randn(1, 4, 3, 2)).isfinite().all()


def tengshaofengs(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Its attention module of two levels, by its names of weights; in evaluation."""

    def norm(y: Tensor, at: str) -> Tensor:
        running = state[f"{at}.running_mean"], state[f"{at}.running_var"]
        return batch_norm(y, *running, state[f"{at}.weight"], state[f"{at}.bias"]).relu()

    def unit(y: Tensor, at: str) -> Tensor:
        z = conv2d(norm(y, f"{at}.bn1"), state[f"{at}.conv1.weight"])
        z = conv2d(norm(z, f"{at}.bn2"), state[f"{at}.conv2.weight"], padding=1)
        return y + conv2d(norm(z, f"{at}.bn3"), state[f"{at}.conv3.weight"])

    def large(y: Tensor, like: Tensor) -> Tensor:
        return nn.UpsamplingBilinear2d(size=like.shape[2:])(y)

    x = unit(x, "first_residual_blocks")
    trunk = unit(unit(x, "trunk_branches.0"), "trunk_branches.1")
    one = unit(halved(x), "softmax1_blocks")
    two = unit(unit(halved(one), "softmax2_blocks.0"), "softmax2_blocks.1")
    y = large(two, one) + one + unit(one, "skip1_connection_residual_block")
    y = large(unit(y, "softmax3_blocks"), trunk) + trunk
    for at in (0, 3):
        y = conv2d(norm(y, f"softmax4_blocks.{at}"), state[f"softmax4_blocks.{at + 2}.weight"])
    return unit((1 + y.sigmoid()) * trunk, "last_blocks")


@pytest.mark.parity("residual_attention")
def test_equals_tengshaofengs_module_with_its_names() -> None:
    c, r, generator = 8, 2, torch.Generator().manual_seed(3)
    shapes: dict[str, tuple[int, ...]] = {}
    blocks = (
        "first_residual_blocks",
        "trunk_branches.0",
        "trunk_branches.1",
        "softmax1_blocks",
        "last_blocks",
    )
    lower = ("softmax2_blocks.0", "softmax2_blocks.1", "softmax3_blocks", "skip1_connection_residual_block")
    for at in (*blocks, *lower):
        shapes |= {f"{at}.conv1.weight": (r, c, 1, 1), f"{at}.conv2.weight": (r, r, 3, 3)}
        shapes |= {f"{at}.conv3.weight": (c, r, 1, 1), f"{at}.conv4.weight": (c, c, 1, 1)}  # the last idle
        for norm, width in (("bn1", c), ("bn2", r), ("bn3", r)):
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{at}.{norm}.{part}"] = (width,)
    for at in (0, 3):
        shapes[f"softmax4_blocks.{at + 2}.weight"] = (c, c, 1, 1)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"softmax4_blocks.{at}.{part}"] = (c,)
    state = {
        n: torch.rand(s, generator=generator, dtype=torch.float64) - (0.3 if "var" not in n else -0.5)
        for n, s in shapes.items()
    }
    module = ResidualAttention(c, levels=2, layout="tengshaofeng").double().eval()
    module.load_state_dict(module.from_published(state), strict=False)
    assert set(module.from_published(state)) == {n for n in module.state_dict() if "num_batches" not in n}
    x = torch.randn(2, c, 9, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(module(x), tengshaofengs(state, x), rtol=1e-10, atol=1e-10)


def test_the_authors_hourglass_has_a_unit_across_aligned_corners_and_no_padding() -> None:
    module, x = random_residual(layout="authors"), torch.randn(1, 4, 11, 8, dtype=torch.float64)

    def down(y: Tensor) -> Tensor:
        """The greatest of 3 x 3 values from every second on, cut off at the end: Caffe's pooling."""
        rows, columns = (range(0, n - 1, 2) for n in y.shape[2:])
        return torch.stack(
            [torch.stack([y[:, :, i : i + 3, j : j + 3].amax((2, 3)) for j in columns], 2) for i in rows], 2
        )

    def large(y: Tensor, like: Tensor) -> Tensor:
        return nn.UpsamplingBilinear2d(size=like.shape[2:])(y)

    z = units(x, module.before)
    one = units(down(z), module.down[0])
    two = units(units(down(one), module.down[1]), module.up[1])
    mask = large(units(units(one, module.across[0]) + large(two, one), module.up[0]), z)
    for at in (0, 3):
        mask = layer(mask, module.logits[at], module.logits[at + 2])
    assert module.logits[-1].bias is None
    expected = units((1 + mask.sigmoid()) * units(z, module.trunk), module.after)
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", ["light", "authors", "tengshaofeng"])
def test_parameters_of_a_stage_of_three_levels(layout: str) -> None:
    """112,128 of tengshaofeng's less its idle convolutions, of 64 * 64 in each of 12 units."""
    module = ResidualAttention(64, levels=3, layout=layout)
    total = 53_952 if layout == "light" else 112_128 - 12 * 64 * 64
    assert sum(p.numel() for p in module.parameters()) == module.cost(8, 8).parameters == total
