"""``foveate train``: one model, with attention or without, on one set of data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from foveate.cli import output
from foveate.cli.recipe_options import RecipeOptions
from foveate.data.command_options import DataOptions

if TYPE_CHECKING:
    from foveate.train.training import Training

CONFUSED = 3  # pairs of classes that are printed
EXAMPLE = """
    $ foveate train "scenes(size=32, train=200, val=0, test=100)" \\
          --model resnet8 --attention se@blocks --epochs 1 --out runs/se
"""


def train(
    data: str,
    /,
    *,
    model: str,
    out: Path,
    attention: Annotated[str | None, Parameter(alias="-a")] = None,
    start: Literal["identity", "paper"] = "identity",
    pretrained: bool = False,
    weights: Path | None = None,
    seed: int = 0,
    task: str | None = None,
    metric: str | None = None,
    recipe: RecipeOptions = RecipeOptions(),  # noqa: B008  # frozen
    reading: DataOptions = DataOptions(),  # noqa: B008  # frozen
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Train one model on your data and save it. The same command resumes after an interruption.

    One training does not show whether attention helps: seeds often differ more
    than variants do. For that there is `foveate compare`.

    Args:
        data: A folder or a file: see docs/data.md; or scenes, the built-in images.
        model: A model's name; see `foveate list models`. Options may follow it:
            "unet(encoder=resnet18)".
        out: Where the model and its history go.
        attention: What is inserted and where, such as se@blocks.
        start: How attention starts: identity leaves the first output as it was, paper as published.
        pretrained: Start from published weights.
        weights: Start from this file of weights.
        seed: Decides weights, order and augmentation.
        task: What is learnt; see `foveate list tasks`. Default: the usual task for such data.
        metric: What the model is judged by; see `foveate list metrics`. Default: the task's usual metric.
        recipe: How to train.
        reading: How the data is read.
        dry_run: Print what would be trained, what it costs and how long it takes, and stop.
        json: Print the plan or the result as JSON.
    """
    from foveate.insert.spec import parse
    from foveate.models.names import names_code
    from foveate.tasks.base import task_named
    from foveate.tasks.open_source import open_source
    from foveate.train.train_one import train as train_one
    from foveate.train.training import TrainingPlan
    from foveate.user_code import is_import_path

    opened = open_source(data, task, **reading.given())
    tuned = pretrained or weights is not None
    usual = task_named(task or opened.task)[0].usual_recipe(opened, tuned=tuned)
    found = train_one(
        opened,
        model=model,
        attention=attention,
        out=out,
        start=start,
        pretrained=pretrained,
        weights=weights,
        seed=seed,
        task=task,
        metric=metric,
        train=recipe.config(usual, seed=seed),
        dry_run=dry_run,
    )
    if json:
        output.machine(found.to_dict())
    elif isinstance(found, TrainingPlan):
        output.say(str(found))
    else:
        terms = parse(attention).terms if attention else ()
        own = names_code(model) or any(is_import_path(term.mechanism) for term in terms)
        _print(found, trust=own)


def _print(found: Training, *, trust: bool) -> None:
    from foveate.plugins import loaded_plugins

    digits = 1 if found.metric.scale >= 100 else 3
    after = f"{found.test_items} test {found.items}"
    output.say(
        f"{found.metric.name} {found.score:.{digits}f} {found.metric.unit}".rstrip()
        + f" on {', '.join((after, *found.facts))}, after {found.steps} steps in {found.seconds:.0f} s"
    )
    if not found.beats_chance:
        output.say(
            f"  Not better than chance: always predicting the class frequencies scores "
            f"{found.chance:.{digits}f}. Train for longer, or check labels and learning rate."
        )
    for name, value in found.figures.items():
        output.say(f"  {name} {value:.1f}")
    for pair in found.confusions[:CONFUSED]:
        output.say(f"  {pair['items']} of {pair['true']} taken for {pair['given']}")
    for site, opening in found.history[-1]["openings"].items():
        output.say(f"  gate at {site}: {opening:+.3f}")
    plugins = "".join(f" --plugin {name}" for name in loaded_plugins())
    trusting = " --trust-code" if trust else ""
    inputs = " INPUT..." if getattr(found.model, "task").takes_inputs else ""  # noqa: B009  # set by equip
    output.say(f"{found.folder}: foveate predict {found.folder}{inputs}{trusting}{plugins}")
