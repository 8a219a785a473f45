"""``fv.look``: where a model looks, drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveate.data.images.open_image import USUAL as USUAL_READING
from foveate.data.picture_form import PictureForm
from foveate.data.prepare_pictures import batch_of, pixels_of
from foveate.errors import DataError, FoveateError, OptionError, ShapeError
from foveate.explain.explain import explain
from foveate.explain.judging.judge import BASELINES
from foveate.explain.judging.judge import judge as judge_maps
from foveate.explain.judging.judgement import Judgement
from foveate.explain.record import record
from foveate.explain.recording.attention_map import AttentionMap
from foveate.explain.targets import Word, expect_below
from foveate.infer.find_model import FoundModel, find_model
from foveate.infer.found_objects import objects_of
from foveate.infer.glimpse_walks import walks_of
from foveate.infer.load import load
from foveate.infer.look_figures import Look
from foveate.infer.look_text import look_at_text
from foveate.infer.seen import Seen
from foveate.inputs import expect_model
from foveate.large_pictures import LargePictures
from foveate.models.made_for import USUAL
from foveate.models.normalisation import model_normalisation
from foveate.models.outputs import main_output
from foveate.options import whole
from foveate.running import device_of, eval_no_grad
from foveate.tasks.cards.attention_maps import site_maps
from foveate.tasks.judged import WordReading
from foveate.tasks.picture_inputs import listed
from foveate.typed import quoted

ATTENTION, USUAL_METHOD = "attention", "grad_cam"
SHOWN = 5  # labels of a prediction


def look(
    model: nn.Module | str | Path | Any,
    images: object,
    *,
    method: str | Sequence[str] | None = None,
    layer: str | None = None,
    head: int | None = None,
    query: tuple[int, int] | int | None = None,
    target: object = None,
    size: int | None = None,
    weights: str | Path | None = None,
    untrained: bool = False,
    trust_code: bool = False,
    tokenizer: Any = None,
    judge: bool = False,
) -> Look:
    """Return where a model looks: figures that a notebook shows, files, and an atlas.

    Args:
        model: A module; what ``fv.load``, ``fv.train`` or ``find_model`` returned; the folder of a study or
            of a training; or a name that ``fv.create_model`` takes, which gets its published weights.
        images: Files, folders, lists, patterns, PIL pictures or arrays (H, W, 3) uint8; or a batch
            (B, 3, H, W) as the model takes it. Of a model that translates, or with a tokenizer: sentences.
        method: Names of ``fv.explanations``, and ``"attention"`` for recorded weights. By default attention,
            as far as there is any, and Grad-CAM.
        layer: Which layers' attention is recorded, as a pattern such as ``"blocks.1*"``; for other methods,
            the path of the layer that they look at.
        head: One head of the attention; by default the mean of all.
        query: The pixel (row, column) that looks; by default the class token, or the mean of all places. A
            number is an object query, as of DETR, of which the most probable ones are drawn by default.
        target: What other methods explain; see ``fv.explain``. Of a model that answers in words,
            ``Word(step)`` shows that word alone.
        size: Side of the pictures in pixels, for a model that does not state it.
        weights: A file of weights, for a model by name.
        untrained: Leave a model by name with random weights.
        trust_code: Whether code of other packages that a folder names may run; see ``fv.load``.
        tokenizer: Of a model of text, such as BERT: it splits a text and names the pieces, as those of
            transformers do. The pieces' attention to each other is drawn.
        judge: Whether the maps are judged, too, on the same pictures, by deletion and insertion.

    Raises:
        CheckpointError, UnknownNameError: There is no such model.
        OptionError: A method, layer or head does not exist, or nothing can be drawn.
        DataError, ShapeError: The pictures cannot be read, or do not fit the model.

    Example:
        >>> from foveate.models import create_model
        >>> model = create_model("resnet8", classes=3)
        >>> found = look(model, np.zeros((1, 32, 32, 3), np.uint8), method="grad_cam")
        >>> list(found.drawings)
        ['maps', 'picture1_grad_cam']
    """
    methods = [method] if isinstance(method, str) else None if method is None else list(method)
    if tokenizer is not None:
        if judge:
            raise OptionError("judge: goes with maps over pictures, and a tokenizer is for texts.")
        return _of_text(model, images, tokenizer, methods, layer, head, query, target)
    whole_model = _known(model, size, weights, untrained, trust_code)
    if not isinstance(whole_model, FoundModel):  # it answers in words
        if judge:
            raise OptionError("judge: goes with maps over pictures, and this model answers in words.")
        return _of_words(whole_model, images, methods, layer, head, query, target)
    network, notes = whole_model.model, []
    batch, pixels, names = _inputs(whole_model, images)
    pictures = []
    for row, (picture, name) in enumerate(zip(pixels, names, strict=True)):
        image = batch[row : row + 1]
        seen = Seen(name, picture)
        if methods is None or ATTENTION in methods:
            seen.calls, why, outputs = _recorded(network, image, layer)
            notes += [why] if why else []
            seen.walks = walks_of(network, seen.calls, seen.size)
            slot = query if isinstance(query, int) else None
            seen.objects = objects_of(outputs, seen.calls, seen.size, head=head, query=slot)
        seen.prediction = _prediction(whole_model, image)
        pictures.append(seen)
    if methods is None or ATTENTION in methods:
        _add_attention(network, batch, pictures, layer, head, query)
    explained = [name for name in methods or [USUAL_METHOD] if name != ATTENTION]
    for name in explained:
        try:
            if isinstance(batch, LargePictures):
                raise OptionError("it takes whole pictures, and this model looks at parts of them")
            maps = explain(
                network, batch, name, target, layer if methods and ATTENTION not in methods else None
            )
        except FoveateError as error:
            if methods is not None:
                raise
            notes.append(f"{name} is left out: {error}")
            continue
        for seen, values in zip(pictures, maps.cpu().numpy(), strict=True):
            seen.maps[name] = values
    found = Look(
        whole_model.name,
        pictures,
        notes=list(dict.fromkeys(notes)),
        every_gate=layer is not None,
        query=query,
    )
    if isinstance(query, int) and not any(seen.objects for seen in pictures):
        raise OptionError(
            f"query: got {query}, a number of an object query, and {whole_model.name} has none that attends "
            "to places. Give a pixel (row, column)."
        )
    if not any(seen.maps or seen.calls for seen in pictures):
        raise OptionError(f"look: nothing can be drawn of {whole_model.name}. {' '.join(found.notes)}")
    if judge:
        if isinstance(batch, LargePictures):
            raise OptionError("judge: it takes whole pictures, and this model looks at parts. Leave it out.")
        found.judgement = judge_look(whole_model, batch, pictures, target)
    return found


def judge_look(
    found: FoundModel,
    batch: Float[Tensor, "b 3 h w"],
    pictures: Sequence[Seen],
    target: object = None,
    *,
    masks: object = None,
    labels: Sequence[int] | None = None,
    baselines: Sequence[str] = BASELINES,
) -> Judgement:
    """Return what deletion, insertion and true masks say about every map that all of the pictures have.

    Places that a map says nothing about, such as a border without a patch, count as its lowest ones. The
    intervals are over the pictures, so a single one has none.

    Args:
        found: The model.
        batch: The pictures as the model takes them.
        pictures: The same, with their maps.
        target: What the maps explain; see ``fv.explain``.
        masks: Where the object is (B, H, W), if that is known; see ``fv.judge``.
        labels: The true classes, likewise.
        baselines: What the maps are judged beside.

    Raises:
        OptionError: No map is there for all of the pictures.
        ShapeError: The model does not answer with a probability of what the maps explain.
    """
    names = [name for name in pictures[0].maps if all(name in seen.maps for seen in pictures)]
    if not names:
        raise OptionError("judge: there is no map that all of the pictures have. Look with another method.")
    size = (batch.shape[-2], batch.shape[-1])
    maps = {name: torch.stack([_on_picture(seen.maps[name], size) for seen in pictures]) for name in names}
    form = found.form
    return judge_maps(
        found.model,
        batch,
        {name: one.to(batch.device) for name, one in maps.items()},
        masks=masks,
        target=target,
        labels=labels,
        baselines=baselines,
        normalisation=(form.mean, form.std),
    )


def _on_picture(values: object, size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """Return a map on the grid of its picture, without gaps."""
    whole = torch.as_tensor(values).float()
    if whole.isfinite().any():
        whole = torch.nan_to_num(whole, nan=float(whole[whole.isfinite()].min()))
    if tuple(whole.shape) == size:
        return whole
    return F.interpolate(whole[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _known(
    model: Any, size: int | None, weights: str | Path | None, untrained: bool, trust_code: bool
) -> FoundModel | nn.Module:
    """Return the model with what is known about it; one that answers in words as it is."""
    if isinstance(model, FoundModel):
        return model
    if isinstance(model, str | Path):
        if Path(model).is_dir():
            loaded = load(model, trust_code=trust_code)
            if loaded.task.picture_form() is None:  # type: ignore[union-attr, operator]
                return loaded
        return find_model(model, size=size, weights=weights, untrained=untrained, trust_code=trust_code)
    if not isinstance(model, nn.Module):
        model = getattr(model, "model", model)  # what fv.train returned
    expect_model(model)
    task = getattr(model, "__dict__", {}).get("task")
    if task is not None:
        form = task.picture_form()
        return model if form is None else FoundModel(type(model).__name__, model, form, tuple(task.classes))
    stated = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    own = stated.get("input_size", (3, USUAL, USUAL))[-1] if isinstance(stated, dict) else USUAL
    side = own if size is None else whole("size", size)
    form = PictureForm((side, side), *model_normalisation(model), levels=USUAL_READING.levels)
    return FoundModel(type(model).__name__, model, form)


def _inputs(found: FoundModel, images: object) -> tuple[Tensor | LargePictures, list[np.ndarray], list[str]]:
    """Return the batch as the model takes it, its pixels as people see them, and names."""
    device = device_of(found.model)
    if isinstance(images, Tensor):
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point() or not len(images):
            raise ShapeError(
                f"images: got a tensor {tuple(images.shape)} {images.dtype}, expected a batch (B, 3, H, W) "
                "of floats, as the model takes it"
            )
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (found.form.mean, found.form.std))
        shown = ((images.detach().cpu().float() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        return images.to(device), list(shown.permute(0, 2, 3, 1).numpy()), _numbered(len(images))
    given = listed(images)
    if not given:
        raise DataError("look: got no picture. Give files, folders, patterns, PIL pictures or arrays.")
    names = [Path(one).name if isinstance(one, str | Path) else "" for one in given]
    names = [name or other for name, other in zip(names, _numbered(len(given)), strict=True)]
    task = getattr(found.model, "__dict__", {}).get("task")
    parts = None if task is None else task.in_parts(found.model, given)
    if parts is not None:
        return parts[0].to(device), parts[1], names
    pixels = [pixels_of(one, found.form) for one in given]
    return batch_of(pixels, found.form, device), pixels, names


def _numbered(count: int) -> list[str]:
    return [f"picture {number}" for number in range(1, count + 1)]


def _recorded(
    network: nn.Module, image: Tensor | LargePictures, layer: str | None
) -> tuple[list[AttentionMap], str, object]:
    """Return every call of one picture, why there is none, and what the model returned."""
    options = {} if layer is None else {"layers": layer}
    with eval_no_grad(network), record(network, device="cpu", **options) as maps:  # type: ignore[arg-type]
        outputs = network(image)
    return list(maps.in_order), maps.note, outputs


def _prediction(found: FoundModel, image: Tensor | LargePictures) -> list[tuple[str, float]]:
    """Return the most probable labels; nothing of a model that does not classify whole pictures."""
    task = getattr(found.model, "__dict__", {}).get("task")
    with eval_no_grad(found.model):
        outputs = found.model(image)
    try:
        scores = main_output(outputs) if task is None else task.answer(outputs)
    except (ShapeError, AttributeError):
        return []
    if not isinstance(scores, Tensor) or scores.ndim != 2 or not scores.is_floating_point():
        return []
    shares = (scores.float().softmax(dim=1) if task is None else scores.float())[0].cpu()
    names = found.classes or [f"class {number}" for number in range(len(shares))]
    best = shares.argsort(descending=True)[:SHOWN].tolist()
    return [(names[number], float(shares[number])) for number in best]


def _add_attention(
    network: nn.Module,
    batch: Tensor | LargePictures,
    pictures: Sequence[Seen],
    layer: str | None,
    head: int | None,
    query: tuple[int, int] | int | None,
) -> None:
    """Add the map of the last layer that attends to places, and those of foveate's own mechanisms."""
    for seen in pictures:
        calls = [] if isinstance(query, int) else seen.attending()
        if calls:
            where = calls[-1]
            laid = where.to_image(seen.size, query=query, head=head)
            seen.maps[f"{ATTENTION}, {where.path}"] = laid.values[0].float().numpy()
    if any(call.kind == "tap" for seen in pictures for call in seen.calls):
        for site, kind, values in site_maps(network, batch):
            if layer is None or fnmatchcase(site, layer):
                for seen, one in zip(pictures, values, strict=True):
                    seen.maps[f"{site}, {kind}"] = one


def _of_text(
    model: Any,
    texts: object,
    tokenizer: Any,
    methods: Sequence[str] | None,
    layer: str | None,
    head: int | None,
    query: object,
    target: object,
) -> Look:
    if not isinstance(model, nn.Module):
        raise OptionError(f"look: got {quoted(model)} with a tokenizer, expected the model itself, a module")
    _expect_attention_only("a model of text", methods, {"query": query, "target": target})
    return look_at_text(model, texts, tokenizer, layer=layer, head=head)


def _of_words(
    model: nn.Module,
    inputs: object,
    methods: Sequence[str] | None,
    layer: str | None,
    head: int | None,
    query: object,
    target: object,
) -> Look:
    _expect_attention_only(
        "a model that answers in words", methods, {"layer": layer, "head": head, "query": query}
    )
    task: Any = model.task
    readings = [_only(reading, target) for reading in task.reads(model, inputs)]
    if not any(len(reading.weights) for reading in readings):
        raise OptionError(
            f"look: a model for {task.name} whose answers do not say what they read. Its attention, if it "
            "has any, is in fv.record."
        )
    return Look(type(model).__name__, readings=readings)


def _expect_attention_only(kind: str, methods: Sequence[str] | None, options: Mapping[str, object]) -> None:
    """Refuse what is not drawn of models of words.

    Raises:
        OptionError: A method other than attention, or one of the options, was given.
    """
    other = next((name for name in methods or [] if name != ATTENTION), None)
    if other is not None:
        raise OptionError(f"method: got {quoted(other)}, of {kind} what it read is drawn. Leave method out.")
    given = next((name for name, value in options.items() if value is not None), None)
    if given is not None:
        raise OptionError(f"{given}: got {quoted(options[given])}, {kind} has no such choice. Leave it out.")


def _only(reading: WordReading, target: object) -> WordReading:
    """Return what one word of an answer was read from; every word's if none is named.

    Raises:
        OptionError: The target is not a word, or the answer is shorter.
    """
    if target is None:
        return reading
    if not isinstance(target, Word):
        raise OptionError(
            f"target: got {quoted(target)}, expected Word(step) of foveate.explain.targets: this model "
            "answers in words"
        )
    step = expect_below("step", target.step, len(reading.words), f" of {' '.join(reading.words)!r}")
    return replace(
        reading, words=reading.words[step : step + 1], weights=np.asarray(reading.weights)[step : step + 1]
    )
