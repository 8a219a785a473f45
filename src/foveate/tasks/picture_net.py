"""The net that drawn pictures are judged by: its features, and what class and pose it sees.

It is trained on the real training pictures alone and never meets a generator. Where pictures have neither
class nor pose it learns to tell which of four ways up they are, for features. It is trained once for a set of
pictures at a size and kept beside the decoded pictures; the seed is fixed.

Shapes  images float32 (B, 3, S, S) in [-1, 1] -> features (B, 64), logits (B, K), pose (B, P).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.data.cache_folder import cache_folder
from foveate.data.posed.posed_feed import PosedFeed
from foveate.errors import CheckpointError
from foveate.running import eval_no_grad
from foveate.tasks.inception_net import InceptionNet
from foveate.tensor_file import load_tensors, save_tensors

OWN = "a net trained on the data"
VERSION = 1  # raise it whenever a trained net could change
FEATURES = 64
_SEED, _BATCH, _LR = 7, 64, 2e-3
_STEPS = 1500  # at most; fewer for few pictures
_EPOCHS = 30  # at most
_LEAST = 300  # steps for the smallest sets
_TURNS = 4  # ways up
_PLACES = 4  # rows and columns of the last map: a pose is lost in a mean over all places
_log = logging.getLogger("foveate")


class PictureNet(nn.Module):
    """Convolutions with a pose and a class at the end.

    Args:
        classes: K; 0 for none.
        pose: P numbers; 0 for none.
    """

    def __init__(self, classes: int, pose: int) -> None:
        super().__init__()
        self.classes, self.pose = classes, pose
        self.blocks = nn.Sequential(
            *_layer(3, 24),
            nn.MaxPool2d(2),
            *_layer(24, 48),
            *_layer(48, 48),
            nn.MaxPool2d(2),
            *_layer(48, 96),
            nn.AdaptiveAvgPool2d(_PLACES),
        )
        self.narrow = nn.Linear(96 * _PLACES**2, FEATURES)
        self.drop = nn.Dropout(0.3)
        labels = classes or (0 if pose else _TURNS)
        self.label = nn.Linear(FEATURES, labels) if labels else None
        self.number = nn.Linear(FEATURES, pose) if pose else None

    def features(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 64"]:
        """Return the features of pictures."""
        return F.relu(self.narrow(self.blocks(images).flatten(1)))

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> tuple[Tensor, Tensor]:
        """Return logits of the classes and the numbers of the pose."""
        found = self.drop(self.features(images))
        labels, numbers = (found[:, :0] if layer is None else layer(found) for layer in self._ends)
        return labels, numbers

    @property
    def _ends(self) -> tuple[nn.Linear | None, nn.Linear | None]:
        return self.label, self.number


@dataclass(frozen=True, eq=False)
class Judge:
    """A net with what it takes to judge by it.

    Args:
        net: Sees class and pose; in evaluation mode.
        seer: Gives the features: the same net, or Inception.
        centre: Mean of every feature over the training pictures (D,).
        spread: Its standard deviation there; 1 where it never varies.
        training: Features of the training pictures (N, D), brought to mean 0 and deviation 1.
    """

    net: PictureNet
    seer: PictureNet | InceptionNet
    centre: Float[Tensor, " d"]
    spread: Float[Tensor, " d"]
    training: Float64[np.ndarray, "n d"]

    def look(self, images: Float[Tensor, "b 3 s s"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return features (B, D), of mean 0 and deviation 1 in training, classes (B,) and pose (B, P)."""
        with eval_no_grad(self.net):
            shown = images.detach().float().cpu().contiguous()
            labels, numbers = self.net(shown)
            found = self.seer.features(shown)
        seen = labels.argmax(dim=1) if labels.shape[1] else torch.zeros(len(images), dtype=torch.int64)
        scaled = ((found - self.centre) / self.spread).double().numpy()
        return scaled, seen.numpy(), numbers.double().numpy()


def judge_for(feed: PosedFeed, classes: int, pose: int, contents: str, *, inception: bool = False) -> Judge:
    """Return the judge of these training pictures, trained now if it was not before.

    Args:
        feed: The training pictures.
        classes: K.
        pose: P.
        contents: A hash of the data, with which the net is kept.
        inception: Whether features are those of Inception.

    Raises:
        OptionError: Its weights are not at hand.
    """
    seer = InceptionNet() if inception else None
    side = next(iter(feed.test(1))).images.shape[2]
    key = f"picture net {VERSION} {contents} {side} {classes} {pose} {FEATURES} {len(feed)}"
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
    net = _kept(path, classes, pose)
    if net is None:
        _log.warning("training %s, which drawn pictures are judged by", OWN.removeprefix("a "))
        net = _trained(feed, classes, pose)
        save_tensors(net.state_dict(), path)
    return _judging(net, seer or net, feed)


def _kept(path: Path, classes: int, pose: int) -> PictureNet | None:
    net = PictureNet(classes, pose)
    try:
        net.load_state_dict(load_tensors(path))
    except (OSError, CheckpointError, RuntimeError):  # not there, or damaged: it is trained again
        return None
    return net.eval()


def _trained(feed: PosedFeed, classes: int, pose: int) -> PictureNet:
    """Return a net trained on pictures, the same for the same pictures."""
    size = min(_BATCH, len(feed))
    per_epoch = max(1, len(feed) // size)
    steps = max(_LEAST, min(_STEPS, _EPOCHS * per_epoch))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(_SEED)
        net = PictureNet(classes, pose).train()
        optimizer = torch.optim.AdamW(net.parameters(), lr=_LR, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=steps)
        for images, conditions in _batches(feed, size, steps):
            loss = _loss(net, images, conditions)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def _batches(feed: PosedFeed, size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    done, epoch = 0, 0
    while done < steps:
        for batch in feed.train(batch_size=size, seed=_SEED, epoch=epoch):
            if done < steps:
                yield batch.images, batch.shown
            done += 1
        epoch += 1


def _loss(net: PictureNet, images: Tensor, conditions: Tensor) -> Tensor:
    if not net.classes and not net.pose:
        turns = torch.randint(_TURNS, (len(images),))
        turned = torch.stack([torch.rot90(x, int(n), (1, 2)) for x, n in zip(images, turns, strict=True)])
        return F.cross_entropy(net(turned)[0], turns)
    labels, numbers = net(images)
    loss = images.new_zeros(())
    if net.classes:
        loss = loss + F.cross_entropy(labels, conditions[:, : net.classes].argmax(dim=1))
    if net.pose:
        loss = loss + 4 * F.mse_loss(numbers, conditions[:, net.classes :])
    return loss


def _judging(net: PictureNet, seer: PictureNet | InceptionNet, feed: PosedFeed) -> Judge:
    with eval_no_grad(seer):
        seen = [seer.features(batch.images.contiguous()).double().numpy() for batch in feed.test(256)]
    training = np.concatenate(seen)
    centre, spread = training.mean(axis=0), training.std(axis=0)
    spread[spread < 1e-6] = 1.0
    scaled = (training - centre) / spread
    return Judge(net, seer, torch.from_numpy(centre).float(), torch.from_numpy(spread).float(), scaled)


def _layer(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
