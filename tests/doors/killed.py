"""Trains a toy in a child process, which kills itself after so many steps."""

import os
import signal
from pathlib import Path

import torch

from foveate.plugins import load_plugins
from foveate.recipe import TrainConfig
from foveate.tasks.build_model import build_model
from foveate.tasks.open_source import open_source
from foveate.train.loop import fit
from foveate.train.prepare import settle
from foveate.train.progress import Silent


class Deadly(Silent):
    def __init__(self, after: int) -> None:
        self.after = after

    def advance(self, done: int) -> None:
        if done == self.after:
            os.kill(os.getpid(), signal.SIGKILL)


def train(plugin: str, source: str, model: str, folder: Path, after: int) -> None:
    torch.set_num_threads(1)
    load_plugins([plugin])
    recipe = TrainConfig(epochs=4, batch_size=8, lr=0.01, augment="none")
    setting = settle(open_source(source), model, recipe=recipe)
    made = build_model(setting.task, model, seed=0)
    fit(
        made,
        setting.task,
        setting.feeds(),
        setting.recipe,
        folder,
        progress=Deadly(after),
        checkpoint_seconds=0.0 if after else 1e9,
    )
