"""What commands print: tables that fit 80 columns for people, JSON for machines.

Names of files, classes and models come from other people: what in them would steer a terminal is escaped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from foveate.cli.encoding import takes_all
from foveate.errors import shown

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Return where text for people goes: standard output, coloured on a terminal unless NO_COLOR is set."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, soft_wrap=False)


def say(text: str = "", *, aside: bool = False) -> None:
    """Print lines as they are; a path can then be copied, whatever its length.

    Args:
        text: The lines.
        aside: Print on standard error, because standard output is JSON.
    """
    print(shown(text), file=sys.stderr if aside else sys.stdout)


def paragraph(text: str) -> None:
    """Print a text, broken between words at the width of the terminal."""
    console().print(shown(text), markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print a table.

    Args:
        columns: The headings.
        rows: One cell for each heading, printed as they are.
        right: The headings of the columns whose cells are numbers.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    numbers = set(right)
    for column in columns:
        drawn.add_column(Text(column), justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(shown(str(cell))) for cell in row))
    console().print(drawn)
    say()  # rich ends a table without edges in the middle of the line


def shares(parts: Iterable[tuple[str, float]]) -> None:
    """Print names and their shares, given in [0, 1], in percent."""
    for name, share in parts:
        say(f"  {100 * share:4.1f} %  {name}")


def machine(value: Any) -> None:
    """Print JSON; in escapes where the stream does not have every letter."""
    text = json.dumps(value, indent=2, ensure_ascii=not takes_all(sys.stdout), default=str)
    print(shown(text, json=True))


def bytes_short(number: float) -> str:
    """Return a size in bytes with three figures: ``97.5 MiB``."""
    for power, prefix in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if abs(number) >= 1024**power:
            return f"{number / 1024**power:.3g} {prefix}B"
    return f"{number:.0f} B"
