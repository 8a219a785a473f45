"""Progress of one run or of many: bars on a terminal, plain lines elsewhere.

One object serves several runs one after the other: ``compare`` hands the same one to every call of ``fit``.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from foveate.errors import shown


class Progress(Protocol):
    """What ``fit`` reports to while it runs."""

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        """Begin a run of ``steps`` steps, of which ``done`` were taken before an interruption."""
        ...

    def advance(self, done: int) -> None:
        """Report how many steps are done; called after every step."""
        ...

    def note(self, text: str) -> None:
        """Report something worth a line: the figures of an epoch, or between runs the state of a study."""
        ...

    def end(self) -> None:
        """End the run, done or not."""
        ...


class Silent:
    """Says nothing."""

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        """Begin a run."""

    def advance(self, done: int) -> None:
        """Count a step."""

    def note(self, text: str) -> None:
        """Drop the line."""

    def end(self) -> None:
        """End the run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Lines:
    """Plain lines for files and pipes: one per note, and one now and then in between.

    Args:
        stream: Where they go.
        runs: How many runs will come, 1 for a lone one.
        every: Seconds between two lines about steps.
    """

    def __init__(self, stream: TextIO, runs: int = 1, every: float = 30.0) -> None:
        self.stream, self.runs, self.every = stream, runs, every
        self._run, self._name, self._steps = 0, "", 0
        self._last = 0.0

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        """Begin a run."""
        self._run, self._name, self._steps = self._run + 1, name, steps
        self._last = time.monotonic()
        count = f"run {self._run}/{self.runs} " if self.runs > 1 else ""
        self._write(f"{count}{name}: {steps} steps" + (f", resuming after {done}" if done else ""))

    def advance(self, done: int) -> None:
        """Write a line if the last one is long ago."""
        if time.monotonic() - self._last >= self.every:
            self._write(f"{self._name}: step {done}/{self._steps}")

    def note(self, text: str) -> None:
        """Write the line."""
        self._write(f"{self._name}: {text}" if self._name else text)

    def end(self) -> None:
        """End the run."""
        self._name = ""

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        print(shown(text), file=self.stream, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Bars:
    """A bar for the run, and one above it for all of them if there are several; no line is wider than 80.

    Args:
        console: The terminal; it decides about colour, and honours NO_COLOR.
        runs: How many runs will come.
    """

    def __init__(self, console: Console, runs: int = 1) -> None:
        columns = (
            TextColumn("{task.description:<24.24}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:>6.0f}/{task.total:<6.0f}"),
            TimeRemainingColumn(),
        )
        self._bars = RichProgress(*columns, console=console, refresh_per_second=4, transient=True)
        self._all: TaskID | None = self._bars.add_task("runs", total=runs) if runs > 1 else None
        self._one: TaskID | None = None
        self._name = ""

    def begin(self, name: str, steps: int, done: int = 0) -> None:
        """Show a bar for the run."""
        self._name = name
        self._one = self._bars.add_task(shown(name), total=steps, completed=done)

    def advance(self, done: int) -> None:
        """Move the bar; it is drawn four times a second by a thread of its own."""
        if self._one is not None:
            self._bars.update(self._one, completed=done)

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        line = f"{self._name}: {text}" if self._name else text
        self._bars.console.print(shown(line), markup=False, highlight=False)

    def end(self) -> None:
        """Remove the run's bar."""
        self._name = ""
        if self._one is not None:
            self._bars.remove_task(self._one)
            self._one = None
        if self._all is not None:
            self._bars.advance(self._all)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def progress_for(stream: TextIO | None = None, runs: int = 1) -> Lines | Bars:
    """Return bars if ``stream`` (standard error if None) is a terminal, else plain lines; use it in ``with``.

    Example:
        >>> import sys
        >>> with progress_for(sys.stdout) as progress:
        ...     progress.begin("baseline", steps=10)
        baseline: 10 steps
    """
    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Bars(Console(file=stream), runs)
    return Lines(stream, runs)
