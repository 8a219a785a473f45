"""The tap that the weights of a mechanism flow through, so that they can be seen."""

from __future__ import annotations

from typing import Any

from torch import nn

from foveate.mechanisms.switch import Switch

RECORD = Switch("record")  # on for the taps that somebody records in this context


class MapTap(nn.Identity):
    """An identity that the weights of a mechanism flow through, so that a forward hook can read them.

    Args:
        axes: The axes of the weights, by einops' habit: ``b`` batch, ``c`` channels, ``h`` ``w`` rows and
            columns, ``d`` slices of a volume, ``n`` positions (h*w), ``m`` the positions, channels or slots
            looked at, ``k`` heads or groups, ``s`` scales, branches or layers, ``t`` queries (steps) or
            selected patches, ``q`` classes, ``p`` places in a kernel, ``x`` the coordinates of a place, ``1``
            for one.
        sums: Axes over which the weights sum to one, such as ``"m"`` or ``"h w"``; empty for gates.
        low: The least value that a weight can take.
        high: The greatest value that a weight can take. Gates and softmaxes stay in [0, 1]; weights that
            nothing normalises, as in involution, go from ``-inf`` to ``inf``.

    Attributes:
        recording: True only where ``fv.record`` listens, which is in the block's own thread. A mechanism
            whose fast path never forms its weights forms them when this is True. Setting it is for code that
            hooks the tap itself; it holds in all threads.
    """

    _always = False

    def __init__(self, axes: str, *, sums: str = "", low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.axes, self.sums, self.low, self.high = axes, sums, low, high

    @property
    def recording(self) -> bool:
        """Whether the weights are to be formed and sent through this tap."""
        return self._always or bool(RECORD.blocks(self))

    @recording.setter
    def recording(self, value: bool) -> None:
        self._always = value

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        RECORD.carry(self, replica)
        return replica

    def extra_repr(self) -> str:
        """Return the axes for ``print(model)``."""
        return f'"{self.axes}"' + (f', sums to 1 over "{self.sums}"' if self.sums else "")
