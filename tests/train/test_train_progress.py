import contextlib
import io
import os
import pty
import re
import threading

import pytest

from foveate.train.progress import Bars, Lines, Progress, Silent, progress_for

LONG = "a variant with a very long name: criss_cross@layer[34].*, seed 1"


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Show two runs on a terminal of 80 columns; return what was written there."""
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **environment}.items():
        monkeypatch.setenv(name, value)
    master, slave = pty.openpty()
    written = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # Linux says so when the other end is closed
            while piece := os.read(master, 65536):
                written.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w") as terminal, progress_for(terminal, runs=2) as progress:
        for run in ("baseline, seed 0", LONG):
            progress.begin(run, steps=50)
            for step in range(50):
                progress.advance(step + 1)
            progress.note("epoch 1/1  loss 0.512  accuracy 87.1  [bold]12.3 s[/bold]")
            progress.end()
    reader.join()
    os.close(master)
    return written.decode()


def without_codes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def test_a_terminal_shows_bars_of_at_most_80_columns(monkeypatch):
    written = on_a_terminal(monkeypatch)
    lines = re.split(r"[\r\n]+", without_codes(written))
    assert any("baseline, seed 0" in line and "/50" in line for line in lines)
    assert any(line.startswith("runs") for line in lines)
    assert max(len(line) for line in lines) <= 80
    assert COLOUR.search(written)
    assert "[bold]12.3 s[/bold]" in written  # names are text, not markup


def test_no_color_is_honoured(monkeypatch):
    written = on_a_terminal(monkeypatch, NO_COLOR="1")
    assert "/50" in written
    assert not COLOUR.search(written)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    written = on_a_terminal(monkeypatch, TERM="dumb")
    assert "\x1b" not in written
    assert "run 1/2 baseline, seed 0: 50 steps" in written


def test_a_pipe_gets_plain_lines():
    stream = io.StringIO()
    with progress_for(stream, runs=3) as progress:
        progress.begin("baseline", steps=10, done=4)
        for step in range(5, 11):
            progress.advance(step)
        progress.note("epoch 1/1")
        progress.end()
        progress.begin("variant", steps=10)
    expected = (
        "run 1/3 baseline: 10 steps, resuming after 4\nbaseline: epoch 1/1\nrun 2/3 variant: 10 steps\n"
    )
    assert stream.getvalue() == expected


def test_long_epochs_get_a_line_now_and_then():
    stream = io.StringIO()
    progress = Lines(stream, every=0.0)
    progress.begin("baseline", steps=2)
    progress.advance(1)
    assert stream.getvalue().splitlines()[-1] == "baseline: step 1/2"


def test_all_of_them_are_a_progress():
    kinds: list[type[Progress]] = [Silent, Lines, Bars]
    for kind in kinds:
        assert all(callable(getattr(kind, name)) for name in ("begin", "advance", "note", "end"))
