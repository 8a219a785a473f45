"""Recording attention beside timm's ``AttentionExtract`` and hooks written by hand: time and memory.

    python -m benchmarks.recording

Per model: the plain forward pass, ``fv.record``, and its peers. ``AttentionExtract`` and hooks read the
module ``attn_drop``, which gets no weights while attention is fused, so that both need ``fused_attn =
False``; that is part of their time, and their outputs differ from the plain model's in the last digits.
``fused, by hand`` is the least that a recorder can do that leaves the output as it is: the fused kernel runs,
and the weights are computed beside it, in one line and without a word about their places. Sides take turns,
in an order that changes; printed are medians of the ratios to the plain pass of the same round, and the bytes
of weights that each side keeps. To reach: never slower than 1.05 of the fastest that leaves the output as it
is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from timm.utils import AttentionExtract
from torch import Tensor

import foveate as fv

MODELS = ("vit_tiny_patch16_224", "deit_small_patch16_224", "swin_tiny_patch4_window7_224")
Side = Callable[[Tensor], int]


def bytes_of(maps: list[Tensor]) -> int:
    return sum(weights.numel() * weights.element_size() for weights in maps)


def sides(name: str) -> dict[str, Side]:
    """Return what is timed: each runs a batch and returns how many bytes of weights it kept."""
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    unfused = timm.create_model(name).eval()
    unfused.load_state_dict(model.state_dict())
    for module in unfused.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    extract = AttentionExtract(unfused, method="hook")
    hooked = timm.create_model(name).eval()
    hooked.load_state_dict(model.state_dict())
    kept: list[Tensor] = []
    for path, module in hooked.named_modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
        if path.endswith("attn_drop"):
            module.register_forward_hook(lambda _module, _inputs, weights: kept.append(weights.detach()))
    plain = timm.create_model(name).eval()
    computed: list[Tensor] = []

    def ours(images: Tensor) -> int:
        with fv.record(model) as maps:
            model(images)
        return bytes_of(list(maps.values()))

    def theirs(images: Tensor) -> int:
        return bytes_of(list(extract(images).values()))

    def by_hand(images: Tensor) -> int:
        kept.clear()
        hooked(images)
        return bytes_of(kept)

    def fused_by_hand(images: Tensor) -> int:
        computed.clear()
        kernel = F.scaled_dot_product_attention

        def call(q: Tensor, k: Tensor, v: Tensor, **options: object) -> Tensor:
            computed.append(((q * q.shape[-1] ** -0.5) @ k.mT).softmax(-1))
            return kernel(q, k, v, **options)

        F.scaled_dot_product_attention = call
        try:
            plain(images)
        finally:
            F.scaled_dot_product_attention = kernel
        return bytes_of(computed)

    def nothing(images: Tensor) -> int:
        plain(images)
        return 0

    found = {"plain": nothing, "fv.record": ours, "AttentionExtract": theirs, "hook by hand": by_hand}
    if any(getattr(module, "fused_attn", False) for module in plain.modules()):
        found["fused, by hand"] = fused_by_hand
    return found


@torch.inference_mode()
def ratios(
    found: dict[str, Side], images: Tensor, rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return each side's seconds, round by round, and the bytes that it kept."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    kept = {name: side(images) for name, side in found.items()}
    names = list(found)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = time.process_time()
            found[name](images)
            seconds[name].append(time.process_time() - started)
    return seconds, kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = torch.rand(options.batch, 3, 224, 224)
    print(f"{'':<32}{'of plain':>10}{'of peers':>10}{'of exact':>10}{'MB kept':>10}")
    for name in MODELS:
        seconds, kept = ratios(sides(name), images, options.rounds)
        of_plain = {
            side: statistics.median(b / a for a, b in zip(seconds["plain"], taken, strict=True))
            for side, taken in seconds.items()
        }
        fastest = min(of_plain["AttentionExtract"], of_plain["hook by hand"])
        exact = of_plain.get("fused, by hand", fastest)  # where nothing is fused, the peers' is exact, too
        print(f"{name}, {1000 * statistics.median(seconds['plain']):.0f} ms")
        for side, ratio in of_plain.items():
            beside = ["" if side == "plain" else f"{ratio / other:.3f}" for other in (fastest, exact)]
            print(
                f"  {side:<30}{ratio:>10.3f}{beside[0]:>10}{beside[1]:>10}{kept[side] / 1e6:>10.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
