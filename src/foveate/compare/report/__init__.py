"""The report of a study: one page that opens offline, the numbers beside it, a figure for a paper.

``render`` makes the page from the plain data of ``study.json``, ``write_report`` writes everything to a
folder, ``read_result`` reads it again, and ``repr_html`` is what a notebook shows. docs/study-json.md
describes the data; ``schema`` and ``cards`` define it.
"""

from foveate.compare.report.notebook import repr_html as repr_html
from foveate.compare.report.page import render as render
from foveate.compare.report.result import Result as Result
from foveate.compare.report.result import read_result as read_result
from foveate.compare.report.write import is_written as is_written
from foveate.compare.report.write import write_report as write_report

__all__ = ["Result", "is_written", "read_result", "render", "repr_html", "write_report"]
