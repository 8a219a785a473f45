"""What ``fv.compare`` returns: the answer, the table, the report, and the best model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from foveate.compare.report.notebook import repr_html
from foveate.compare.table import Table, table
from foveate.infer.load import load_trusting


@dataclass(frozen=True)
class Study:
    """A finished study.

    Args:
        folder: Where its files are; ``report.html`` is the one to open.
        result: Everything as plain data, as in ``study.json``.
        typed: Model and specs as the user wrote them on the call that made the study; ``best`` runs their
            code.
    """

    folder: Path
    result: Mapping[str, Any]
    typed: frozenset[str | None] = frozenset()

    @property
    def table(self) -> Table:
        """One row per variant: score, difference with interval, cost, verdict."""
        return table(self.result)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each variant and control, by name."""
        return {v["name"]: v["verdict"] for v in self.result["variants"] if v["role"] != "baseline"}

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        return str(self.result["sentence"])

    def best(self) -> nn.Module:
        """Return the model that the study recommends, trained; see ``load``."""
        return load_trusting(self.folder, lambda saved: {saved.model, saved.spec} <= self.typed)

    def __str__(self) -> str:
        """Return the answer, the table and where the report is."""
        return f"{self.sentence}\n\n{self.table}\n\n{self.folder / 'report.html'}"

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r}: {self.sentence})"

    def _repr_html_(self) -> str:
        return repr_html(self.result)
