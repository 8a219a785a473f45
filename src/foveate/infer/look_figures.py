"""What ``fv.look`` found: figures, a notebook's display, files, and the atlas."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from foveate.errors import OptionError
from foveate.explain.atlas.atlas_content import Atlas, AtlasPicture, Table
from foveate.explain.atlas.atlas_page import USUAL_SIZE, write_atlas
from foveate.explain.atlas.from_record import layers_of
from foveate.explain.drawing.branch_bars import branch_bars
from foveate.explain.drawing.drawing import KINDS, Drawing
from foveate.explain.drawing.gate_bars import gate_bars
from foveate.explain.drawing.glimpse_path import glimpse_path
from foveate.explain.drawing.head_grid import head_grid
from foveate.explain.drawing.map_sheet import map_sheet
from foveate.explain.drawing.mass import map_in_words
from foveate.explain.drawing.overlay import overlay
from foveate.files import write_bytes
from foveate.infer.seen import Seen, branch_weights, channel_gates
from foveate.tasks.drawn_reading import drawn_reading
from foveate.tasks.judged import WordReading

SPREAD = 3  # layers whose gates are drawn unless some are named: the first, the middle one, the last
MOST_BARS = 12  # pictures with a bar of their own; of more, each predicted class has one


@dataclass(eq=False)
class Look:
    """Where a model looks.

    A notebook shows the figures. ``drawings`` has them as objects with ``figure``, ``text`` and ``save``.

    Args:
        title: Name of the model.
        pictures: What was looked at.
        readings: What each word of an answer was read from, of models that answer in words.
        notes: Sentences on how the maps came about, and on what is missing.
        judgement: What ``fv.judge`` says about the maps, shown beside them and in the atlas if it is set.
        every_gate: Whether the gates of all layers are drawn, and not of three.
        query: The pixel, or the object query, that looks, in the grids of heads; None for the class token, or
            the mean.
        layers: Of each reading, the heads (heads, words, words) of each layer by its path.
    """

    title: str
    pictures: Sequence[Seen] = ()
    readings: Sequence[WordReading] = ()
    notes: Sequence[str] = ()
    judgement: Any = None
    every_gate: bool = False
    query: tuple[int, int] | int | None = None
    tables: Sequence[Table] = field(default_factory=tuple)
    layers: Sequence[Mapping[str, np.ndarray]] = ()

    @cached_property
    def drawings(self) -> Mapping[str, Drawing]:
        """The pictures, by name."""
        found = [
            *self._sheet(), *self._overlays(), *self._walks(), *self._objects(), *self._heads(),
            *self._gates(), *self._words(), *self._words_heads(),
        ]  # fmt: skip
        return {drawing.name: drawing for drawing in found}

    @property
    def figures(self) -> dict[str, Any]:
        """The matplotlib figures, by name."""
        return {name: drawing.figure for name, drawing in self.drawings.items()}

    def save(self, folder: Path | str, kinds: tuple[str, ...] = KINDS) -> list[Path]:
        """Write every picture into a folder, and ``look.json`` with what they show; return the paths.

        Args:
            folder: Made if it is missing.
            kinds: "png", "svg" or both.

        Raises:
            OptionError: There is no such kind.
            OSError: A file cannot be written.
        """
        home = Path(folder)
        paths = [path for drawing in self.drawings.values() for path in drawing.save(home, kinds)]
        home.mkdir(parents=True, exist_ok=True)
        numbers = home / "look.json"
        write_bytes(numbers, (json.dumps(self.as_plain(), ensure_ascii=False, indent=1) + "\n").encode())
        return [*paths, numbers]

    def atlas(self, path: Path | str, *, size: int = USUAL_SIZE) -> int:
        """Write the atlas: one page on which a click shows where the model looks from there.

        Args:
            path: The HTML file.
            size: Bytes that it should not exceed; beyond it fewer queries are kept.

        Returns:
            Its size in bytes.

        Raises:
            OptionError: There are no pictures; a model that translates has alignments only.
            OSError: The file cannot be written.
        """
        if not self.pictures:
            raise OptionError(
                "atlas: this model does not look at pictures. Its alignments are among .drawings."
            )
        pictures = [
            AtlasPicture(
                s.name, s.image, layers_of(s.calls), dict(s.maps), s.prediction, None, self._own(number)
            )
            for number, s in enumerate(self.pictures)
        ]
        return write_atlas(Atlas(self.title, pictures, self._judged(), self.notes), path, size=size)

    def as_plain(self) -> dict[str, Any]:
        """Return what was found as plain data, for JSON."""
        return {
            "model": self.title,
            "pictures": [
                {
                    "name": seen.name,
                    "prediction": dict(seen.prediction),
                    "maps": {name: map_in_words(values) for name, values in seen.maps.items()},
                    "layers": [repr(call) for call in seen.calls],
                    "walks": [
                        {"name": walk.name, "centres": walk.centres.tolist(), "sides": list(walk.sides)}
                        for walk in seen.walks
                    ],
                    "objects": [
                        {"query": o.query, "class": o.label, "share": o.share, "box": list(o.box)}
                        for o in seen.objects
                    ],
                }
                for seen in self.pictures
            ],
            "answers": [{"name": r.name, "words": list(r.words)} for r in self.readings],
            "drawings": {name: drawing.text for name, drawing in self.drawings.items()},
            "judgement": self.judgement.as_plain() if self.judgement is not None else None,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"Look({self.title}: {', '.join(self.drawings) or 'nothing to draw'})"

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(note)}</p>" for note in self.notes]
        for drawing in self.drawings.values():
            data = b64encode(drawing._repr_png_()).decode()
            text = html.escape(drawing.text, quote=True)
            parts.append(f'<img style="max-width:100%" alt="{text}" src="data:image/png;base64,{data}">')
        if self.judgement is not None:
            parts.append(f"<pre>{html.escape(str(self.judgement))}</pre>")
        return f'<div class="foveate-look">{"".join(parts)}</div>'

    def _repr_png_(self) -> bytes | None:
        first = next(iter(self.drawings.values()), None)
        return None if first is None else first._repr_png_()

    def _methods(self) -> list[str]:
        return list(dict.fromkeys(name for seen in self.pictures for name in seen.maps))

    def _sheet(self) -> list[Drawing]:
        methods = [name for name in self._methods() if all(name in seen.maps for seen in self.pictures)]
        if not methods:
            return []
        columns = {name: [seen.maps[name] for seen in self.pictures] for name in methods}
        below = [f"{seen.answer}  {seen.name}".strip() for seen in self.pictures]
        images = [seen.image for seen in self.pictures]
        return [map_sheet(images, columns, captions=below, name="maps", title=self.title)]

    def _overlays(self) -> list[Drawing]:
        return [
            overlay(
                seen.image,
                values,
                name=f"picture{number}_{_file_name(method)}",
                title=f"{method}, {seen.name}",
            )
            for number, seen in enumerate(self.pictures, start=1)
            for method, values in seen.maps.items()
        ]

    def _walks(self) -> list[Drawing]:
        return [
            glimpse_path(
                seen.image,
                walk.centres,
                walk.sides,
                name=f"picture{number}_{_file_name(walk.name)}",
                title=f"{walk.name}, {seen.name}",
            )
            for number, seen in enumerate(self.pictures, start=1)
            for walk in seen.walks
        ]

    def _objects(self) -> list[Drawing]:
        return [
            overlay(
                seen.image,
                found.values,
                box=found.box,
                name=f"picture{number}_query{found.query}",
                title=f"{found.title}, {seen.name}",
            )
            for number, seen in enumerate(self.pictures, start=1)
            for found in seen.objects
        ]

    def _words_heads(self) -> list[Drawing]:
        return [
            head_grid(layers, name=f"words{number}_heads", title=f"{reading.name}: layers and heads")
            for number, (reading, layers) in enumerate(zip(self.readings, self.layers, strict=False), start=1)
        ]

    def _heads(self) -> list[Drawing]:
        found = []
        where = (
            "from the class token, or the mean of all places"
            if self.query is None
            else f"from {'query' if isinstance(self.query, int) else 'pixel'} {self.query}"
        )
        for number, seen in enumerate(self.pictures, start=1):
            heads = seen.heads(self.query)
            if heads:
                title = f"{seen.name}: layers and heads, {where}"
                found.append(head_grid(heads, image=seen.image, name=f"picture{number}_heads", title=title))
        return found

    def _gates(self) -> list[Drawing]:
        gates, branches = channel_gates(self.pictures), branch_weights(self.pictures)
        drawn = [
            gate_bars(gates[path], name=f"gates_{_file_name(path)}", title=f"{path}: weights of channels")
            for path in self._chosen(list(gates))
        ]
        for path in self._chosen(list(branches)):
            weights, groups = self._by_group(branches[path])
            if (weights >= 0).all():
                title = f"{path}: weights of branches"
                drawn.append(
                    branch_bars(weights, groups=groups, name=f"branches_{_file_name(path)}", title=title)
                )
        return drawn

    def _chosen(self, paths: list[str]) -> list[str]:
        if self.every_gate or len(paths) <= SPREAD:
            return paths
        return [paths[round(step * (len(paths) - 1) / (SPREAD - 1))] for step in range(SPREAD)]

    def _by_group(self, weights: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return one row per picture; of many pictures one per predicted class."""
        names = [seen.name for seen in self.pictures]
        labels = [seen.prediction[0][0] if seen.prediction else "" for seen in self.pictures]
        if len(names) <= MOST_BARS or not all(labels):
            return weights, names
        classes = list(dict.fromkeys(labels))
        rows = [weights[[label == one for label in labels]].mean(axis=0) for one in classes]
        return np.stack(rows), classes

    def _words(self) -> list[Drawing]:
        drawn = (
            drawn_reading(reading, name=f"words{number}", title=f"{self.title}, {reading.name}")
            for number, reading in enumerate(self.readings, start=1)
        )
        return [drawing for drawing in drawn if drawing is not None]

    def _judged(self) -> list[Table]:
        if self.judgement is None:
            return list(self.tables)
        columns = ["map", *self.judgement.scores]
        said = "; ".join(self.judgement.sentences())
        said = f"Mean over {self.judgement.pictures} pictures with 95 % interval. {said}"
        return [*self.tables, Table(said, columns, self.judgement.rows())]

    def _own(self, number: int) -> list[Table]:
        if self.judgement is None:
            return []
        scores = self.judgement.scores
        names = [*self.judgement.maps, *self.judgement.baselines]
        rows = [
            [name, *(_told(found[name].each[number]) if name in found else "" for found in scores.values())]
            for name in names
        ]
        return [Table("This picture", ["map", *scores], rows)]


def _told(value: float) -> str:
    return "—" if np.isnan(value) else f"{value:.3f}"


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in text)[:60].strip("_")
