"""``foveate compare``: which attention, where, is worth it on this data, and how certain that is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from foveate.cli.recipe_options import RecipeOptions
from foveate.cli.study_answer import tell
from foveate.data.command_options import DataOptions
from foveate.errors import OptionError

if TYPE_CHECKING:
    pass

_NAMED = re.compile(r"\s*([\w .-]+?)\s*=\s*(.*)", re.DOTALL)
EXAMPLE = """
    $ foveate compare pictures --model resnet18 --pretrained --seeds 5 \\
          --try se@blocks --try cbam@stage4 --out runs/birds
"""


def compare(
    data: str | None = None,
    /,
    *,
    model: str = "resnet8",
    tries: Annotated[tuple[str, ...], Parameter(name=["--try", "-t"], consume_multiple=False)] = (),
    seeds: str | None = None,
    out: Path | None = None,
    mode: Literal["scratch", "pretrained", "branch"] = "scratch",
    control: Literal["largest", "each", "none"] = "largest",
    margin: float | None = None,
    level: float = 0.95,
    pretrained: bool = False,
    weights: Path | None = None,
    start: Literal["identity", "paper"] = "identity",
    branch_epochs: int | None = None,
    branch_lr: float | None = None,
    race: bool = False,
    budget: str | None = None,
    folds: int | None = None,
    task: str | None = None,
    metric: str | None = None,
    recipe: RecipeOptions = RecipeOptions(),  # noqa: B008  # frozen
    reading: DataOptions = DataOptions(),  # noqa: B008  # frozen
    engine: str = "local",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Compare kinds and places of attention on your data, with a verdict for each.

    Trains the model without attention, with each variant, and a control of equal
    cost without attention, all with the same seeds, order, augmentation and
    budget. The same command resumes an interrupted study, and several processes
    may run it on one folder at once.

    Args:
        data: A folder or a file: see docs/data.md. Default: scenes, the built-in images.
        model: A model's name; see `foveate list models`. Or package.module:function for your own. Options
            may follow it: "unet(encoder=resnet18)".
        tries: A variant; may be given several times. With an @ it inserts: se@blocks, or
            "cbam(reduction=8)@stage4+eca@blocks". Without, it is another model: "unet(encoder=resnet34)".
            A name may precede it: "narrow=se(reduction=32)@blocks".
        seeds: From how many to how many trainings of each: 3..8 by default, with looks after 3, 5, 8, 12
            and 20; a variant stops at its first verdict. Or a fixed number, or the seeds themselves, such as
            0,3,8. Below three there is no verdict. A larger number continues a finished study.
        out: The study's folder; one under runs/ by default.
        mode: Train from scratch; start all from pretrained weights; or branch: train the baseline once
            per seed, insert, and continue with all.
        control: For which variants there is a control: the largest, each, or none.
        margin: The least difference worth having, in the metric's unit. Default: what is usual for the
            metric, such as 0.5 points.
        level: Confidence of all intervals together.
        pretrained: Start from published weights.
        weights: Start from this file of weights.
        start: How attention starts: identity leaves the first output as it was, paper as published.
        branch_epochs: With --mode branch: passes after the branching. Half of --epochs by default.
        branch_lr: With --mode branch: learning rate after the branching. A third of --lr by default.
        race: For many variants: look after every seed, 2..5 by default, and drop variants that look no
            better than the margin.
        budget: Time for all runs, such as 40min or 2h. Looks that do not fit are left out.
        folds: For few items: make every run a cross-validation over so many folds of the training and test
            items, and judge by all of them. A run costs as many trainings.
        task: What is learnt; see `foveate list tasks`. Default: the usual task for such data.
        metric: What models are judged by; see `foveate list metrics`. Default: the task's usual metric.
        recipe: How to train.
        reading: How the data is read.
        engine: Where the runs are executed: local, in this process; or "processes(count=4)".
        dry_run: Print the plan, with what every run costs and how long it takes, and stop.
        json: Print the plan or the result as JSON.
    """
    from foveate.cli import invocation
    from foveate.compare.study import compare as study
    from foveate.tasks.base import task_named
    from foveate.tasks.open_source import open_source

    opened = open_source(data, task, **reading.given())
    tuned = pretrained or weights is not None or mode == "pretrained"
    usual = task_named(task or opened.task)[0].usual_recipe(opened, tuned=tuned)
    found = study(
        opened,
        model=_unnamed(model),
        variants=_variants(tries),
        seeds=None if seeds is None else _seeds(seeds),
        out=out,
        mode=mode,
        control=control,
        margin=margin,
        level=level,
        pretrained=pretrained,
        weights=weights,
        train=recipe.config(usual),
        start=start,
        branch_epochs=branch_epochs,
        branch_lr=branch_lr,
        race=race,
        budget=budget,
        folds=folds,
        task=task,
        metric=metric,
        engine=engine,
        command=invocation.command(),
        dry_run=dry_run,
    )
    tell(found, json=json)


def _seeds(text: str) -> int | str | tuple[int, ...]:
    """Read how many seeds, from how many to how many, or which."""
    if ".." in text:
        return text
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"-?[0-9]{1,20}", word) for word in words):
        raise OptionError(
            f'--seeds: got "{text}", expected how many, 3..8, or a list of whole numbers: 0,3,8'
        )
    return int(words[0]) if len(words) == 1 else tuple(map(int, words))


def _unnamed(model: str) -> str:
    """Return the model, which the study calls the baseline whatever it is."""
    named = _NAMED.fullmatch(model)
    if named:
        raise OptionError(
            f'--model: got "{model}", but the model that all others are compared with is called the '
            f'baseline. Write --model "{named[2]}"; a name may precede a variant: '
            f'--try "{named[1]}={named[2]}".'
        )
    return model


def _variants(tries: Sequence[str]) -> list[str] | dict[str, str]:
    """Read the variants; by name if one of them has one."""
    if not tries:
        raise OptionError("there is nothing to compare: name a variant, such as --try se@blocks")
    named = [_NAMED.fullmatch(text) for text in tries]
    if not any(named):
        return list(tries)
    pairs = [(m[1], m[2]) if m else (text, text) for m, text in zip(named, tries, strict=True)]
    twice = next((name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1), None)
    if twice is not None:
        raise OptionError(f'--try: two variants are called "{twice}"')
    return dict(pairs)
