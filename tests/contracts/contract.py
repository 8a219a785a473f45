"""What the tests of the contract share: mechanisms, their inputs, how they are called, their weights seen.

``make test`` holds a few mechanisms to the contract, one for each interface, each kernel and each kind of
code; ``make check`` holds all of them to it. What takes seconds for each is left to ``make nightly``, but for
a few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import Mechanism, build, options_of
from foveate.mechanisms.map_tap import MapTap

NAMES = sorted(mechanisms)
CLASSES = 11  # unlike any variant
GATING = 12  # channels of the coarser map that drives a gate
STEPS = 3  # queries that read a memory
SMALL = {"patches": 4, "step": 3, "size": 3, "scale": 0.6}  # selections from maps as small as these
FEW = """
additive attention_gate attention_sampling cbam channel concat criss_cross csra eca emsa feature_pyramid gc
gem gumbel halo non_local se side_fusion simam spatial
""".split()  # each interface, kernel and kind of code; test_few.py says so


def needed(name: str) -> dict[str, object]:
    """Return the options without which a mechanism cannot be built, or cannot take such small inputs."""
    every = {"label": {"classes": CLASSES}, "gate": {"gating": GATING}, "select": SMALL}
    given = every.get(mechanisms[name].interface, {})
    return {option: value for option, value in given.items() if option in options_of(mechanisms[name])}


BUILDS = [(name, {}) for name in NAMES] + [
    (n, {o: v}) for n in NAMES for o, v in mechanisms[n].variants.items()
]
NEIGHBOURS = [name for name in NAMES if "dimensions" in options_of(mechanisms[name])]
CHANGED_BY_TRAINING = nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd


def each(names: list[str]) -> list[object]:
    """Return the names as parameters of a test: those that are not among the few are slow."""
    return [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in names]


def nightly_but(chosen: list[str]) -> pytest.MarkDecorator:
    """Run a test for every mechanism, nightly for those that are not among the chosen."""
    return pytest.mark.parametrize(
        "name", [name if name in chosen else pytest.param(name, marks=pytest.mark.nightly) for name in NAMES]
    )


EVERY = pytest.mark.parametrize("name", each(NAMES))


def new(name: str, channels: int = 16, *, jitter: bool = True, seed: int = 0, **options: object) -> Mechanism:
    """Build one; ``jitter`` moves what starts at a special value, such as a zero gate, off that value."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed costs more than most calls
    module = build(name, channels, **{**needed(name), **options})
    if jitter:
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter) + 0.4 * (parameter.numel() == 1)
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.running_mean += 0.1 * torch.randn_like(norm.running_mean)
                norm.running_var *= 1 + torch.rand_like(norm.running_var)
    return module.eval()


def builds(name: str) -> list[dict[str, object]]:
    """Return the options of each build of a mechanism: none, then each variant by itself."""
    return [options for found, options in BUILDS if found == name]


@contextmanager
def told(what: object) -> Iterator[None]:
    """Say of a failure in a loop which turn it was."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        error.add_note(f"of {what}")
        raise


def of_rank(name: str, rank: int, channels: int = 16) -> Mechanism:
    """Build one for signals (1), maps (2) or volumes (3)."""
    return new(name, channels, **({"dimensions": rank} if name in NEIGHBOURS else {}))


def image(batch: int = 2, channels: int = 16, *size: int, seed: int = 1, **options: object) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *(size or (7, 5)), generator=generator, **options)


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def size_for(module: Mechanism, height: int, width: int) -> tuple[int, ...]:
    """The size of what it takes: built for volumes three slices, for signals all positions in a row."""
    return {1: (height * width,), 2: (height, width), 3: (3, height, width)}[module.dimensions]


def inputs(
    module: Mechanism, batch: int = 2, height: int = 7, width: int = 5, **options: object
) -> tuple[Tensor, ...]:
    """Random tensors for one call. The coarser map of a gate has half the size, the maps to fuse have one."""
    return sized(module, batch, size_for(module, height, width), **options)


def sized(module: Mechanism, batch: int, size: tuple[int, ...], **options: object) -> tuple[Tensor, ...]:
    """The same for maps of any rank."""
    if module.interface == "fuse":
        return tuple(image(batch, c, *size, seed=i, **options) for i, c in enumerate(module.widths, 1))
    x = image(batch, module.channels, *size, **options)
    if module.interface == "gate":
        half = tuple((side + 1) // 2 for side in size)
        return x, image(batch, module.gating, *half, seed=2, **options)
    if module.interface == "read":
        return tokens(image(batch, module.query_channels, STEPS, 1, seed=2, **options)), tokens(x)
    return (x,)


def ask(module: nn.Module, tensors: tuple[Tensor, ...], interface: str = "") -> Tensor:
    """Call a mechanism, or what was compiled from it; of a read return the context.

    Of a selection return its patches, row by row of pixels, each multiplied by its weight.

    The same seed each time: a hard choice in training is drawn.
    """
    redraw()
    kind = interface or module.interface
    output = module(list(tensors)) if kind == "fuse" else module(*tensors)
    return main(output, kind)


def main(output: object, kind: str) -> Tensor:
    """Return the one tensor of what a mechanism of an interface returned that the tests look at."""
    if kind == "select":
        patches, _, weights = output
        return patches.flatten(2) * weights.unsqueeze(2).to(patches.dtype)
    return output[0] if kind == "read" else output


def redraw() -> None:
    """Let the next call draw what the last one drew."""
    torch.default_generator.manual_seed(5)


def like(tensors: tuple[Tensor, ...], change: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    return tuple(change(tensor) for tensor in tensors)


def promised(module: Mechanism, tensors: tuple[Tensor, ...]) -> tuple[int, ...]:
    first = tensors[0]
    if module.interface == "read":
        return (*first.shape[:2], module.channels)
    if module.interface == "select":
        return (len(first), module.count(*first.shape[2:]), first.shape[1] * module.size**2)
    if module.interface == "fuse":
        return (len(first), module.out_channels, *((1, 1) if module.pooled else first.shape[2:]))
    shapes = {"refine": tuple(first.shape), "pool": tuple(first.shape[:2]), "label": (len(first), CLASSES)}
    if module.interface == "gate":
        return (len(first), module.out_channels, *first.shape[2:])
    return shapes[module.interface]


def modes(module: Mechanism) -> tuple[bool, ...]:
    """Return whether to look at ``module`` in eval, and in training where that is another computation.

    ``test_training_is_eval_without_a_layer_that_says_otherwise`` holds that elsewhere it is none.
    """
    changed = is_hard(module) or any(isinstance(child, CHANGED_BY_TRAINING) for child in module.modules())
    return (False, True) if changed else (False,)


def is_hard(module: Mechanism) -> bool:
    return module.facets.weighting == "hard"


def loss(output: Tensor) -> Tensor:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2), dtype=output.dtype)
    return (output * weights).sum()


def taps(module: nn.Module) -> dict[str, MapTap]:
    return {path: child for path, child in module.named_modules() if isinstance(child, MapTap)}


@contextmanager
def recording(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What ``fv.record`` does, in a few lines."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for path, tap in taps(module).items():
        tap.recording = True
        hooks.append(tap.register_forward_hook(lambda _m, _i, out, path=path: seen.__setitem__(path, out)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
        for tap in taps(module).values():
            tap.recording = False


def close(got: Tensor, expected: Tensor, share: float) -> None:
    """Compare by the share of the greatest value, as low precision errs in proportion to what it sums."""
    assert got.isfinite().all()
    error = (got.double() - expected.double()).abs().max() / expected.double().abs().max()
    assert error <= share, f"off by {error:.2g} of the greatest value, allowed {share}"


def call_arguments(module: Mechanism, tensors: tuple[Tensor, ...]) -> tuple[object, ...]:
    return (list(tensors),) if module.interface == "fuse" else tensors
