"""One real study of twelve variants, run both ways: all seeds of all of them, and as a race.

    python -m benchmarks.race_study [--out runs/race-study]

The question is that of ``foveate demo`` on fewer scenes: a half-trained small network, one digit of four
counts. Both studies train the same runs of the same seeds, branching off the same trunks: one looks once,
after five seeds; the other from two seeds on, and drops variants that look no better than the margin.
The race comes first; the other study takes its trained runs over, which would be the same bit for bit.
Printed are the runs and the time of each, the verdicts of each, and on how many variants they agree. A study
that was stopped resumes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch

import foveate as fv
from foveate.compare.finished_study import Study
from foveate.compare.statistics.verdict import HELPS

SEEDS = 5
VARIANTS = (
    "attention_pool@pool",
    "se@blocks",
    "eca@blocks",
    "gct@stage1",
    "srm@stage2",
    "scse@stage2",
    "triplet@stage2",
    "cbam@stage3",
    "coordinate@stage3",
    "gc@stage3",
    "shuffle@stage3",
    "csra@output",
)
QUESTION: dict[str, Any] = {
    "data": "scenes(classes=5, train=600, val=0, test=1000)",
    "model": "resnet8",
    "variants": list(VARIANTS),
    "mode": "branch",
    "start": "paper",
    "epochs": 4,
    "branch_epochs": 2,
    "branch_lr": 5e-3,
    "control": "none",
    "margin": 5.0,
}


def cost(study: Study) -> tuple[int, float]:
    """Return how many runs a study made, trunks among them, and their seconds."""
    runs = study.result["runs"]
    return len(runs), sum(run["seconds"] for run in runs)


def shown(study: Study, name: str) -> str:
    """Return the difference and the verdict of one variant."""
    found = next(v for v in study.result["variants"] if v["name"] == name)
    gap = found["difference"]
    interval = "" if gap["low"] is None else f" ({gap['low']:+.1f} to {gap['high']:+.1f})"
    return f"{gap['mean']:+.1f}{interval}, {gap['seeds']} seeds: {found['verdict']}"


def main() -> None:
    """Make both studies, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs") / "race-study")
    words = parser.parse_args()
    torch.set_num_threads(1)
    race = fv.compare(**QUESTION, seeds=f"2..{SEEDS}", race=True, out=words.out / "race")
    if not (words.out / "whole").exists():
        shutil.copytree(words.out / "race" / "runs", words.out / "whole" / "runs")
    whole = fv.compare(**QUESTION, seeds=SEEDS, out=words.out / "whole")
    for title, study in (("all seeds", whole), ("race", race)):
        count, seconds = cost(study)
        print(f"{title}: {count} runs, {seconds:.0f} s of training. {study.sentence}")
    print("\n| variant | all seeds | race |\n| --- | --- | --- |")
    for name in VARIANTS:
        print(f"| `{name}` | {shown(whole, name)} | {shown(race, name)} |")
    said = [(whole.verdicts[name], race.verdicts[name]) for name in VARIANTS]
    same = sum((one in HELPS) == (other in HELPS) for one, other in said)
    opposite = sum("hurts" in pair and any(verdict in HELPS for verdict in pair) for pair in said)
    print(f"\nWhether it helps: the same on {same} of {len(said)} variants, opposite on {opposite}.")
    print(f"The same verdict by name: {sum(one == other for one, other in said)} of {len(said)}.")
    print(f"Cost of the race: {cost(race)[0] / cost(whole)[0]:.2f} of the runs, ", end="")
    print(f"{cost(race)[1] / cost(whole)[1]:.2f} of the time.")


if __name__ == "__main__":
    main()
