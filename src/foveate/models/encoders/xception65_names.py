"""Names of published weights of the modified Xception, translated to those of ``Xception65``."""

from __future__ import annotations

import re

MIDDLE = 16  # blocks of the middle flow
_LAYERS = ("finer.1", "finer.3", "coarser.1")  # a block's three separable convolutions
_JFZHANG = {"conv1": "0", "bn": "1", "pointwise": "3"}
_TIMM = {"conv_dw": "0", "bn_dw": "1", "conv_pw": "3", "bn_pw": "4"}
_STEM = {"conv1": "stem.0.conv", "bn1": "stem.0.bn", "conv2": "stem.1.conv", "bn2": "stem.1.bn"}


def ours(name: str) -> str:
    """Return our name for a weight in the names of timm or of jfzhang95; the name itself if it is neither's.

    Example:
        >>> ours("blocks.3.stack.conv2.bn_pw.weight"), ours("block4.rep.5.weight")
        ('middle.0.finer.3.4.weight', 'middle.0.finer.3.4.weight')
    """
    if name.startswith("blocks."):
        return _from_timm(name)
    layer, _, rest = name.partition(".")
    if layer in _STEM:
        return f"{_STEM[layer]}.{rest}"
    if match := re.fullmatch(r"(conv|bn)([345])", layer):  # the three after the exit flow
        at = f"last.{int(match[2]) - 3}"
        inner, _, part = rest.partition(".")
        return f"{at}.4.{rest}" if match[1] == "bn" else f"{at}.{_JFZHANG[inner]}.{part}"
    match = re.fullmatch(r"block(\d+)", layer)
    if match is None or not rest.startswith(("rep.", "skip.", "skipbn.")):
        return name
    return f"{_block(int(match[1]))}.{_in_block(rest, first=int(match[1]) > 2)}"


def _from_timm(name: str) -> str:
    _, number, kind, rest = name.split(".", 3)
    if kind == "shortcut":
        return f"{_block(int(number) + 1)}.skip.{rest}"
    layer, inner, part = rest.split(".")
    index = int(layer.removeprefix("conv")) - 1
    if int(number) == MIDDLE + 4:
        return f"last.{index}.{_TIMM[inner]}.{part}"
    return f"{_block(int(number) + 1)}.{_LAYERS[index]}.{_TIMM[inner]}.{part}"


def _block(number: int) -> str:
    """Return what we call a block, counted from 1."""
    if number <= 3:
        return f"block{number}"
    return "exit" if number == MIDDLE + 4 else f"middle.{number - 4}"


def _in_block(rest: str, first: bool) -> str:
    """Return our name inside a block of jfzhang95's, whose branch begins with a ReLU or does not."""
    if rest.startswith("skip"):
        return rest.replace("skipbn.", "skip.bn.") if rest.startswith("skipbn.") else f"skip.conv.{rest[5:]}"
    _, number, inner = rest.split(".", 2)
    index, place = divmod(int(number) - first, 3)
    if place == 1:
        return f"{_LAYERS[index]}.4.{inner}"
    layer, _, part = inner.partition(".")
    return f"{_LAYERS[index]}.{_JFZHANG[layer]}.{part}"
