"""Files that appear whole or not at all, and JSON files that are read with care.

``replacing`` is how the package writes: to a temporary file next to the target, synced to disk, then
renamed atomically. Temporary files of a killed process are removed when another process first writes to the
folder, or by ``sweep``; those of another machine, once they are a day old. ``read_json`` reads only regular
files of bounded size.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foveate.errors import DataError, FoveateError

PART = ".part"
LARGEST_JSON = 2**29  # bytes
_STALE = 86400.0  # seconds after which a temporary file of another machine counts as abandoned
_NAMED = 40  # letters of the final name in the temporary one
_numbers = itertools.count()  # so that threads that write the same file do not share a temporary one


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which is renamed to ``path`` unless the block fails.

    An existing file is replaced; an existing folder must not be there.

    Raises:
        OSError: It cannot be written; ``path`` is then unchanged.
    """
    _swept(path.parent)
    own = f"{_digest(path.name)}.{next(_numbers)}.{_here()}-{os.getpid()}"
    part = path.with_name(f".{path.name[:_NAMED]}.{own}{PART}")
    try:
        yield part
        for file in part.iterdir() if part.is_dir() else ():
            _sync(file)
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        _remove(part)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(data)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all; lone surrogates in names become escapes.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def read_json(path: Path, error: type[FoveateError], advice: str, *, largest: int = LARGEST_JSON) -> Any:
    """Return what a JSON file holds.

    Args:
        path: A regular file.
        error: Raised if it cannot be read.
        advice: What to do then, as a sentence.
        largest: Bytes of the largest file that is read.

    Raises:
        FoveateError: There is no such file, or it is not JSON; as an ``error``.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is not a regular file")
        if found.st_size > largest:
            raise OSError(f"it is larger than {largest >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise error(f"{path}: there is no such file. {advice}") from None
    except (OSError, ValueError, RecursionError) as reason:
        why = "it is nested too deeply" if isinstance(reason, RecursionError) else reason
        raise error(f"{path}: cannot be read as JSON ({why}). {advice}") from None


def read_text(path: Path, advice: str) -> str:
    """Return the content of a text file of the user's, without a byte order mark.

    Args:
        path: A file in UTF-8.
        advice: What to do if it cannot be read, as a sentence.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}). {advice}") from None


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path) -> None:
    """Remove the temporary files of killed processes in a folder, not in its subfolders."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f".*{PART}"):
            with contextlib.suppress(OSError, ValueError):  # another process removed it, or it is not ours
                if _is_abandoned(left):
                    _remove(left)


@functools.lru_cache(maxsize=4096)
def _swept(folder: Path) -> None:
    """Sweep a folder once in this process."""
    sweep(folder)


def _is_abandoned(part: Path) -> bool:
    """Return whether the process that wrote a temporary file is gone."""
    host, _, pid = part.name.removesuffix(PART).rpartition(".")[2].partition("-")
    if host == _here() and pid.isdigit():
        return int(pid) != os.getpid() and not _runs(int(pid))
    return bool(host) and pid.isdigit() and time.time() - part.stat().st_mtime > _STALE


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True


@functools.cache
def _here() -> str:
    """Return eight letters that identify this machine."""
    return _digest(socket.gethostname())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogateescape")).hexdigest()[:8]


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
