"""One finished picture: a figure that a notebook shows, that is saved as PNG and SVG, and its words."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from foveate.errors import OptionError
from foveate.files import write_bytes

P = ParamSpec("P")
KINDS = ("png", "svg")
DOTS = 144  # an inch, of a PNG
_FONTS = ("Helvetica Neue", "Arial", "DejaVu Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei")


@dataclass(frozen=True)
class Drawing:
    """A picture of attention.

    Args:
        name: What it is called in file names.
        figure: The picture.
        text: What it shows, in words.
    """

    name: str
    figure: Figure
    text: str

    def file(self, kind: str = "png", *, dots: int = DOTS) -> bytes:
        """Return the bytes of a file, the same ones for the same figure.

        Args:
            kind: "png" or "svg".
            dots: Per inch, of a PNG and of photos inside an SVG.

        Raises:
            OptionError: There is no such kind.
        """
        if kind not in KINDS:
            raise OptionError(f"kind: got {kind!r}, expected {' or '.join(KINDS)}")
        return saved(self.figure, kind, dots=dots)

    def save(self, folder: Path | str, kinds: tuple[str, ...] = KINDS) -> list[Path]:
        """Write the files of these kinds into a folder, which is made if it is missing; return their paths.

        Raises:
            OptionError: There is no such kind.
            OSError: A file cannot be written.
        """
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        found = [(home / f"{self.name}.{kind}", self.file(kind)) for kind in kinds]
        for path, data in found:
            write_bytes(path, data)
        return [path for path, _ in found]

    @cached_property
    def _png(self) -> bytes:
        return self.file("png")

    def _repr_png_(self) -> bytes:
        return self._png


def style() -> Any:
    """Return matplotlib settings that depend on the machine only through its fonts."""
    have = set(font_manager.get_font_names())
    fonts = [font for font in _FONTS if font in have] or ["sans-serif"]
    return {"font.family": fonts, "font.size": 8, "axes.linewidth": 0.6, "svg.hashsalt": "foveate"}


def styled(draw: Callable[P, Drawing]) -> Callable[P, Drawing]:
    """Let a function draw in the style of the house."""

    @wraps(draw)
    def in_style(*args: P.args, **options: P.kwargs) -> Drawing:
        with mpl.rc_context(style()), _boxes_for_missing_letters():
            drawing = draw(*args, **options)
            FigureCanvasAgg(drawing.figure)
            drawing.figure.draw_without_rendering()
            drawing.figure.set_layout_engine("none")  # a layout that is computed again moves a little
            return drawing

    return in_style


def saved(figure: Figure, kind: str, *, dots: int = DOTS) -> bytes:
    """Return a figure as a file of this kind, the same bytes for the same figure."""
    data = io.BytesIO()
    FigureCanvasAgg(figure)
    with mpl.rc_context(style()), _boxes_for_missing_letters():
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(data, format=kind, dpi=dots, metadata=metadata)
    return data.getvalue()


@contextmanager
def _boxes_for_missing_letters() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn in its place
        yield


def one_line(text: str, most: int = 42) -> str:
    """Return a text that fits a figure: one line, not too long, without characters that XML forbids."""
    clean = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= most else f"{clean[: most - 1]}…"


def plain_text(axes: Axes) -> None:
    """Show titles and labels as they are: a name with $ in it is a name, not a formula."""
    for label in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()):
        label.set_parse_math(False)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


def bare(axes: Axes) -> None:
    """Remove ticks and frame, as around a photo."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
