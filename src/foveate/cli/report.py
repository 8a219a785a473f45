"""``foveate report``: a study's report, written again from what its folder holds."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = """
    $ foveate report runs/study
    runs/study/report.html
"""


def report(folder: Path, /, *, json: bool = False) -> None:
    """Write a study's report again: report.html, runs.csv, study.json and the main figure.

    Args:
        folder: The folder that `foveate compare` wrote.
        json: Print study.json instead of the report's path.
    """
    from foveate.cli import output
    from foveate.compare.report import read_result, write_report

    result = read_result(folder)
    written = write_report(result, folder, only_known=False)
    if json:
        output.machine(result)
    else:
        output.say(str(written))
