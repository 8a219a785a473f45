"""Whether a model is better than one that does not look at its input."""

from __future__ import annotations

import math
from collections.abc import Mapping

from foveate.compare.statistics.verdict import Terms


def chance_sentence(scores: Mapping[str, Mapping[str, float | None]], chance: float, terms: Terms) -> str:
    """Return a warning if no variant is shown to beat chance; else an empty text.

    Args:
        scores: Of each variant ``mean`` and, if there is an interval, ``low`` and ``high``, in the unit.
        chance: What a model scores that does not look, in the unit.
        terms: The unit, and whether more is better.
    """
    sure = "low" if terms.higher_is_better else "high"
    worst = [entry["mean"] if entry[sure] is None else entry[sure] for entry in scores.values()]
    sign = 1 if terms.higher_is_better else -1
    if not math.isfinite(chance) or any(
        value is not None and sign * value > sign * chance for value in worst
    ):
        return ""
    return (
        "Nothing here is shown to be better than chance: always predicting the class frequencies "
        f"scores {terms.amount(chance)}. Before reading differences, train for longer, or check labels and "
        "learning rate."
    )
