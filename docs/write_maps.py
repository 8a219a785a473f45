"""Draw what every mechanism looks at, on built-in scenes, after a short training: docs/images/maps/NAME.png.

python docs/write_maps.py            # all
python docs/write_maps.py se cbam    # some

One small residual network learns the scenes; each mechanism then joins a copy of it, at the second stage (a
pool or a label head: at the end), and both train on for a short time. What a read, a gate and a fusion need
beside a map, the other stages give.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import foveate as fv
from foveate.data.scenes.open_scenes import scenes
from foveate.explain.positions import positions
from foveate.explain.record import taps
from foveate.mechanisms.base import Mechanism, build
from foveate.mechanisms.reading.hard_read import HardRead
from foveate.tasks.cards.overlay import overlay, shown

HERE = Path(__file__).parent / "images" / "maps"
SITES = {"refine": "layer2", "pool": "pool", "label": "output"}
STEPS, BATCH, SHOWN = 150, 64, 4
FIRST_STEPS = 900  # of the plain network


class Beside(nn.Module):
    """The network with a mechanism that needs more than one map, in front of a classifier of its own."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.kind = fv.mechanisms[name].interface
        self.mechanism = build(name, 32, **({"gating": 64} if self.kind == "gate" else {}))
        widths = getattr(self.mechanism, "widths", ())
        self.lay = nn.ModuleList(nn.Conv2d(64, width, 1) for width in widths)
        self.query = nn.Linear(64, 32)
        out = {"read": 32}.get(self.kind) or self.mechanism.out_channels
        self.classify = nn.Linear(out + 64, 10)
        self.reading = None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits from what the mechanism gives and from the last stage."""
        net = self.network
        second = net.layer2(net.layer1(net.relu(net.bn1(net.conv1(images)))))
        last = net.layer3(second)
        whole = last.mean(dim=(2, 3))
        if self.kind == "read":
            memory = second.flatten(2).transpose(1, 2)
            query = self.query(whole).unsqueeze(1)
            if isinstance(self.mechanism, HardRead) and self.training:
                self.reading = self.mechanism.read(query, memory)
                given = self.reading.context[:, 0]
            else:
                given = self.mechanism(query, memory)[0][:, 0]
        elif self.kind == "gate":
            given = self.mechanism(second, last).mean(dim=(2, 3))
        else:
            maps = [lay(F.interpolate(last, scale_factor=2.0)) for lay in self.lay]
            given = self.mechanism(maps).mean(dim=(2, 3))
        return self.classify(torch.cat([given, whole], dim=1))


def batches(data: tuple[Tensor, Tensor], steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Return random batches."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data[0]), (BATCH,), generator=generator)
        yield data[0][chosen], data[1][chosen]


def train(model: nn.Module, data: tuple[Tensor, Tensor], steps: int, lr: float) -> None:
    """Train in place, with a cosine; a hard choice learns from its reward as well."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
    model.train()
    for images, labels in batches(data, steps, seed=0):
        losses = F.cross_entropy(model(images), labels, reduction="none")
        loss = losses.mean()
        reading = getattr(model, "reading", None)
        if reading is not None and reading.log_probability.requires_grad:
            reward = losses.mean() - losses
            loss = loss - (reward.detach() * reading.log_probability[:, 0]).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()


def with_mechanism(network: nn.Module, name: str, example: Tensor) -> tuple[nn.Module, Mechanism]:
    """Return a copy of the network with a mechanism in it, and the mechanism."""
    torch.manual_seed(0)
    place = SITES.get(fv.mechanisms[name].interface)
    if place is None:
        model: nn.Module = Beside(copy.deepcopy(network), name)
    else:
        model = fv.insert(network, f"{name}@{place}", example=example, start="paper")
    (mechanism,) = [m for m in model.modules() if type(m) is fv.mechanisms[name]]
    return model, mechanism


def looks(model: nn.Module, mechanism: Mechanism, images: Tensor, labels: Tensor) -> list[tuple[str, Tensor]]:
    """Return for every tap its name, and a map (B, H, W) or, without places, the weights (B, n)."""
    sizes: list[tuple[int, int]] = []
    hook = mechanism.register_forward_pre_hook(lambda _m, args: sizes.append(_size(args[0])))
    with torch.no_grad(), fv.record(mechanism) as maps:
        model(images)
        recorded = dict(maps)
    hook.remove()
    told = []
    for path, tap in taps(mechanism).items():
        weights = recorded[path]
        look = positions(weights, tap.axes, *sizes[0], classes=labels)
        told.append((path, weights.flatten(2).mean(dim=2) if look is None and weights.ndim > 2 else
                     weights if look is None else look))  # fmt: skip
    return told


def _size(given: Tensor | list[Tensor]) -> tuple[int, int]:
    first = given[0] if isinstance(given, list) else given
    return (first.shape[2], first.shape[3]) if first.ndim == 4 else (16, 16)


def draw(name: str, pictures: np.ndarray, told: list[tuple[str, Tensor]]) -> None:
    """Save one picture: the scenes, and below each its maps."""
    rows = 1 + len(told)
    figure, axes = plt.subplots(rows, SHOWN, figsize=(1.5 * SHOWN, 1.5 * rows), squeeze=False)
    for column in range(SHOWN):
        axes[0, column].imshow(shown(pictures[column]))
        for row, (path, look) in enumerate(told, start=1):
            cell = axes[row, column]
            if look.ndim == 3:
                cell.imshow(overlay(pictures[column], look[column].numpy()).convert("RGB"))
            else:
                values = look[column].flatten().numpy()
                cell.bar(range(len(values)), values, width=1.0, color="#b5367a")
                cell.set_box_aspect(1)
                cell.set_ylim(min(0.0, float(look.min())), max(1e-6, float(look.max())))
            if column == 0:
                cell.set_ylabel(path, fontsize=7)
    for cell in axes.flat:
        cell.set_xticks([])
        if not cell.has_data() or cell.get_images():
            cell.set_yticks([])
        else:
            cell.tick_params(labelsize=6)
    figure.tight_layout(pad=0.3)
    path = HERE / f"{name}.png"
    figure.savefig(path, dpi=90, facecolor="white")
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def main(names: list[str]) -> None:
    """Train, look, draw."""
    mpl.use("Agg")
    torch.manual_seed(0)
    data = scenes(train=3000, val=0, test=200, size=32)
    arrays = {k: np.stack([s.load(i) for i in range(len(s.targets))]) for k, s in data.splits.items()}
    sets = {
        k: (
            torch.from_numpy(a).permute(0, 3, 1, 2).float() / 127.5 - 1,
            torch.from_numpy(data.splits[k].targets),
        )
        for k, a in arrays.items()
    }
    network = fv.create_model("resnet8", classes=10)
    train(network, sets["train"], FIRST_STEPS, lr=4e-3)
    HERE.mkdir(parents=True, exist_ok=True)
    images, labels = sets["test"]
    for name in names or sorted(fv.mechanisms):
        model, mechanism = with_mechanism(network, name, images[:2])
        train(model, sets["train"], STEPS, lr=2e-3)
        with torch.no_grad():
            right = (model(images).argmax(dim=1) == labels).float().mean().item()
        draw(name, arrays["test"][:SHOWN], looks(model, mechanism, images[:SHOWN], labels[:SHOWN]))
        print(f"{name}: {100 * right:.1f} % of {len(labels)} test scenes right", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
