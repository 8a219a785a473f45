"""``foveate demo``: a whole study on built-in pictures, to see the result before using your own."""

from __future__ import annotations

from pathlib import Path

from foveate.cli import output
from foveate.cli.study_answer import tell

EXAMPLE = """
    $ foveate demo --out runs/demo
"""

MODEL = "resnet8"
VARIANTS = ("se@blocks", "cbam@blocks", "multi_head@stage3")
SEEDS = 3
FULL = "scenes(classes=5, train=2000, val=500, test=1000)", 5  # data, epochs
QUICK = "scenes(size=32, train=256, val=64, test=256)", 1


def demo(*, out: Path | None = None, quick: bool = False, json: bool = False) -> None:
    """Run a whole study on built-in pictures: handwritten digits in clutter.

    A baseline, three variants and a control, with three seeds each. The same
    command resumes after an interruption.

    Args:
        out: The study's folder. Default: runs/demo, or runs/demo-quick.
        quick: A study in about a minute, far too small for conclusions, to see that everything works.
        json: Print the result as JSON.
    """
    from foveate.cli import invocation
    from foveate.compare.study import compare

    data, epochs = QUICK if quick else FULL
    study = compare(
        data,
        model=MODEL,
        variants=list(VARIANTS),
        seeds=SEEDS,
        epochs=epochs,
        out=out or Path("runs") / ("demo-quick" if quick else "demo"),
        command=invocation.command(),
    )
    tell(study, json=json)
    if not json:
        output.say("Open it in a browser. For your own pictures: foveate compare --help")
