"""Segmentation systems beside the same networks of other packages: time and memory, inference and training.

    python -m benchmarks.segmentation [--names deeplabv3plus pan] [--layouts NCHW] [--channels 2048]

The peers are segmentation-models-pytorch, MONAI and torchvision, and for the heads of DANet and CCNet at
97 x 97 the same head with attention as benchmarks/peers.py has it, for which no package has the network. The
weights are the peer's, loaded as a checkpoint of it would be; both sides must return the same. "inference" is
a pass in eval without gradients, "training" forward, cross-entropy of every output, and backward.

One thread; the sides take turns, in an order that rotates. Times are the CPU time of the process; the ratio
is the median of those of the rounds, ours over the peer's. Memory is the most that tensors held at a time
beyond images and parameters, gradients included, as PyTorch's allocator counts it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

import torch
from benchmarks.mechanisms import LAYOUTS, mean, peak, timed
from benchmarks.peers import PACKAGES, PrintedChannel, PrintedPosition, imported, peers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from foveate.models import create_model
from foveate.models.segmentation.ccnet import CrissCrossHead
from foveate.models.segmentation.danet import DualHead

CLASSES = 21
WIDTHS = (16, 32, 64, 128, 256)
SMP = "segmentation-models-pytorch"
ENOUGH = 6000  # milliseconds that the rounds of one side may take


@dataclass(frozen=True)
class Case:
    """One network of ours and how to build the peer's.

    Args:
        name: Of the model.
        shape: Of the images.
        package: Whose the peer is; empty for one that is written down here.
        peer: Builds it.
        options: With which ours is built.
    """

    name: str
    shape: str
    package: str
    peer: Callable[[], nn.Module]
    options: dict[str, object] = field(default_factory=dict)

    def pair(self) -> tuple[nn.Module, nn.Module]:
        """Return ours and theirs, with the same weights."""
        theirs = self.peer()
        if isinstance(theirs, Reads):
            ours = theirs.head()
            ours.load_state_dict(theirs.inner.state_dict())
            return Reads(ours), theirs
        ours = create_model(self.name, classes=CLASSES, **self.options)
        ours.load_state_dict(ours.from_published(theirs.state_dict()))
        return ours, theirs


class Reads(nn.Module):
    """A head, given its map as a network is given its images.

    Args:
        inner: The head.
        head: Builds it as ours.
    """

    def __init__(self, inner: nn.Module, head: Callable[[], nn.Module] | None = None) -> None:
        super().__init__()
        self.inner, self.head = inner, head

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return its logits."""
        return self.inner([x])


class TwoRounds(nn.Module):
    """Criss-cross attention of another package, twice, under our names of weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = peers()["criss_cross"]["fightingcv"](channels)
        self.query, self.key, self.value = inner.query_conv, inner.key_conv, inner.value_conv
        self.gamma = inner.gamma
        self._round = [inner]  # not a child: its layers have names here already

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self._round[0](self._round[0](x))


def dual(channels: int) -> Reads:
    head = partial(DualHead, channels, CLASSES)
    other = head()
    other.position, other.channel = PrintedPosition(channels // 4), PrintedChannel()
    nn.init.ones_(other.position.gamma)
    return Reads(other, head)


def criss_cross(channels: int) -> Reads:
    head = partial(CrissCrossHead, channels, CLASSES)
    other = head()
    other.attention = TwoRounds(channels // 4)
    nn.init.ones_(other.attention.gamma)
    return Reads(other, head)


def smp(architecture: str, encoder: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        make = imported(f"segmentation_models_pytorch:{architecture}")
        return make(encoder, encoder_weights=None, classes=CLASSES)

    return build


def monai(dimensions: int) -> nn.Module:
    make = imported("monai.networks.nets:AttentionUnet")
    return make(dimensions, 3, CLASSES, channels=WIDTHS, strides=(2,) * 4)


def torchvision() -> nn.Module:
    make = imported("torchvision.models.segmentation:fcn_resnet50")
    return make(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)


def cases(channels: int) -> list[Case]:
    """Return all of them, the heads on maps of that many channels."""
    found = []
    for encoder, shape in (("resnet18", "4x3x256x256"), ("resnet50", "2x3x256x256")):
        found += [
            Case(
                "deeplabv3plus",
                shape,
                SMP,
                smp("DeepLabV3Plus", encoder),
                {"encoder": encoder, "layout": "smp"},
            ),
            Case("pan", shape, SMP, smp("PAN", encoder), {"encoder": encoder}),
        ]
    mobile = {"encoder": "mobilenet_v2", "layout": "smp"}
    two = {"kind": "monai", "widths": WIDTHS}
    return [
        *found,
        Case("deeplabv3plus", "4x3x256x256", SMP, smp("DeepLabV3Plus", "mobilenet_v2"), mobile),
        Case("unet", "2x3x256x256", SMP, smp("Unet", "resnet34"), {"encoder": "resnet34"}),
        Case("attention_unet", "4x3x256x256", "monai", partial(monai, 2), two),
        Case("attention_unet", "1x3x64x64x64", "monai", partial(monai, 3), {**two, "dimensions": 3}),
        Case("fcn", "1x3x256x256", "torchvision", torchvision),
        Case("danet head", f"1x{channels}x97x97", "", partial(dual, channels)),
        Case("ccnet head", f"1x{channels}x97x97", "fightingcv-attention", partial(criss_cross, channels)),
    ]


def inference(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model.eval()(x)
    return logits if isinstance(logits, Tensor) else logits["out"]


def training(model: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    for parameter in model.parameters():
        parameter.grad = None
    logits = model.train()(x)
    outputs = [logits] if isinstance(logits, Tensor) else list(logits.values())
    loss = sum(cross_entropy(each, targets) for each in outputs)
    loss.backward()
    return loss.detach()


def compare(case: Case, layout: str, rounds: int) -> dict[str, float]:
    """Print one row and return ours over theirs: time and memory of each pass."""
    torch.manual_seed(0)
    shape = [int(size) for size in case.shape.split("x")]
    x, targets = torch.randn(shape), torch.randint(CLASSES, (shape[0], *shape[2:]))
    pair = case.pair()
    if layout != "NCHW":
        x = x.contiguous(memory_format=LAYOUTS[layout])
        for module in pair:
            module.to(memory_format=LAYOUTS[layout])
    ours, theirs = (inference(module, x, targets) for module in pair)
    torch.testing.assert_close(ours / theirs.std(), theirs / theirs.std(), atol=1e-2, rtol=1e-2)
    cells, found = [case.name, str(case.options.get("encoder", "")), case.shape, layout], {}
    for what, step in (("inference", inference), ("training", training)):
        steps = [partial(step, module, x, targets) for module in pair]
        memory = []
        for each, module in zip(steps, pair, strict=True):
            started = time.process_time()
            memory.append(peak(each))
            for parameter in module.parameters():
                parameter.grad = None
        once = 1000 * (time.process_time() - started)
        ours, theirs = timed(steps, max(1, min(rounds, int(ENOUGH / once))))
        found[what] = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        found[f"{what} memory"] = memory[0] / memory[1]
        cells += [f"{statistics.median(ours):.0f}", f"{found[what]:.2f}"]
        cells += [f"{memory[0] / 2**20:.0f}", f"{found[f'{what} memory']:.2f}"]
    print("| " + " | ".join(cells) + " |", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", nargs="*", help="of the models, or parts of them; default: all")
    parser.add_argument("--layouts", nargs="*", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels", type=int, default=512, help="that the heads read; published: 2048")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # those of the peers
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread\n")
    titles = ["network", "encoder", "images", "layout"]
    for what in ("inference ms", "training ms"):
        titles += [what, "/ peer", "MiB", "/ peer"]
    print("| " + " | ".join(titles) + " |\n|" + " --- |" * len(titles))
    together = []
    for case, layout in itertools.product(cases(options.channels), options.layouts):
        if (case.shape.count("x") == 4 or "head" in case.name) and layout != "NCHW":
            continue  # volumes have one layout here, and heads take long
        if options.names and not any(name in case.name for name in options.names):
            continue
        if case.package and find_spec(PACKAGES[case.package]) is None:
            print(f"{case.package} is not installed and left out; pip install foveate[bench] brings it")
            continue
        together.append(compare(case, layout, options.rounds))
    for what in together[0] if together else ():
        ratios = [found[what] for found in together]
        print(f"{what}: on average {mean(ratios)} of the peer's, at most {max(ratios):.2f}")


if __name__ == "__main__":
    main()
