"""A/A studies of real trainings: a network against itself. How often is there a verdict, look by look?

    python -m benchmarks.aa_study [--pool scratch branch] [--studies 200] [--out runs/aa]

It trains two pools of runs of resnet8 on small scenes, a second or two each, and keeps them in a folder, so
that a second call goes on where the first was stopped. ``scratch``: runs that differ in their seed alone.
``branch``: trunks, and from each several branches at a third of the rate that differ in their order of images
alone. Then it makes studies of a baseline and two variants that are the same network: each draws runs for 20
seeds, of a pool of branches 20 trunks, and is judged as a real study is, at the planned looks after 3, 5 and
8 seeds and at those of a continuation after 12 and 20; a variant that has ended gets no more seeds. "Helps"
and "hurts" are false.

A verdict depends on the margin only as it ends a study early. So every pool is judged twice: with the usual
margin, and with one as large as one seed's difference varies (sd), which keeps most comparisons open for
several looks. Studies share runs; printed is how many are disjoint, and the binomial interval as if all were.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from foveate.compare.continuing import continued
from foveate.compare.judgement import Judgement
from foveate.compare.plan import BRANCH_SEED, StudyPlan
from foveate.compare.planned import BASELINE, PlannedVariant
from foveate.compare.planning import outline
from foveate.compare.question import Question
from foveate.compare.run_files import keep_answers
from foveate.compare.schedule import with_looks
from foveate.compare.statistics.verdict import HELPS
from foveate.data.feed import Feed
from foveate.data.open import open_data
from foveate.recipe import TrainConfig
from foveate.tasks.base import Task
from foveate.tasks.build_model import build_model
from foveate.tensor_file import WEIGHTS, load_tensors
from foveate.train.evaluate import evaluate
from foveate.train.loop import fit

DATA = "scenes(size=16, distractors=0, classes=5, train=256, val=0, test=1000)"
MODEL = "resnet8"
EPOCHS, BRANCH_EPOCHS = 4, 2
SAME = ("one", "another")  # the variants: the network itself
SEEDS = 20  # of a study, at its last look
RUNS = 180  # of the pool from scratch
TRUNKS, BRANCHES = 24, 10


def question(seeds: str, margin: float | None) -> Question:
    """Return what the studies ask; what the variants insert is never built."""
    listed = {name: f"se@stage{number}" for number, name in enumerate(SAME, 1)}
    return Question(model=MODEL, variants=listed, seeds=seeds, epochs=EPOCHS, margin=margin, control="none")


class Pool:
    """Runs of one network on one task, made now if the folder lacks them.

    Args:
        task: What is learnt.
        feeds: The splits.
        recipe: How to train from scratch.
        folder: Where runs are kept.
    """

    def __init__(self, task: Task, feeds: Mapping[str, Feed], recipe: TrainConfig, folder: Path) -> None:
        self.task, self.feeds, self.recipe, self.folder = task, feeds, recipe, folder

    def scratch(self) -> np.ndarray:
        """Return the records (RUNS, items, ...) of runs that differ in their seed alone."""
        return np.array([self._from_scratch(seed) for seed in range(RUNS)])

    def branches(self) -> np.ndarray:
        """Return the records (TRUNKS, BRANCHES, items, ...) of branches that differ in their order alone."""
        found = []
        for trunk in range(TRUNKS):
            self._from_scratch(trunk)
            start = self.folder / "scratch" / str(trunk) / WEIGHTS
            found.append(
                [
                    self._run(f"branch-{trunk}", branch, self._branch(trunk, branch), start)
                    for branch in range(BRANCHES)
                ]
            )
        return np.array(found)

    def _from_scratch(self, seed: int) -> np.ndarray:
        return self._run("scratch", seed, replace(self.recipe, seed=seed))

    def _branch(self, trunk: int, branch: int) -> TrainConfig:
        seed = BRANCH_SEED + trunk * BRANCHES + branch
        return replace(self.recipe, epochs=BRANCH_EPOCHS, lr=self.recipe.lr / 3, seed=seed)

    def _run(self, kind: str, number: int, config: TrainConfig, start: Path | None = None) -> np.ndarray:
        home = self.folder / kind / str(number)
        kept = home / "test.npz"
        if not kept.is_file():
            model = build_model(self.task, MODEL, seed=number)
            weights = None if start is None else load_tensors(start)
            train = {"train": self.feeds["train"]}
            model = fit(model, self.task, train, config, home, start_from=weights).model
            found = evaluate(model, self.task, self.feeds["test"])
            keep_answers(kept, found.records, found.answers)
        with np.load(kept) as file:
            return np.array(file["records"])


def drawn_of_scratch(records: np.ndarray, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Return studies that share no run: of each model the records (SEEDS, items, ...)."""
    roles = (BASELINE, *SAME)
    each = SEEDS * len(roles)
    order = rng.permutation(len(records))
    blocks = [order[start : start + each] for start in range(0, len(order) - each + 1, each)]
    return [
        dict(zip(roles, records[block].reshape(len(roles), SEEDS, *records.shape[1:]), strict=True))
        for block in blocks
    ]


def drawn_of_branches(records: np.ndarray, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Return studies that share trunks, but no branch."""
    roles = (BASELINE, *SAME)
    trunks = rng.permutation(len(records))[:SEEDS]
    orders = np.array([rng.permutation(records.shape[1]) for _ in trunks])
    return [
        {role: records[trunks, orders[:, first + number]] for number, role in enumerate(roles)}
        for first in range(0, records.shape[1] - len(roles) + 1, len(roles))
    ]


def verdicts_by_look(
    plan: StudyPlan, task: Task, test: Feed, records: Mapping[str, np.ndarray]
) -> list[dict[str, str]]:
    """Return the verdicts on the variants after every look, as the study gives them.

    Args:
        plan: The study's.
        task: What was learnt.
        test: The test items.
        records: Of each model the records (SEEDS, items, ...).
    """
    kept = {name: records[name][: plan.rounds[0]] for name in records}
    found = []
    for number, seeds in enumerate(plan.rounds):
        judged = Judgement(plan, task, test, kept)
        found.append({name: judged.verdicts[name].name for name in SAME})
        going = {BASELINE, *judged.going(seeds)}
        if number + 1 < len(plan.rounds):
            if len(going) == 1:
                return found + [found[-1]] * (len(plan.rounds) - number - 1)
            more = plan.rounds[number + 1]
            kept = {name: records[name][:more] if name in going else rows for name, rows in kept.items()}
    return found


def spread(records: Mapping[str, np.ndarray], task: Task) -> float:
    """Return the sd of one seed's difference between two models, in the metric's unit."""
    scores = {name: [task.value(run) for run in rows] for name, rows in records.items()}
    gaps = np.subtract(scores[SAME[0]], scores[BASELINE])
    return float(task.metric.scale * gaps.std(ddof=1))


def report(name: str, studies: list[dict[str, np.ndarray]], apart: int, made: tuple) -> None:
    """Print the shares of studies with a false verdict by each look, with each of the margins."""
    data, task, test = made
    sd = float(np.mean([spread(study, task) for study in studies[:apart]]))
    print(
        f"\n{name}: {len(studies)} studies, {apart} of them disjoint; "
        f"one seed's difference varies by {sd:.2f}"
    )
    for margin in (None, round(sd, 1)):
        plan = planned(data, margin)
        by_look = [verdicts_by_look(plan, task, test, study) for study in studies]
        print(f"margin {plan.margin:g} {plan.unit}")
        for number, seeds in enumerate(plan.rounds):
            names = [set(looks[number].values()) for looks in by_look]
            false = sum(bool(each & {*HELPS, "hurts"}) for each in names)
            low, high = stats.binomtest(false, len(studies)).proportion_ci()
            decided = np.mean([v != "not yet known" for looks in by_look for v in looks[number].values()])
            print(
                f"  by {seeds:2d} seeds: {false:3d} with a false verdict, {100 * false / len(studies):.1f} % "
                f"({100 * low:.1f} to {100 * high:.1f}); variants decided {100 * decided:.0f} %",
                flush=True,
            )


def planned(data: object, margin: float | None) -> StudyPlan:
    """Return the plan of a study with looks after 3, 5 and 8 seeds that is continued to 12 and 20."""

    def same(seeds: str) -> StudyPlan:
        asked = question(seeds, margin)
        plan = outline(data, asked, "")[0]
        variants = tuple(PlannedVariant(name, "variant", None) for name in SAME)
        return with_looks(replace(plan, variants=(plan.variants[0], *variants)), asked)

    return continued(same("3..8"), same(f"3..{SEEDS}"), Path())


def main() -> None:
    """Make the pools and the studies, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", nargs="+", choices=("scratch", "branch"), default=["scratch", "branch"])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs") / "aa")
    words = parser.parse_args()
    torch.set_num_threads(1)
    data = open_data(DATA)
    plan, task = outline(data, question("3..8", None), "")
    feeds = task.feeds(data)
    pool = Pool(task, feeds, plan.train, words.out)
    draws = {
        "scratch": (pool.scratch, drawn_of_scratch),
        "branch": (pool.branches, drawn_of_branches),
    }
    for name in words.pool:
        make, draw = draws[name]
        began = time.process_time()
        records = make()
        print(f"{name}: pool ready after {time.process_time() - began:.0f} s of processor time", flush=True)
        rng, studies = np.random.default_rng(0), []
        apart = len(draw(records, rng))
        while len(studies) < words.studies:
            studies += draw(records, rng)
        report(name, studies[: words.studies], apart, (data, task, feeds["test"]))


if __name__ == "__main__":
    main()
