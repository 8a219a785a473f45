"""``foveate look``: where a model looks, as pictures and as a page to click in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foveate.errors import DataError, OptionError

if TYPE_CHECKING:
    from foveate.infer.look_figures import Look

ATLAS = "atlas.html"
EXAMPLE = """
    $ foveate look runs/study cat.jpg dog.jpg --out looks
    cat.jpg
      97.1 %  cat
       1.6 %  dog
      grad_cam: Most at row 12, column 20 (0.9 %), ...
    dog.jpg
      88.0 %  dog
       9.1 %  cat
      grad_cam: Most at row 30, column 8 (0.7 %), ...
    looks/atlas.html (open it in a browser), looks/look.json and 6 pictures

One method, one layer, and the page alone:

    $ foveate look timm/vit_tiny_patch16_224 cat.jpg --method attention --layer "blocks.11*" --atlas cat.html

Where it looks, and whether that is true:

    $ foveate look runs/study "photos/*.jpg" --method grad_cam --judge
"""


def look(
    model: str,
    /,
    *images: str,
    method: list[str] | None = None,
    layer: str | None = None,
    head: int | None = None,
    query: tuple[int, int] | None = None,
    target: int | None = None,
    out: Path | None = None,
    atlas: Path | None = None,
    atlas_size: float = 30.0,
    size: int | None = None,
    weights: Path | None = None,
    untrained: bool = False,
    trust_code: bool = False,
    judge: bool = False,
    json: bool = False,
) -> None:
    """Draw where a model looks.

    Without --out and --atlas, the atlas is written to atlas.html: a page, without a server, on which a click
    shows where the model looks from there, layer by layer and head by head.

    Args:
        model: The folder of a study or of a training; or a model's name, of timm, of torchvision, or
            package.module:function for your own.
        images: Files; folders; lists (.txt, .csv); or patterns, such as "photos/**/*.jpg". For a model that
            translates, sentences in quotes.
        method: A method of `foveate list explanations`, or attention for recorded weights. May be repeated.
            Default: attention, as far as there is any, and grad_cam.
        layer: Whose attention, as a pattern such as "blocks.1*"; for other methods, the layer that they look
            at.
        head: One head of the attention. Default: the mean of all.
        query: The pixel, row and column, that looks. Default: the class token, or the mean of all places.
        target: Number of the class that other methods explain. Default: the predicted one.
        out: Folder for the pictures, as PNG and SVG, what they show in words (look.json), and the atlas.
        atlas: The file of the atlas.
        atlas_size: Megabytes that the atlas should not exceed; beyond it, fewer places can look.
        size: Side of the pictures in pixels; the model's own by default.
        weights: A file of weights, for a model by name.
        untrained: Leave a model by name with random weights.
        trust_code: Import and run code that the folder names and that is not part of foveate, timm or
            torchvision, such as a model of your own.
        judge: Judge the maps on the same pictures, by deletion and insertion, beside random maps and the
            centre; see `foveate judge --help` for more. The intervals are over pictures.
        json: Print JSON.
    """
    from foveate.infer.look import look as looked

    if not images:
        raise DataError("look: got no image. Write: foveate look MODEL IMAGE...")
    if atlas_size <= 0:
        raise OptionError(f"--atlas-size: got {atlas_size:g}, expected a number of megabytes above 0")
    found = looked(
        model,
        list(images),
        method=method,
        layer=layer,
        head=head,
        query=query,
        target=target,
        size=size,
        weights=weights,
        untrained=untrained,
        trust_code=trust_code,
        judge=judge,
    )
    written = _write(found, out, atlas, int(atlas_size * 1e6))
    _print(found, written, json=json)


def _write(found: Look, out: Path | None, atlas: Path | None, size: int) -> list[Path]:
    """Write what was asked for, the atlas last; return the paths."""
    written = [] if out is None else found.save(out)
    page = atlas or (Path(ATLAS) if out is None else out / ATLAS)
    if found.pictures:
        found.atlas(page, size=size)
        written.append(page)
    elif atlas is not None or out is None:
        kind = "--atlas" if atlas is not None else "look"
        raise OptionError(
            f"{kind}: this model reads sentences, of which there is no atlas. Write --out FOLDER."
        )
    return written


def _print(found: Look, written: list[Path], *, json: bool) -> None:
    from foveate.cli import output
    from foveate.cli.judge import print_judgement
    from foveate.explain.drawing.mass import map_in_words

    if json:
        output.machine({**found.as_plain(), "files": [str(path) for path in written]})
        return
    for seen in found.pictures:
        output.say(seen.name)
        output.shares(seen.prediction)
        for name, values in seen.maps.items():
            output.say(f"  {name}: {map_in_words(values)}")
    for reading in found.readings:
        output.say(f"{reading.name}\n  {' '.join(reading.words)}")
    if found.judgement is not None:
        print_judgement(found.judgement)
    for note in found.notes:
        output.say(note)
    drawn = [path for path in written if path.suffix in (".png", ".svg")]
    named = [f"{path} (open it in a browser)" if path.suffix == ".html" else str(path) for path in written]
    others = [name for name, path in zip(named, written, strict=True) if path not in drawn]
    output.say(", ".join(others) + (f" and {len(drawn)} pictures in {drawn[0].parent}" if drawn else ""))
