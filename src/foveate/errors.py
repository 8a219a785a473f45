"""Every error that a user can cause.

FoveateError
├── UnknownNameError (KeyError)      a name that no registry holds; lists the nearest names
├── OptionError (TypeError)          an option that does not exist or has an impossible value
├── ShapeError (ValueError)          a tensor of the wrong shape, type or size
├── SpecError (ValueError)           a spec string that cannot be read
├── SiteError (ValueError)           a site that matches nothing, or where the mechanism cannot sit
├── DataError (ValueError)           images, labels or manifests that cannot be used
├── CheckpointError (ValueError)     a file of weights that does not fit
├── TrainingError (RuntimeError)     a run that cannot go on, such as a loss that is not a number
├── RecordingError (RuntimeError)    attention that cannot be recorded as asked
├── StudyError (ValueError)          a study that cannot be planned, continued or reported
├── TrustError (ValueError)          code that a file names and that the caller does not trust
└── MissingExtraError (ImportError)  an optional dependency; says what to install

Every text says what came, what was expected and what to do. Control characters in text from names and files
are escaped, so that no file can send control sequences to a terminal. ``SiteWarning`` (UserWarning) warns
that a change of a model has removed attention.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Control characters except tab and line feed, marks that change the direction of text, and lone surrogates.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COMPARED = 200  # letters of a name that are compared with others, in quadratic time


def shown(text: str, *, json: bool = False) -> str:
    r"""Return a text that is safe to print: characters that control a terminal or reorder a line are escaped.

    Args:
        text: Any text.
        json: Whether it is JSON, which has only one form of escapes.

    Example:
        >>> print(shown("evil\x1b[2Jname"))
        evil\x1b[2Jname
    """
    return _STEERING.sub(lambda found: _escape(ord(found[0]), json), text)


def _escape(number: int, json: bool) -> str:
    return f"\\x{number:02x}" if number < 256 and not json else f"\\u{number:04x}"


class FoveateError(Exception):
    """The root of all errors that a user can cause."""

    def __str__(self) -> str:
        """Return the text alone, safe to print: ``KeyError`` would show it in quotes."""
        return shown(" ".join(str(part) for part in self.args))


class UnknownNameError(FoveateError, KeyError):
    """A name that is not registered.

    Args:
        kind: What was looked for, in the singular, such as ``"mechanism"``.
        name: What the user wrote.
        known: Every name that would have been found.
        see: A command that lists them, if there is one.
        hint: A sentence on how to get more names, if there is a way.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], see: str = "", hint: str = "") -> None:
        self.kind, self.name, self.known, self.see, self.hint = kind, name, sorted(known), see, hint
        parts = [f'no {kind} is called "{name}".', nearest(name, self.known), see and f"See: {see}.", hint]
        super().__init__(" ".join(part for part in parts if part))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Pickle with the arguments that the constructor takes, so that the error crosses processes."""
        return type(self), (self.kind, self.name, self.known, self.see, self.hint)


class OptionError(FoveateError, TypeError):
    """An option that does not exist or has an impossible value."""


class ShapeError(FoveateError, ValueError):
    """A tensor of the wrong shape, type or size."""


class SpecError(FoveateError, ValueError):
    """A spec string that cannot be read."""


class SiteError(FoveateError, ValueError):
    """A site that matches nothing, or where the mechanism cannot sit."""


class SiteWarning(UserWarning):
    """Attention that a later change of the model has removed."""


class DataError(FoveateError, ValueError):
    """Images, labels or manifests that cannot be used."""


class CheckpointError(FoveateError, ValueError):
    """A file of weights that does not fit."""


class TrainingError(FoveateError, RuntimeError):
    """A run that cannot go on."""


class RecordingError(FoveateError, RuntimeError):
    """Attention that cannot be recorded as asked."""


class StudyError(FoveateError, ValueError):
    """A study that cannot be planned, continued or reported."""


class TrustError(FoveateError, ValueError):
    """Code that a file names and that the caller does not trust."""


class MissingExtraError(FoveateError, ImportError):
    """An optional dependency that is not installed.

    Args:
        package: The package that is missing.
        extra: The extra of foveate that installs it.
        purpose: What needs it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra, self.purpose = package, extra, purpose
        super().__init__(
            f"{purpose} needs {package}, which is not installed. Run: pip install 'foveate[{extra}]'"
        )

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Pickle with the arguments that the constructor takes."""
        return type(self), (self.package, self.extra, self.purpose)


def in_one_line(error: BaseException) -> str:
    r"""Return the type of an error and the first line of its message.

    Example:
        >>> in_one_line(ValueError("no such axis\nTraceback ..."))
        'ValueError: no such axis'
    """
    said = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *said[:1]])


def first_few(names: Iterable[object], most: int = 5) -> str:
    """Return names with commas between them; of many the first ones, and how many more there are.

    Example:
        >>> first_few(range(7))
        '0, 1, 2, 3, 4 and 2 more'
    """
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def nearest(name: str, known: Iterable[str], count: int = 4) -> str:
    """Return a sentence with the known names nearest to ``name``, or all of them if they are few."""
    known = list(known)
    close = difflib.get_close_matches(name[:_COMPARED], known, n=count, cutoff=0.4)
    if close:
        return f"Nearest: {', '.join(close)}."
    if len(known) <= 3 * count:
        return f"Known: {', '.join(known) or 'none'}."
    return f"There are {len(known)}, none of them near."
