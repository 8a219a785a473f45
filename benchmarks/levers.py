"""What makes the difference between two runs vary less: each way to do so, measured on real data.

    python -m benchmarks.levers scenes --data DIR [--seeds 4] [--out runs/levers]
    python -m benchmarks.levers cifar10 chest_xray isbi_membrane --data DIR

A light variant against the baseline, the same four seeds in every row. ``short`` and ``long`` are trainings
from scratch, paired by seed, the long one with its own schedule to zero; ``averaged`` is the moving average
of the weights at the end of the same two runs; ``branch`` and ``late`` continue from the long baseline, at
its rate and at a third of it. Printed are, in points: the baseline's score, its sd over seeds, the sd of the
difference over seeds with items and without, half the width of its 95 % interval, seconds of a seed (its
share of the trunk apart); and what the interval would be with a fifth of the test items. DIR holds the
folders of the data sets. Runs are kept in a folder, so that a second call goes on where the first was
stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from foveate.compare.plan import BRANCH_SEED
from foveate.compare.run_files import keep_answers
from foveate.compare.statistics.crossed_effects import Components, components, half_width
from foveate.compare.statistics.pseudo_values import item_scores
from foveate.data.open import open_data
from foveate.recipe import TrainConfig
from foveate.tasks.build_model import build_model
from foveate.tensor_file import WEIGHTS, load_tensors
from foveate.train.ema import Average
from foveate.train.evaluate import evaluate
from foveate.train.loop import fit
from foveate.train.prepare import Setting, settle
from foveate.train.progress import Silent

LEVEL = 0.95
SHARE = 5  # the subset holds one test item in so many
SUBSETS, LEAST = 20, 100  # how many subsets; of fewer items there is none


@dataclass(frozen=True)
class Case:
    """A data set with its network, variant and lengths.

    Args:
        data: Folder in the folder of the data sets, or a name.
        model: The baseline.
        variant: What is inserted.
        recipe: How to train.
        short: Epochs of the short training.
        long: Epochs of the long training.
        branch: Epochs of a branch.
        average: Decay of the moving average: it forgets within about the last tenth of a long run.
        train: Every how many-th training item is used.
    """

    data: str
    model: str
    variant: str
    recipe: TrainConfig
    short: int
    long: int
    branch: int
    average: float
    every: int = 1


CASES = {
    "scenes": Case(
        "scenes(size=24, distractors=0, classes=5, train=1000, val=0, test=2000)",
        "resnet8",
        "se@blocks",
        TrainConfig(lr=5e-3, batch_size=32, augment="crop"),
        3,
        10,
        2,
        0.97,
    ),
    "cifar10": Case("cifar10", "resnet20", "se@blocks", TrainConfig(lr=3e-3), 2, 6, 1, 0.96, every=25),
    "chest_xray": Case(
        "chest_xray",
        "benchmarks.lite0:pretrained",
        "se@blocks",
        TrainConfig(lr=5e-4, batch_size=32, size=96),
        1,
        3,
        1,
        0.9,
    ),
    "isbi_membrane": Case(
        "isbi_membrane",
        "unet(encoder=None, widths=(8, 16, 32, 64, 128))",
        "attention_gate@skip",
        TrainConfig(lr=2e-3, batch_size=4, size=256, crop=128, loss="ce+dice"),
        10,
        40,
        10,
        0.97,
    ),
}
ROWS = {
    "short": "short training from scratch",
    "short averaged": "the same, weights averaged at its end",
    "long": "training until the schedule is done",
    "long averaged": "the same, weights averaged at its end",
    "branch": "branching late, at the same rate",
    "late": "branching late, at a third of the rate",
}
SIDES = ("baseline", "variant")


class Averaging(Silent):
    """Follows a model with a moving average of its weights, step by step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.average = Average(model, decay)

    def advance(self, done: int) -> None:
        """Take in the weights after a step."""
        self.average.update(done - 1)


class Runs:
    """The runs of one case, made now if the folder lacks them.

    Args:
        name: Of the case.
        folder: Where its runs are kept.
        data: The folder of the data sets.
    """

    def __init__(self, name: str, folder: Path, data: Path) -> None:
        self.case, self.folder = CASES[name], folder
        source = self.case.data if "(" in self.case.data else str(data / self.case.data)
        self.setting: Setting = settle(open_data(source), self.case.model, recipe=self.case.recipe)
        feeds = self.setting.feeds()
        split, step = feeds["train"].split, self.case.every
        fields = (split.images, split.targets, split.names, split.masks)
        some = type(split)(*(None if field is None else field[::step] for field in fields))
        self.train, self.test = (
            replace(feeds["train"], split=some),
            feeds["test" if "test" in feeds else "val"],
        )

    def make(self, seed: int) -> None:
        """Make all runs of a seed."""
        case = self.case
        for side in SIDES:
            for row, epochs in (("short", case.short), ("long", case.long)):
                self._run(row, side, seed, epochs)
            for row, part in (("branch", 1), ("late", 3)):
                self._run(row, side, seed, case.branch, rate=case.recipe.lr / part, trunk=True)

    def scores(self, row: str, side: str, seeds: int) -> np.ndarray:
        """Return the scores (S, N) of one row of the table, in the metric's unit."""
        task, found = self.setting.task, []
        for seed in range(seeds):
            with np.load(self._home(row.removesuffix(" averaged"), side, seed) / _kept(row)) as file:
                found.append(item_scores(task, file["records"]))
        return task.metric.scale * np.array(found)

    def seconds(self, row: str, seeds: int) -> float:
        """Return the mean time of both runs of a seed, without the trunk."""
        homes = [
            self._home(row.removesuffix(" averaged"), side, seed) for side in SIDES for seed in range(seeds)
        ]
        return sum(json.loads((home / "seconds.json").read_text()) for home in homes) / seeds

    def _home(self, row: str, side: str, seed: int) -> Path:
        return self.folder / row / side / str(seed)

    def _run(
        self, row: str, side: str, seed: int, epochs: int, *, rate: float | None = None, trunk: bool = False
    ) -> None:
        home, task = self._home(row, side, seed), self.setting.task
        if (home / "seconds.json").is_file():
            return
        spec = self.case.variant if side == "variant" else None
        model = build_model(task, self.case.model, spec=spec, seed=seed)
        recipe = replace(self.setting.recipe, epochs=epochs, seed=seed)
        start = None
        if trunk:
            recipe = replace(recipe, lr=rate, seed=seed + BRANCH_SEED)
            start = load_tensors(self._home("long", "baseline", seed) / WEIGHTS)
        averaging = Averaging(model, self.case.average)
        trained = fit(
            model,
            task,
            {"train": self.train},
            recipe,
            home,
            progress=averaging,
            checkpoint_seconds=float("inf"),
            start_from=start,
        )
        self._judge(trained.model, home / _kept(row))
        if not trunk:
            trained.model.load_state_dict(averaging.average.state)
            self._judge(trained.model, home / _kept(f"{row} averaged"))
        (home / "seconds.json").write_text(json.dumps(trained.seconds))
        print(f"{self.folder.name}: {row}, {side}, seed {seed}: {trained.seconds:.0f} s", flush=True)

    def _judge(self, model: nn.Module, path: Path) -> None:
        task = self.setting.task
        found = evaluate(
            model, task, self.test, batch_size=task.judging_batch(self.setting.recipe.batch_size)
        )
        keep_answers(path, found.records, found.answers)


def _kept(row: str) -> str:
    return "averaged.npz" if row.endswith("averaged") else "test.npz"


def half(c: Components) -> float:
    """Return half the width of the interval of one comparison that is looked at once."""
    return half_width(c, LEVEL)


def fewer_items(gaps: np.ndarray) -> float:
    """Return half the width of the interval with a part of the test items: the mean over some subsets."""
    rng, items = np.random.default_rng(0), gaps.shape[1]
    subsets = (rng.permutation(items)[: items // SHARE] for _ in range(SUBSETS))
    return float(np.mean([half(components(gaps[:, subset], span=None)) for subset in subsets]))


def table(name: str, runs: Runs, seeds: int) -> None:
    """Print the table of one case."""
    case, unit = runs.case, runs.setting.task.metric.unit
    print(
        f"\n{name}: {case.model}, {case.variant}; {len(runs.train):,} training items, {len(runs.test):,} "
        f"test items; {case.short}, {case.long} and {case.branch} epochs; {seeds} seeds; {unit}\n"
    )
    head = (
        "",
        "baseline",
        "its sd",
        "difference",
        "its sd",
        "without items",
        "interval +-",
        "a fifth of the items",
        "s",
    )
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row, words in ROWS.items():
        base, other = (runs.scores(row, side, seeds) for side in SIDES)
        gaps = other - base
        c = components(gaps, span=None)
        own = np.sqrt(max(c.ms_seed - c.ms_rest, 0.0) / c.items)
        cells = (
            words,
            f"{base.mean():.1f}",
            f"{base.mean(axis=1).std(ddof=1):.2f}",
            f"{c.mean:+.2f}",
            f"{gaps.mean(axis=1).std(ddof=1):.2f}",
            f"{own:.2f}",
            f"{half(c):.2f}",
            f"{fewer_items(gaps):.2f}" if len(runs.test) >= LEAST else "",
            f"{runs.seconds(row, seeds):.0f}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Make the runs of some cases, and print a table of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; scenes by default")
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("runs") / "levers")
    words = parser.parse_args()
    unknown = sorted({*words.cases} - {*CASES})
    if unknown:
        parser.error(f"no case is called {unknown[0]!r}; there are {', '.join(CASES)}")
    torch.set_num_threads(1)
    for name in words.cases or ["scenes"]:
        runs = Runs(name, words.out / name, words.data)
        for seed in range(words.seeds):
            runs.make(seed)
        table(name, runs, words.seeds)


if __name__ == "__main__":
    main()
