"""``foveate demo``: a whole study on built-in pictures, to see the result before using your own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from foveate.cli import output
from foveate.cli.study_answer import tell

EXAMPLE = """
    $ foveate demo --out runs/demo
"""

MODEL = "resnet8"
VARIANTS = ("attention_pool@pool", "gct@stage1")
SEEDS, QUICK_SEEDS = 8, 3
FULL = "scenes(classes=5, train=2000, val=0, test=2000)", 2  # data, epochs
QUICK = "scenes(size=32, train=256, val=64, test=256)", 1
RATE = 5e-3  # of trunk and branches alike: the trunk is far from trained
MARGIN = 5.0  # points


def demo(*, out: Path | None = None, quick: bool = False, json: bool = False) -> None:
    """Run a whole study on built-in pictures: handwritten digits in clutter.

    "My network is half trained. Would attention help?" Four digits, and the marked
    one counts. A baseline, attention pooling, a channel attention that has nothing
    to add here, and a control, with 8 seeds. The same command resumes after an
    interruption.

    Args:
        out: The study's folder. Default: runs/demo, or runs/demo-quick.
        quick: A study in about a minute, far too small for conclusions, to see that everything works.
        json: Print the result as JSON.
    """
    import torch

    from foveate.cli import invocation
    from foveate.compare.study import compare

    data, epochs = QUICK if quick else FULL
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not quick:
        torch.set_num_threads(1)  # small networks run faster in a process per core
    study = compare(
        data,
        **question(epochs),
        seeds=QUICK_SEEDS if quick else SEEDS,
        engine="local" if quick or cores < 2 else "processes(count=2)",
        out=out or Path("runs") / ("demo-quick" if quick else "demo"),
        command=invocation.command(),
    )
    tell(study, json=json)
    if not json:
        output.say("Open it in a browser. For your own pictures: foveate compare --help")


def question(epochs: int) -> dict[str, Any]:
    """Return what the demonstration asks, with trunks and branches of this many epochs."""
    return {
        "model": MODEL,
        "variants": list(VARIANTS),
        "mode": "branch",
        "start": "paper",
        "epochs": epochs,
        "branch_epochs": epochs,
        "branch_lr": RATE,
        "margin": MARGIN,
    }
