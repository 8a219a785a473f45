"""What the compiler itself costs a gate on a CPU: the smallest cases, without a line of foveate in them.

    python -m benchmarks.compiler [--shape 8x256x56x56]

A map times a function of its means: of nothing else ("product"), of a linear layer, of a 1 x 1 convolution,
which computes the same; a map times its means over rows and over columns ("lines"), as coordinate attention
has them; times its maxima along all three axes ("maxima"), as triplet attention has them; plus a weighted sum
of its positions ("context"), as global context has it; and what two convolutions make of it, with a softmax
over positions between them ("memory"), as external attention has them. Each runs as PyTorch's eager operators
and under ``torch.compile``, forward and forward with backward, in turns, on one thread. Where the second is
the slower one here, a compiled mechanism of ours is so for the same reason; the convolution is why ours are
linear layers when they are compiled. Where it is faster here and ours is not, ours is faster in eager PyTorch
than these plain operators: by a library's product ("context") and by blocks that stay in the cache ("lines",
"maxima").
"""

from __future__ import annotations

import argparse
import itertools
from functools import partial

import torch
from benchmarks.mechanisms import LAYOUTS, forward, medians, training
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear


class Case(nn.Module):
    """A map times what ``weigh`` makes of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x * self.weigh(x)

    def weigh(self, x: Tensor) -> Tensor:
        """Return the channel means."""
        return x.mean(dim=(2, 3), keepdim=True)


class Linear(Case):
    """A linear layer between."""

    def weigh(self, x: Tensor) -> Tensor:
        """Return a linear function of the channel means."""
        means = x.mean(dim=(2, 3))
        return linear(means, self.layer.weight.flatten(1), self.layer.bias)[:, :, None, None]


class Convolution(Case):
    """A convolution between."""

    def weigh(self, x: Tensor) -> Tensor:
        """Return the same, by a convolution."""
        return self.layer(x.mean(dim=(2, 3), keepdim=True))


class Lines(Case):
    """Two kinds of means."""

    def weigh(self, x: Tensor) -> Tensor:
        """Return the means of rows times those of columns."""
        return x.mean(dim=3, keepdim=True) * x.mean(dim=2, keepdim=True)


class Maxima(Case):
    """Maxima along every axis."""

    def weigh(self, x: Tensor) -> Tensor:
        """Return the sum of the maxima over channels, rows and columns."""
        return sum(x.amax(dim=axis, keepdim=True) for axis in (1, 2, 3))


class Context(Case):
    """Two products and a sum, nothing more."""

    def forward(self, x: Tensor) -> Tensor:
        """Add to every position a weighted sum of all."""
        weights = (x * self.layer.weight[:1]).sum(dim=1, keepdim=True)
        return x + (x * weights).sum(dim=(2, 3), keepdim=True)


class Memory(Case):
    """Two 1 x 1 convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        """Read a quarter as many numbers as there are channels, normalised over positions, and return."""
        weight = self.layer.weight[: x.shape[1] // 4]
        return conv2d(
            conv2d(x, weight).flatten(2).softmax(dim=2).unflatten(2, x.shape[2:]), weight.transpose(0, 1)
        )


CASES = {
    "product": Case,
    "linear": Linear,
    "1x1 convolution": Convolution,
    "lines": Lines,
    "maxima": Maxima,
    "context": Context,
    "memory": Memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="8x256x56x56", help="BxCxHxW")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape = [*map(int, options.shape.split("x"))]
    print(f"torch {torch.__version__}, one thread, {options.shape}\n")
    print("| case | layout | pass | eager ms | compiled ms | compiled / eager |\n|" + " --- |" * 6)
    for (case, make), (name, layout) in itertools.product(CASES.items(), LAYOUTS.items()):
        torch._dynamo.reset()  # all cases share one forward, and few graphs may be kept of it
        module = make(shape[1])
        compiled = torch.compile(module, fullgraph=True)
        x = torch.randn(shape).contiguous(memory_format=layout)
        wanted, slope = x.clone(memory_format=layout).requires_grad_(), torch.randn_like(x)
        for what, step, given in (("forward", forward, x), ("forward + backward", training, wanted)):
            steps = [partial(step, side, [given], slope) for side in (module, compiled)]
            eager, other = medians(steps, options.rounds)
            print(
                f"| {case} | {name} | {what} | {eager:.2f} | {other:.2f} | {other / eager:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
