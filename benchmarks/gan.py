"""A training step of the tutorial's attention GAN, ours beside the tutorial's own network and loop.

    python -m benchmarks.gan

Both have the layout of heykeetae's Self-Attention-GAN at 64 px and the same weights, one thread, hinge loss
and Adam(0, 0.9). A step is one of the discriminator and one of the generator. The peer is written after that
repository's: spectral normalisation wraps each layer and keeps u and v, attention forms its whole matrix,
gradients of the discriminator's step run into the generator and those of the generator's into the
discriminator. The sides take turns; medians of the ratios. Target: at most 1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.data.posed.posed_feed import PosedBatch
from foveate.models.generation.attention_gan import AttentionGAN
from foveate.tasks import tasks
from foveate.train.optimise import build_optimizer

BETAS = (0.0, 0.9)
LR = 1e-4


class PeerSpectral(nn.Module):
    """A layer whose weight is normalised before every call."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        weight = layer.weight.data
        self.bar = nn.Parameter(weight.clone())
        rows, columns = weight.shape[0], weight[0].numel()
        self.u = nn.Parameter(F.normalize(torch.randn(rows), dim=0), requires_grad=False)
        self.v = nn.Parameter(F.normalize(torch.randn(columns), dim=0), requires_grad=False)
        del layer._parameters["weight"]

    def forward(self, x: Tensor) -> Tensor:
        """Call the layer with the normalised weight."""
        rows = self.bar.shape[0]
        matrix = self.bar.view(rows, -1)
        v = torch.mv(matrix.data.t(), self.u.data)
        self.v.data = v / (v.norm() + 1e-12)
        u = torch.mv(matrix.data, self.v.data)
        self.u.data = u / (u.norm() + 1e-12)
        sigma = self.u.dot(matrix.mv(self.v))
        self.layer.weight = self.bar / sigma.expand_as(self.bar)
        return self.layer(x)


class PeerAttention(nn.Module):
    """Attention over all positions with its matrix in memory."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Add what every position reads."""
        b, c, h, w = x.shape
        query = self.query(x).view(b, -1, h * w).permute(0, 2, 1)
        weights = torch.bmm(query, self.key(x).view(b, -1, h * w)).softmax(dim=-1)
        context = torch.bmm(self.value(x).view(b, -1, h * w), weights.permute(0, 2, 1))
        return self.gamma * context.view(b, c, h, w) + x


def _up(channels: int, out: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
    layer = nn.ConvTranspose2d(channels, out, 4, stride, padding)
    return [PeerSpectral(layer), nn.BatchNorm2d(out), nn.ReLU()]


def _down(channels: int, out: int) -> list[nn.Module]:
    return [PeerSpectral(nn.Conv2d(channels, out, 4, 2, 1)), nn.LeakyReLU(0.1)]


def peer() -> tuple[nn.Module, nn.Module]:
    """Return the tutorial's generator and discriminator."""
    generator = nn.Sequential(
        *(*_up(128, 512, 1, 0), *_up(512, 256), *_up(256, 128), PeerAttention(128)),
        *(*_up(128, 64), PeerAttention(64), nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(*_down(3, 64), *_down(64, 128), *_down(128, 256), PeerAttention(256)),
        *(*_down(256, 512), PeerAttention(512), nn.Conv2d(512, 1, 4)),
    )
    return generator, discriminator


def same_weights(ours: AttentionGAN, theirs: tuple[nn.Module, nn.Module]) -> None:
    """Give the peer our weights; both list them in one order."""
    for part, other in zip((ours.generator, ours.discriminator), theirs, strict=True):
        mine = {name: value for name, value in part.state_dict().items() if "num_batches" not in name}
        shapes: dict[tuple[int, ...], list[Tensor]] = {}
        for value in mine.values():
            shapes.setdefault(tuple(value.shape), []).append(value)
        for name, value in other.state_dict().items():
            if "num_batches" not in name:
                value.copy_(shapes[tuple(value.shape)].pop(0))


def our_step(batch: int) -> tuple[AttentionGAN, Callable[[], None]]:
    """Return our model and a function that takes one step, as the training loop takes it."""
    kind = tasks["generation"]
    model = AttentionGAN(form="transposed", size=64).to(memory_format=torch.channels_last).train()
    inputs = {"classes": [], "columns": [], "size": 64, "features": "own", "rate": 1.0, "steps": 1}
    inputs |= {"mismatched": 0.0, "sentences": None, "goal": "all"}
    recipe = kind.usual
    task = kind.of(inputs, recipe=recipe)
    parts = task.parts(model)
    optimizers = {name: build_optimizer(part.module, recipe, BETAS) for name, part in parts.items()}
    images = torch.rand(batch, 3, 64, 64).mul_(2).sub_(1).to(memory_format=torch.channels_last)
    given = PosedBatch(images, torch.zeros(batch, 0), torch.arange(batch))

    def step() -> None:
        for name, optimizer in optimizers.items():
            task.loss(model, given, name).backward()
            optimizer.step()
            for each in optimizers.values():
                each.zero_grad(set_to_none=True)

    return model, step


def peer_step(batch: int) -> tuple[tuple[nn.Module, nn.Module], Callable[[], None]]:
    """Return the peer and a function that takes one step, as the tutorial does."""
    generator, discriminator = (part.train() for part in peer())
    trained = [[p for p in part.parameters() if p.requires_grad] for part in (generator, discriminator)]
    of_g, of_d = (torch.optim.Adam(some, lr=LR, betas=BETAS) for some in trained)
    images = torch.rand(batch, 3, 64, 64).mul_(2).sub_(1)

    def step() -> None:
        real = discriminator(images)
        fake = discriminator(generator(torch.randn(batch, 128, 1, 1)))
        loss = F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()
        of_d.zero_grad()
        of_g.zero_grad()
        loss.backward()
        of_d.step()
        loss = -discriminator(generator(torch.randn(batch, 128, 1, 1))).mean()
        of_d.zero_grad()
        of_g.zero_grad()
        loss.backward()
        of_g.step()

    return (generator, discriminator), step


def main() -> None:
    """Print the ratio of our time to the peer's."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--turns", type=int, default=11)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, ours = our_step(chosen.batch)
    others, theirs = peer_step(chosen.batch)
    same_weights(model, others)
    noise = torch.randn(2, 128)
    with torch.no_grad():
        gap = (model.eval()(noise) - others[0].eval()(noise[:, :, None, None])).abs().max()
    model.train()
    others[0].train()
    print(f"largest difference of a pixel with the same weights: {float(gap):.1e}")
    spans: dict[str, list[float]] = {"ours": [], "peer": []}
    for turn in range(chosen.turns + 1):
        for name, step in (("ours", ours), ("peer", theirs)):
            began = time.process_time()
            step()
            if turn:  # the first warms up
                spans[name].append(time.process_time() - began)
    ratios = [a / b for a, b in zip(spans["ours"], spans["peer"], strict=True)]
    for name, some in spans.items():
        print(f"{name}: {1e3 * statistics.median(some):.0f} ms of processor time a step of {chosen.batch}")
    print(f"ours / peer: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
