"""What inserted attention costs while it is switched off: a bypassed forward pass beside the plain one.

    python -m benchmarks.bypass

Both models take turns, one pass each, in an order that changes from pair to pair; printed is the median of
the ratios of the pairs, and, for the price of the measurement itself, the same for a second plain copy. To
reach: at most 1.01.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from foveate.insert.surgery import bypass, insert

SPECS = ("se@blocks", "cbam@blocks+dual@stage4", "cbam_pool@pool+csra@output")


def seconds(model: nn.Module, images: Tensor) -> float:
    """Return how long one forward pass takes."""
    started = time.perf_counter()
    model(images)
    return time.perf_counter() - started


@torch.inference_mode()
def ratio(first: nn.Module, second: nn.Module, images: Tensor, pairs: int) -> tuple[float, float]:
    """Return the median of second / first over pairs of neighbouring passes, and the first's milliseconds."""
    ratios, times = [], []
    for _ in range(10):
        seconds(first, images), seconds(second, images)
    for pair in range(pairs):
        if pair % 2:
            b, a = seconds(second, images), seconds(first, images)
        else:
            a, b = seconds(first, images), seconds(second, images)
        ratios.append(b / a)
        times.append(a)
    return statistics.median(ratios), 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = torch.rand(1, 3, options.size, options.size)
    plain = resnet18().eval()
    found, milliseconds = ratio(plain, copy.deepcopy(plain), images, options.pairs)
    print(f"resnet18, batch 1, {options.size} pixels: {milliseconds:.1f} ms a pass")
    print(f"{'plain copy / plain':<45} {found:.4f}")
    for spec in SPECS:
        attended = insert(plain, spec, example=images)
        with bypass(attended):
            found, _ = ratio(plain, attended, images, options.pairs)
        print(f"{spec + ', bypassed / plain':<45} {found:.4f}", flush=True)


if __name__ == "__main__":
    main()
