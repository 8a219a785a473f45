"""``foveate predict``: a trained model's predictions for new inputs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveate.data.questions.goal_options import GoalOptions
from foveate.decoding.command_options import WordOptions
from foveate.detect.command_options import BoxOptions
from foveate.errors import DataError
from foveate.sampling.command_options import DrawingOptions
from foveate.segment.command_options import SegmentOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from foveate.tasks.judged import Told

UNREADABLE = 2
EXAMPLE = """
    $ foveate predict runs/study cat.jpg
    cat.jpg
      97.1 %  cat
       1.6 %  dog
       0.6 %  fox

A model that segments prints shares of the pixels and writes files:

    $ foveate predict runs/roads street.jpg --out found
    street.jpg
      41.2 %  road
      35.9 %  building
      22.9 %  sky
      found/street_mask.png
      found/street_overlay.png

A model that detects prints the boxes, left,top to right,bottom, and writes them drawn and as COCO's JSON:

    $ foveate predict runs/cars street.jpg --out found
    street.jpg
      97.4 %  car  112,80 to 340,215
      found/street_boxes.png

A model that answers questions about pictures takes one with --goal:

    $ foveate predict runs/questions scene.png --goal "which digit is in the red ring?"
    scene.png
      98.3 %  7
       0.9 %  1

A model that translates prints one line for each line; - is standard input:

    $ foveate predict runs/german sentences.txt > translations.txt

A model that draws pictures takes no input, but says what to draw:

    $ foveate predict runs/digits --class 3 --pose 30 --number 16 --out drawn
"""


def predict(
    folder: Path,
    /,
    *inputs: str,
    out: Path | None = None,
    max_pixels: int | None = None,
    pixels: SegmentOptions = SegmentOptions(),  # noqa: B008  # frozen
    boxes: BoxOptions = BoxOptions(),  # noqa: B008  # frozen
    words: WordOptions = WordOptions(),  # noqa: B008  # frozen
    goal: GoalOptions = GoalOptions(),  # noqa: B008  # frozen
    drawing: DrawingOptions = DrawingOptions(),  # noqa: B008  # frozen
    seed: int | None = None,
    trust_code: bool = False,
    json: bool = False,
) -> int | None:
    """Predict new inputs with the best model of a study, or with one from `foveate train`.

    Args:
        folder: The folder that `foveate compare` or `foveate train` wrote.
        inputs: What the model takes. Of images: files; folders of them; lists of them (.txt with one path
            per line, .csv with a column path); or patterns, such as "photos/**/*.jpg". Of sentences: text
            files, one sentence a line; - for standard input; or a sentence in quotes. None for a model that
            draws pictures.
        out: Folder of the files that the model's task writes, such as masks, or what each word of a caption
            or of a translation was read from. Without it nothing is written.
        max_pixels: Pixels of the largest image that is decoded, for files that you trust. Default:
            268435456; with a model that segments, no limit.
        pixels: With a model that segments.
        boxes: With a model that detects.
        words: With a model that answers in words.
        goal: With a model that takes a goal.
        drawing: With a model that draws pictures.
        seed: Decides what is drawn: with --sample the words, with a model that draws pictures the noise and
            the poses. Default: 0.
        trust_code: Import and run code that the folder names and that is not part of foveate, timm or
            torchvision, such as a model of your own.
        json: Print JSON, with the full prediction for every input.
    """
    from foveate.infer.load import load

    model: Any = load(folder, trust_code=trust_code)
    if not inputs and model.task.takes_inputs:
        raise DataError("predict: got no input. Write: foveate predict FOLDER INPUT...")
    options = (
        pixels.given()
        | boxes.given()
        | words.given()
        | goal.given()
        | drawing.given()
        | ({} if max_pixels is None else {"max_pixels": max_pixels})
        | ({} if seed is None else {"seed": seed})
    )
    return _print(model.task.tell(model, inputs, out=out, **options), model.task.items, json=json)


def _print(answers: Iterable[Told], items: str, *, json: bool) -> int | None:
    """Print every answer as soon as it is known; name the inputs that cannot be used."""
    from foveate.cli import output

    told, failed = [], 0
    for answer in answers:
        told.append(dict(answer.plain))
        failed += answer.failed
        if answer.failed:
            print("\n".join(answer.lines), file=sys.stderr)
        elif not json:
            output.say("\n".join((answer.name, *answer.lines) if answer.name else answer.lines))
    if json:
        output.machine(told)
    if failed:
        print(f"{failed} of {len(told)} {items} cannot be read; the others are done.", file=sys.stderr)
    return UNREADABLE if failed else None
