"""How a task's sentences are searched: the options that it keeps, and those that a user asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foveate.data.words.special import UNKNOWN
from foveate.decoding.search_options import SearchOptions
from foveate.errors import OptionError
from foveate.options import checked, whole
from foveate.running import device_of


def search_inputs(options: Mapping[str, Any], usual: SearchOptions, *, unknown: bool) -> dict[str, Any]:
    """Return the options of a task's search as plain data.

    Args:
        options: Those that were given, by name; None for the usual.
        usual: The task's.
        unknown: Whether the word for unknown words may be answered.
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = {field.name for field in fields(SearchOptions)}
    whole = {
        **asdict(usual),
        **checked("search", SearchOptions, {k: v for k, v in given.items() if k in known}),
    }
    whole["forbidden"] = () if unknown else (UNKNOWN,)
    return asdict(SearchOptions(**whole)) | {"forbidden": list(whole["forbidden"])}


def search_options(plain: Mapping[str, Any]) -> SearchOptions:
    """Return the options that a task keeps.

    Raises:
        OptionError: There is no such option, or it is out of range.
    """
    return SearchOptions(**checked("search", SearchOptions, dict(plain)))


def drawing(model: nn.Module, options: dict[str, Any], usual: int | None = None) -> torch.Generator | None:
    """Return what words are drawn from, and take ``seed`` out of the options; None for PyTorch's own.

    Args:
        model: Which is asked.
        options: Of a search.
        usual: The seed where none is given.

    Raises:
        OptionError: There is a seed, but nothing is drawn.
    """
    seed = options.pop("seed", None)
    if seed is not None and not options.get("sample"):
        raise OptionError(
            "seed: it says which words are drawn, but none are. Write sample=True (--sample) with it."
        )
    seed = usual if seed is None else whole("seed", seed, 0)
    if seed is None or not options.get("sample"):
        return None
    return torch.Generator(device_of(model)).manual_seed(seed)


def telling(model: nn.Module, options: Mapping[str, Any], out: Path | None) -> dict[str, Any]:
    """Return the options of a search for a command, which draws from seed 0 and may write what was read.

    Raises:
        OptionError: Words are drawn, of which nobody knows what they read, and ``out`` is given.
    """
    asked = dict(options)
    if out is not None and asked.get("sample"):
        raise OptionError("--out: what drawn words were read from is not kept. Leave --sample out, or --out.")
    generator = drawing(model, asked, 0)
    return {**asked, "generator": generator, "keep_weights": out is not None}
