"""Fixtures beside the tests, computed with the originals' code; and data sets where FOVEATE_DATA says."""

from __future__ import annotations

import functools
import gzip
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

PLACE = Path(os.environ.get("FOVEATE_DATA", Path(__file__).parents[5] / "shared" / "data"))


@functools.cache
def fixture(name: str) -> Any:
    return json.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


@functools.cache
def archived(name: str, member: str) -> bytes:
    """Return a file of a data set, unpacked; skip the test without it."""
    found = sorted(PLACE.glob(f"{name}.tar*"))
    if not found:
        pytest.skip(f"no {name} in {PLACE}; set FOVEATE_DATA to the folder that has it")
    with tarfile.open(found[0]) as archive:
        file = archive.extractfile(f"{name}/{member}")
        assert file is not None
        content = file.read()
    return gzip.decompress(content) if member.endswith(".gz") else content


def flickr_captions(split: str) -> list[list[str]]:
    """Return the five captions of each photo."""
    photos = json.loads(archived("flickr8k_1k", "captions.json"))
    return [photo["captions"] for photo in photos if photo["split"] == split]


def sentences(language: str) -> list[str]:
    """Return the lines of Multi30k's validation part."""
    return archived("multi30k", f"val.{language}.gz").decode("utf-8").splitlines()
