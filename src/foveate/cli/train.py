"""``foveate train``: one model, with attention or without, on one set of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from foveate.cli import output
from foveate.cli.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from foveate.data.base import ImageData
    from foveate.train.config import TrainConfig

EXAMPLE = """
    $ foveate train "scenes(size=32, train=200, val=0, test=100)" --model resnet8 \\
          --attention se@blocks --epochs 1 --out runs/se
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
    task: Literal["classification", "segmentation", "diagnosis"] | None = None,
    metric: str | None = None,
    recipe: Recipe = Recipe(),  # noqa: B008  # frozen
    json: bool = False,
) -> None:
    """Train one model on a set of images, and keep it. The same command goes on after a stop.

    One training does not tell whether attention helps: seeds often differ more
    than variants do. For that there is `foveate compare`.

    Args:
        data: A folder of class folders or of images and masks, a .csv or .parquet manifest, or scenes.
        model: A model's name; see `foveate list models`. Options may stand behind it:
            "unet(encoder=resnet18)".
        out: Where the model and its history go.
        attention: What is inserted and where, such as se@blocks.
        start: How attention starts: identity leaves the first output as it was, paper as published.
        pretrained: Start from published weights.
        weights: Start from this file of weights.
        seed: Decides weights, order and augmentation.
        task: What is learnt. By default segmentation where images have masks, else classification.
        metric: With masks: what is judged by, such as dice. Default: miou.
        recipe: How to train.
        json: Print the result as JSON.
    """
    from foveate.data.open import open_data
    from foveate.models.create import names_code

    images = open_data(data)
    begin = {"pretrained": pretrained, "weights": weights}
    what = {"model": model, "spec": attention, "start": start, "seed": seed}
    config = recipe.config(images, tuned=any(begin.values()), seed=seed)
    told = _train(images, what, config, out, begin, (task, metric))
    if json:
        output.machine(told)
    else:
        _print(told, out, trust=names_code(model))


def _train(
    images: ImageData,
    what: dict[str, Any],
    config: TrainConfig,
    out: Path,
    begin: dict[str, Any],
    asked: tuple[str | None, str | None],
) -> dict[str, Any]:
    """Train, judge on the test images, and leave ``config.json`` beside the weights, for ``fv.load``."""
    from foveate.compare.build import example
    from foveate.compare.materials import canvas, expect_task, natural_size, prepare
    from foveate.compare.saved import CONFIG
    from foveate.compare.trained import description
    from foveate.files import write_json
    from foveate.insert.surgery import insert
    from foveate.models import model_normalisation
    from foveate.tensor_file import tensor_sum
    from foveate.train.evaluate import evaluate
    from foveate.train.loop import fit
    from foveate.train.progress import progress_for

    task, metric = asked
    expect_task(images, task)
    model = _seeded(what, len(images.classes), begin)
    size = (
        canvas(images, config.size)
        if config.size
        else natural_size(images, what["model"], model, any(begin.values()))
    )
    mean, std = model_normalisation(model)
    if what["spec"]:
        model = insert(model, what["spec"], example=example(size), start=what["start"])
    materials = prepare(images, size, task, config, metric)
    with progress_for() as progress:
        result = fit(
            *(model, materials.task, materials.splits, replace(config, size=None), out),
            progress=progress,
            mean=mean,
            std=std,
            name=what["spec"] or "plain",
        )
    test, judge = materials.splits["test"], materials.task
    found = evaluate(result.model, judge, test, batch_size=config.batch_size, mean=mean, std=std)
    kept = what | {"pretrained": begin["pretrained"]} | description(judge.name, images, size, (mean, std))
    write_json(out / CONFIG, kept | {"checksum": tensor_sum(result.model.cpu().state_dict())})
    return {
        "metric": judge.metric.name,
        "unit": judge.metric.unit,
        "score": judge.metric.scale * found.score,
        "figures": judge.figures(found.records),
        "test_images": len(test),
        "steps": result.steps,
        "seconds": result.seconds,
        "history": result.history,
    }


def _seeded(what: dict[str, Any], classes: int, begin: dict[str, Any]) -> nn.Module:
    import torch

    from foveate.models import create_model

    torch.manual_seed(what["seed"])
    return create_model(what["model"], classes=classes, **begin)


def _print(told: dict[str, Any], out: Path, *, trust: bool) -> None:
    output.say(
        f"{told['metric']} {told['score']:.1f} {told['unit']} on {told['test_images']} test images, "
        f"after {told['steps']} steps in {told['seconds']:.0f} s"
    )
    for name, value in told["figures"].items():
        output.say(f"  {name} {value:.1f}")
    for site, opening in told["history"][-1]["openings"].items():
        output.say(f"  gate at {site}: {opening:+.3f}")
    output.say(f"{out}: foveate predict {out} IMAGE...{' --trust-code' * trust}")
