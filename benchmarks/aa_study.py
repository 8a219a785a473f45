"""A/A studies on scenes: a network against itself under other seeds. How often is there a verdict?

    python benchmarks/aa_study.py [--pool 60] [--studies 2000] [--epochs 4] [--train 1000] [--test 500]

It trains a pool of runs of resnet8 that differ in their seed alone, and keeps them in a folder, so that a
second call resumes where the first was stopped. Then it makes studies of the pool: each draws 2 S runs
without replacement, calls S of them the baseline and S the variant, draws N test images with replacement from
the test set, and asks for a verdict. A verdict is false: the two are the same. Studies of one pool are not
independent of each other, so the spread of the share is wider than binomial; the interval printed is the
binomial one for as many studies as the pool has disjoint ones.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from foveate.compare.run_files import keep_answers
from foveate.compare.statistics.family import compare_all
from foveate.data.open import open_data
from foveate.models import create_model
from foveate.recipe import TrainConfig
from foveate.tasks import tasks
from foveate.train.evaluate import evaluate
from foveate.train.loop import fit

SEEDS = (3, 5, 10)


def train_pool(pool: int, config: TrainConfig, data: str, folder: Path) -> np.ndarray:
    """Return the scores (runs, items) of a pool of runs, made now if they are not in the folder."""
    opened = open_data(data)
    side = opened.splits["train"].load(0).shape[0]
    task = tasks["classification"].of({"classes": opened.classes, "size": side}, recipe=config)
    feeds, scores = task.feeds(opened), []
    for seed in range(pool):
        home = folder / str(seed)
        if not (home / "test.npz").is_file():
            began = time.perf_counter()
            torch.manual_seed(seed)
            model = create_model("resnet8", classes=len(opened.classes))
            trained = fit(model, task, {"train": feeds["train"]}, replace(config, seed=seed), home).model
            found = evaluate(trained, task, feeds["test"])
            keep_answers(home / "test.npz", found.records, found.answers)
            accuracy, seconds = 100 * found.score, time.perf_counter() - began
            print(f"run {seed + 1}/{pool}: {accuracy:.1f} % in {seconds:.0f} s", flush=True)
        with np.load(home / "test.npz") as file:
            scores.append(file["records"])
    return np.array(scores)


def false_verdicts(scores: np.ndarray, seeds: int, variants: int, studies: int) -> float:
    """Return the share of studies of the pool that say "helps" or "hurts" of any variant."""
    rng = np.random.default_rng([seeds, variants])
    runs, items = scores.shape
    hits = 0
    for _ in range(studies):
        rows = rng.permutation(runs)[: seeds * (variants + 1)].reshape(variants + 1, seeds)
        y = scores[rows][:, :, rng.integers(0, items, items)]
        names = [str(m) for m in range(1, variants + 1)]
        found = compare_all(dict.fromkeys(names, y[0]), {n: y[int(n)] for n in names}, margin=0.005)
        hits += any(
            d.low is not None and d.high is not None and (d.low > 0 or d.high < 0) for d in found.values()
        )
    return hits / studies


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (
        ("pool", 60),
        ("studies", 2000),
        ("epochs", 4),
        ("train", 1000),
        ("test", 500),
        ("size", 32),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, default=None, help="where the pool is kept")
    words = parser.parse_args()
    data = f"scenes(classes=5, train={words.train}, val=0, test={words.test}, size={words.size})"
    name = f"aa-5-{words.train}-{words.test}-{words.size}-{words.epochs}"
    folder = words.folder or Path("runs") / name
    recipe = replace(tasks["classification"].usual_recipe(None), epochs=words.epochs)
    scores = train_pool(words.pool, recipe, data, folder)
    means = 100 * scores.mean(axis=1)
    print(f"{len(scores)} runs: accuracy {means.mean():.1f} %, {means.std(ddof=1):.2f} points between seeds")
    for variants in (1, 4):
        for seeds in SEEDS:
            if seeds * (variants + 1) > len(scores):
                continue
            share = false_verdicts(scores, seeds, variants, words.studies)
            apart = len(scores) // (seeds * (variants + 1))
            low, high = stats.binomtest(round(share * apart), apart).proportion_ci()
            comparisons = f"{variants} comparison{'s' * (variants > 1)}"
            print(
                f"{seeds:2d} seeds, {comparisons:13s}: false verdicts {share:.3f} ({low:.2f} to {high:.2f})"
            )


if __name__ == "__main__":
    main()
