"""A question as a file states it, before its picture is looked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class AskedOf:
    """A question about a picture.

    Args:
        picture: Its name, as the file writes it; of VQA's files, the names it may have, best first.
        question: As the file has it.
        answers: Of one or several annotators; some may be empty.
        split: train, val or test; None if the file does not say.
        family: What kind of question it is; empty if the file does not say.
        path: The picture's file, once it is found.
    """

    picture: tuple[str, ...]
    question: str
    answers: list[str] = field(default_factory=list)
    split: str | None = None
    family: str = ""
    path: Path | None = None

    @property
    def name(self) -> str:
        """The name that the file most likely means."""
        return self.picture[0]
