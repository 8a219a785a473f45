"""A task of two parts that train in turns, judged by a distance of the whole set of which less is better."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from foveate.data.feed import epoch_order, random_stream, steps_per_epoch
from foveate.models.names import models
from foveate.tasks.base import Task, tasks
from foveate.tasks.judged import Judged
from foveate.tasks.metric import Metric
from foveate.tasks.part import Part

NOISE = 4


@dataclass(frozen=True)
class Rings:  # the data: points (N, 2) on a ring
    count: int
    name: str = "ring"
    task: str = "toy_generation"

    @property
    def items(self):
        return {"train": self.count, "test": self.count // 2}

    @property
    def fingerprint(self):
        return f"ring of {self.count}"

    @property
    def origin(self):
        return {"source": f"ring:{self.count}"}

    def points(self, split):
        angles = random_stream(len(split), 0, 1).random(self.items[split]) * 2 * np.pi
        return torch.tensor(np.stack([np.cos(angles), np.sin(angles)], 1), dtype=torch.float32)


class Points(torch.Tensor):  # a batch is a tensor (B, 2): it has a length and can move
    pass


class PointFeed:
    def __init__(self, points):
        self.points, self.names = points, [str(i) for i in range(len(points))]

    def __len__(self):
        return len(self.points)

    def train(self, *, batch_size, seed, epoch, start=0):
        order = epoch_order(len(self), seed, epoch)
        for step in range(start, steps_per_epoch(len(self), batch_size)):
            yield self.points[torch.from_numpy(order[step * batch_size : (step + 1) * batch_size])]

    def test(self, batch_size):
        yield from self.points.split(batch_size)


@models.register("toy_gan")
class ToyGAN(nn.Module):
    def __init__(self, *, classes: int, width: int = 16):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(NOISE, width), nn.ReLU(), nn.Linear(width, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, noise):
        return self.generator(noise)


@tasks.register("toy_generation")
class ToyGeneration(Task):
    name, items = "toy_generation", "points"
    metric = Metric(
        "distance", "", 1.0, higher_is_better=False, averages=False, bounds=None, margin=0.1, groups=8
    )

    @classmethod
    def opens(cls, source):
        return str(source).startswith("ring:")

    @classmethod
    def open(cls, source, **options):
        return Rings(int(str(source).partition(":")[2]))

    @classmethod
    def inputs_of(cls, data):
        return {}

    def feeds(self, data):
        return {split: PointFeed(data.points(split)) for split in data.items}

    def example(self, items=2):
        return torch.ones(items, NOISE)

    def parts(self, model):
        betas = (0.0, 0.9)
        return {
            "discriminator": Part(model.discriminator, betas=betas),
            "generator": Part(model.generator, every=2, lr=0.5, betas=betas),
        }

    def loss(self, model, batch, part=""):
        fake = model(torch.randn(len(batch), NOISE))
        if part == "generator":
            return -model.discriminator(fake).mean()
        real, fake = model.discriminator(batch), model.discriminator(fake.detach())
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def judge(self, model, batch):
        fake = model(torch.randn(len(batch), NOISE))
        return Judged(torch.cat([batch, fake], 1), fake)

    def value(self, records):
        real, fake = records[:, :2], records[:, 2:]
        apart = np.square(real.mean(0) - fake.mean(0)).sum()
        return float(apart + np.square(np.cov(real.T) - np.cov(fake.T)).sum())

    def value_without_each(self, records):
        groups = np.arange(len(records)) % self.metric.groups
        return np.array([self.value(records[groups != g]) for g in range(self.metric.groups)])

    def cards(self, models, feed, answers, scores):
        drawn = [{"name": name, "images": [_scatter(answers[name])]} for name in models]
        return [{"kind": "image", "item": "test points", "target": None, "variants": drawn}]

    def predict(self, model, inputs, **options):
        torch.manual_seed(0)
        return model(torch.randn(len(inputs), NOISE)).tolist()


def _scatter(points):
    canvas = np.full((64, 64), 255, np.uint8)
    x, y = np.clip((np.asarray(points).T * 16 + 32).astype(int), 0, 63)
    canvas[y, x] = 0
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
