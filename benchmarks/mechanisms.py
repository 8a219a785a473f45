"""Ours and the same mechanisms of other packages: time and memory, forward and training, beside the floor.

    python -m benchmarks.mechanisms [--names se cbam] [--shapes 8x256x56x56] [--quick] [--compile]

One thread. The sides take turns, in an order that rotates; times are medians of the CPU time of the process,
so that other programs disturb little. "forward" is a pass in eval without gradients, "training" a pass in
training and the backward pass to the input and every parameter. Memory is the most that tensors held at a
time beyond the input and the parameters, as PyTorch's allocator counts it, in units of the input; what
libraries below PyTorch take for themselves is not seen. The floor is what memory and arithmetic allow: the
fewest passes over the input at the rate of a copy of that size, and the multiply-adds at the rate of a matrix
product of 2048, both measured here. "gain" is the time of the fastest correct peer over ours. Peers with
faults are shown, with the fault, and not counted.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from benchmarks.peers import OURS, Peer, missing, peers
from torch import Tensor, nn

from foveate.mechanisms import mechanisms
from foveate.mechanisms.base import build

SMALL = ["8x64x56x56", "8x256x56x56", "8x512x28x28", "8x1024x14x14"]
LARGE = ["1x512x64x64", "1x512x97x97", "1x512x128x128"]
PAIRWISE = ("position", "channel", "criss_cross", "non_local", "multi_head", "external")
PASSES = {"cbam": 4, "external": 2, "sk_conv": 7}  # reads and writes of a map; 3 for other gates
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
ROOM = 4 * 2**30  # bytes of N x N matrices that a peer may take
Step = Callable[[], object]


def timed(steps: list[Step], rounds: int) -> list[list[float]]:
    """Return the milliseconds of CPU time of each step in each round; they take turns."""
    times: list[list[float]] = [[] for _ in steps]
    for turn in range(-1, rounds):
        for i in range(len(steps)):
            position = (i + turn) % len(steps)
            started = time.process_time()
            steps[position]()
            if turn >= 0:  # the first round warms up
                times[position].append(1000 * (time.process_time() - started))
    return times


def medians(steps: list[Step], rounds: int) -> list[float]:
    """Return the median milliseconds of CPU time of each step."""
    return [statistics.median(each) for each in timed(steps, rounds)]


def peak(step: Step) -> int:
    """Return the most bytes that tensors held at a time, beyond those that were there before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        kept = step()
    del kept
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = (e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    return max(itertools.accumulate(changes), default=0)


def forward(module: nn.Module, given: list[Tensor], slope: Tensor) -> Tensor:
    with torch.no_grad():
        return module.eval()(*given)


def training(module: nn.Module, given: list[Tensor], slope: Tensor) -> Tensor:
    for tensor in (*given, *module.parameters()):
        tensor.grad = None
    output = module.train()(*given)
    output.backward(slope)
    return output.detach()


def floor(name: str, given: list[Tensor], macs: int, rate: float) -> float:
    """Return the milliseconds that no forward pass can go below."""
    x = given[0].detach()
    room = torch.empty_like(x)
    copy = medians([lambda: room.copy_(x)], 9)[0]
    passes = PASSES.get(name, 2 if name in PAIRWISE else 3)
    return max(passes / 2 * copy, 1000 * macs * len(x) / rate)


def sides(name: str, channels: int, length: int, compiled: bool) -> dict[str, tuple[nn.Module | None, str]]:
    """Return ours and the peers, built, each with a remark; None for one that is not run."""
    gating = {"gating": channels} if mechanisms[name].interface == "gate" else {}
    built: dict[str, tuple[nn.Module | None, str]] = {
        "foveate": (build(name, channels, **OURS.get(name, {}), **gating), "")
    }
    if compiled:
        twin = build(name, channels, **OURS.get(name, {}), **gating)
        twin.compile(fullgraph=True)
        return built | {"foveate, compiled": (twin, "")}
    for peer, make in peers().get(name, {}).items():
        built[peer] = _side(make, channels, length)
    return built


def _side(make: Peer, channels: int, length: int) -> tuple[nn.Module | None, str]:
    if 4 * make.squares * length**2 > ROOM:
        return None, f"left out: {4 * make.squares * length**2 / 2**30:.0f} GiB of N x N matrices"
    return make(channels), f"FAULTY: {make.faults}" if make.faults else ""


def compare(
    name: str, shape: str, layout: str, rate: float, rounds: int, compiled: bool = False
) -> dict[str, float]:
    """Print one row for each side and return how many times ours is faster: forward and training.

    With ``compiled`` the other side is ours under ``torch.compile``, and the gain is eager time over its own.
    """
    batch, channels, height, width = map(int, shape.split("x"))
    torch.manual_seed(0)
    count = 2 if mechanisms[name].interface == "gate" else 1
    given = [torch.randn(batch, channels, height, width) for _ in range(count)]
    given = [x.contiguous(memory_format=LAYOUTS[layout]).requires_grad_() for x in given]
    slope, size = torch.randn_like(given[0]).detach(), given[0].numel() * 4
    rows = sides(name, channels, height * width, compiled)
    least = floor(name, given, build_cost(rows["foveate"][0], height, width), rate)
    modules: dict[str, nn.Module] = {}
    for who, (module, remark) in rows.items():
        try:
            if module is not None:
                module.to(memory_format=LAYOUTS[layout])
                forward(module, given, slope)
                modules[who] = module
        except RuntimeError as error:
            rows[who] = None, remark or f"fails: {str(error)[:60]}"
    results: dict[str, dict[str, float]] = {who: {} for who in modules}
    for what, step in (("forward", forward), ("training", training)):
        steps: list[Step] = [partial(step, module, given, slope) for module in modules.values()]
        once = medians(steps, 1)
        turns = rounds if sum(once) < 400 else 3
        for who, milliseconds, one in zip(modules, medians(steps, turns), steps, strict=True):
            results[who][what] = milliseconds
            for tensor in given:
                tensor.grad = None
            results[who][f"{what} memory"] = peak(one) / size
    judged = "foveate, compiled" if compiled else "foveate"
    correct = [who for who in modules if who != judged and not rows[who][1]]
    gains = {
        what: min(results[who][what] for who in correct) / results[judged][what]
        for what in ("forward", "training")
        if correct and judged in results
    }
    for who, (_, remark) in rows.items():
        gained = gains if who == judged else {}
        print(_row(name, shape, layout, who, results.get(who), least, gained, remark), flush=True)
    return gains


def build_cost(module: nn.Module | None, height: int, width: int) -> int:
    """Return the multiply-adds of one image."""
    return module.cost(height, width).macs  # type: ignore[union-attr, operator]


def _row(
    name: str,
    shape: str,
    layout: str,
    who: str,
    found: dict[str, float] | None,
    least: float,
    gains: dict[str, float],
    remark: str,
) -> str:
    cells = [name, shape, layout, who]
    for what in ("forward", "training"):
        if found is None:
            cells += [""] * (4 if what == "forward" else 3)
            continue
        cells.append(f"{found[what]:.2f}")
        cells.append(f"{gains[what]:.2f}" if gains else "")
        cells.append(f"{found[f'{what} memory']:.2f}")
        if what == "forward":
            cells.append(f"{found[what] / least:.1f}")
    return "| " + " | ".join([*cells, remark]) + " |"


def mean(values: list[float]) -> str:
    return f"{math.exp(statistics.fmean(map(math.log, values))):.2f}" if values else "-"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", nargs="*", help="mechanisms; default: all that a peer has")
    parser.add_argument("--shapes", nargs="*", help="BxCxHxW; default: those of the kind of mechanism")
    parser.add_argument("--layouts", nargs="*", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="5 rounds at the first two shapes")
    parser.add_argument("--compile", action="store_true", help="ours under torch.compile beside ours without")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # those of the peers
    torch.set_num_threads(1)
    a, b = torch.randn(2, 2048, 2048)
    rate = 2048**3 / (medians([lambda: a @ b], 5)[0] / 1000)
    print(f"torch {torch.__version__}, one thread; matrix product {2 * rate / 1e9:.0f} GFLOP/s")
    for package in missing():
        print(f"{package} is not installed and left out; pip install foveate[bench] brings it")
    titles = (
        "mechanism, shape, layout, who, forward ms, gain, memory, / floor, training ms, gain, memory, remark"
    )
    print("\n| " + " | ".join(titles.split(", ")) + " |\n|" + " --- |" * 12)
    gains: dict[str, list[dict[str, float]]] = {}
    for name in options.names or [name for name in peers() if name in mechanisms]:
        shapes = options.shapes or (LARGE if name in PAIRWISE else SMALL)[: 2 if options.quick else None]
        for shape, layout in itertools.product(shapes, options.layouts):
            rounds = 5 if options.quick else options.rounds
            found = compare(name, shape, layout, rate, rounds, options.compile)
            gains.setdefault(name, []).append(found)
    print("\n| mechanism | forward: mean gain | least | training: mean gain | least |\n|" + " --- |" * 5)
    together: list[dict[str, float]] = [found for each in gains.values() for found in each]
    for name, each in [*gains.items(), ("all", together)]:
        cells = [name]
        for what in ("forward", "training"):
            values = [found[what] for found in each if found]
            cells += [mean(values), f"{min(values):.2f}" if values else "-"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
