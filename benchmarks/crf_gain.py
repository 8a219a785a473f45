"""What a dense CRF adds to the networks of a finished segmentation study, on the same test images.

    python -m benchmarks.crf_gain [RUN DATA] [--variants baseline attention_gate@skip] [--iterations 5]

RUN is the folder of a study (``foveate compare``), DATA what it was run on. The kernel's standard deviations
and weight are chosen among a few on validation images by the baseline of the first seed; then every variant
and seed is scored on the test images without the CRF and with it. The difference's interval holds for other
seeds and other images, as in the study. Prints Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from foveate.compare.planned import BASELINE
from foveate.compare.run_files import run_folder
from foveate.compare.statistics.crossed_effects import components, interval
from foveate.compare.statistics.pseudo_values import item_scores
from foveate.data.cache import cache
from foveate.data.cached_split import CachedSplit
from foveate.data.image_feed import ImageFeed
from foveate.data.open import open_data
from foveate.infer.saved import read_saved, task_of
from foveate.models.crf import DenseCRF
from foveate.tasks.build_model import build_model
from foveate.train import evaluate

GRID = {"position": (20.0, 40.0), "colour": (5.0, 10.0), "bilateral_weight": (2.0, 5.0)}
VALIDATED = 40  # images
BATCH = 16


class Refined(nn.Module):
    """A network and a CRF after it, which sees the images as they were before normalisation."""

    def __init__(self, model, crf, mean, std):
        super().__init__()
        self.model, self.crf = model, crf
        self.mean, self.std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))

    def forward(self, images):
        """Return refined logits."""
        logits = self.model(images).log_softmax(1).contiguous()
        return self.crf(logits, ((images * self.std + self.mean) * 255).contiguous())


class Study:
    """A finished study's networks, data and metric."""

    def __init__(self, folder, data):
        said = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        self.folder, (self.saved, inputs) = folder, read_saved(folder / "best/config.json")
        self.specs = {each["name"]: each["spec"] for each in said["variants"]}
        self.seeds = said["question"]["seeds"]
        self.task = task_of(self.saved, inputs)
        if said["question"]["metric"]["name"] != self.task.metric.name:
            raise SystemExit(f"the study's metric is {said['question']['metric']['name']}, expected mIoU")
        self.data = open_data(data)
        self.splits = cache(self.data, size=self.task.size)

    def network(self, variant, seed):
        """Return one trained network."""
        model = build_model(self.task, self.saved.model, spec=self.specs[variant], start=self.saved.start)
        model.load_state_dict(load_file(run_folder(self.folder, variant, seed) / "model.safetensors"))
        return model.eval()

    def refined(self, model, options):
        """Return the network with a CRF after it."""
        return Refined(model, DenseCRF(len(self.task.classes), **options), *self.task.normalisation)

    def records(self, model, split, most=None):
        """Return what the metric follows from, for a split or ``most`` images spread over it."""
        kept = self.splits[split]
        if most is not None:
            step = max(1, len(kept) // most)
            fields = (kept.images, kept.targets, kept.names, kept.masks)
            kept = CachedSplit(*(field[::step] for field in fields))
        mean, std = self.task.normalisation
        return evaluate(model, self.task, ImageFeed(kept, mean=mean, std=std), batch_size=BATCH).records


def chosen(study, iterations, method):
    """Return the best score on some validation images, the options that reach it, and the score without."""
    model, found = study.network(BASELINE, study.seeds[0]), []
    plain = 100 * study.task.value(study.records(model, "val", VALIDATED))
    for values in itertools.product(*GRID.values()):
        options = dict(zip(GRID, values, strict=True)) | {"iterations": iterations, "method": method}
        score = study.task.value(study.records(study.refined(model, options), "val", VALIDATED))
        found.append((100 * score, options))
    return *max(found, key=lambda pair: pair[0]), plain


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("data", nargs="?")
    parser.add_argument("--variants", nargs="+", default=[BASELINE])
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--method", default="fine")
    told = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    if told.run is None or told.data is None:
        print(
            "Give the folder of a finished segmentation study and its data; docs/studies/camvid.md has one."
        )
        return
    report(Study(told.run, told.data), told)
    print(f"\n{(time.process_time() - began) / 60:.0f} minutes of processor time.")


def report(study, told):
    """Choose the CRF's options, and print the table."""
    best, options, plain = chosen(study, told.iterations, told.method)
    print(f"On {VALIDATED} validation images, the baseline of seed {study.seeds[0]}: {plain:.2f} points")
    print(f"without a CRF, {best:.2f} with {options}.\n")
    print(
        "| variant | mIoU without | with the CRF | difference (95 %) | by seed |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for variant in told.variants:
        without, refined = [], []
        for seed in study.seeds:
            model = study.network(variant, seed)
            without.append(item_scores(study.task, study.records(model, "test")))
            refined.append(item_scores(study.task, study.records(study.refined(model, options), "test")))
        apart = 100 * (np.array(refined) - np.array(without))
        low, high = interval(components(apart, span=None), 0.95) or (np.nan, np.nan)
        scores = [100 * np.mean(each) for each in (without, refined)]
        seeds = ", ".join(f"{each:+.2f}" for each in apart.mean(1))
        print(
            f"| `{variant}` | {scores[0]:.2f} | {scores[1]:.2f} "
            f"| {apart.mean():+.2f} ({low:+.2f} to {high:+.2f}) | {seeds} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
