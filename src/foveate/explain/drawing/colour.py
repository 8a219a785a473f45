"""Colours for the values of a map: the one place where foveate decides how a map is coloured.

Shapes  values float (H, W) or any other shape; colours float (..., 3), red, green and blue in [0, 1].

Both palettes are even to the eye. The one for weights rises in lightness from end to end, so that it can be
read without seeing any colour; the one for signed maps is light in the middle, which is always zero, and its
ends, blue and red, stay distinct to colour-blind people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from foveate.errors import OptionError

WEIGHTS, SIGNED = "inferno", "RdBu_r"
STEPS = 256


@dataclass(frozen=True)
class Scale:
    """Which value gets which colour.

    Args:
        low: The value of the first colour.
        high: The value of the last one.
        signed: Whether the values are signed; zero then is in the middle, so ``low`` is ``-high``.
        clipped: Share of the values that lie outside, in [0, 1].
    """

    low: float
    high: float
    signed: bool = False
    clipped: float = 0.0

    def levels(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return where values lie between ``low`` and ``high``, in [0, 1]; NaN stays NaN.

        A scale without extent has every value at its start, or in its middle if it is signed.
        """
        spread = self.high - self.low
        if spread <= 1e-6 * max(abs(self.low), abs(self.high)):
            return np.where(np.isnan(values), np.nan, 0.5 if self.signed else 0.0)
        return np.clip((np.asarray(values, np.float64) - self.low) / spread, 0.0, 1.0)

    def colours(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
        """Return the colour of each value; NaN is grey."""
        return self.of_levels(self.levels(values))

    def of_levels(self, levels: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 3"]:
        """Return the colour of each level, which ``levels`` returned; NaN is grey."""
        unknown = np.isnan(levels)
        number = np.where(unknown, 0, np.nan_to_num(levels) * (STEPS - 1)).round().astype(np.int64)
        found = palette(SIGNED if self.signed else WEIGHTS)[number]
        return np.where(unknown[..., None], 0.5, found)

    @property
    def in_words(self) -> str:
        """Say what the ends of the palette stand for."""
        clipped = f"; {100 * self.clipped:.2g} % of the values lie outside" if self.clipped else ""
        return f"{self.low:.3g} to {self.high:.3g}{clipped}"


def scale_of(
    values: Float[np.ndarray, "*shape"], *, signed: bool | None = None, share: float = 1.0, zero: bool = False
) -> Scale:
    """Return the scale that shows all values, or all but the most extreme ones.

    Args:
        values: Of one map, or of all maps that are to be compared. NaN is left out.
        signed: Whether zero is the middle; by default if there are values on both sides of it.
        share: Share of the values that lie inside, in (0, 1]. Below 1, single extreme values, such as those
            of a few background patches of a ViT, do not darken the rest; ``Scale.clipped`` says how many.
        zero: Whether a scale that is not signed starts at zero and not at the least value.

    Raises:
        OptionError: ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise OptionError(f"share: got {share}, expected a share of the values in (0, 1], such as 0.99")
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return Scale(0.0, 0.0, bool(signed))
    signed = bool(known.min() < 0 < known.max()) if signed is None else signed
    if signed:
        high = float(np.quantile(np.abs(known), share))
        low = -high
    else:
        high = float(np.quantile(known, share))
        low = min(0.0, float(known.min())) if zero else float(known.min())
    return Scale(low, high, signed, float(np.mean((known < low) | (known > high))))


@cache
def palette(name: str) -> Float[np.ndarray, "256 3"]:
    """Return a palette by the name that matplotlib gives it."""
    from matplotlib import colormaps

    colours: np.ndarray = colormaps[name](np.linspace(0, 1, STEPS))[:, :3]
    return colours
