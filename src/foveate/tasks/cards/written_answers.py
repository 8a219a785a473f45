"""The same test items under every variant that answers in words, with what each word read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

COUNT = 12


def choose(
    answers: Mapping[str, Sequence[str]], count: int = COUNT
) -> tuple[list[int], Float[np.ndarray, " n"]]:
    """Return which items to show, those that the variants answer most differently first.

    Returns:
        Numbers of items, and for every item the share of pairs of variants that differ; NaN for one variant.
    """
    rows = [list(given) for given in answers.values()]
    pairs = list(combinations(rows, 2))
    items = len(rows[0]) if rows else 0
    if not pairs:
        return list(range(min(count, items))), np.full(items, np.nan)
    differ = np.array([[a != b for a, b in zip(*pair, strict=True)] for pair in pairs]).mean(axis=0)
    return [int(item) for item in np.argsort(-differ, kind="stable")[:count]], differ


def text_card(
    item: int,
    name: str,
    subject: Mapping[str, Any],
    answers: Mapping[str, Sequence[str]],
    scores: Mapping[str, np.ndarray],
    read: Mapping[str, Mapping[str, Any]],
    disagreement: float,
) -> dict[str, Any]:
    """Return one card, as a report holds it: see docs/study-json.md.

    Args:
        item: Its number.
        name: Its name.
        subject: What goes in, what would be right, and what weights are over.
        answers: Of each variant, to every item.
        scores: The metric of each item by itself, for each variant; NaN where undefined.
        read: Of each variant, the words of its answer and what was read for each.
        disagreement: Share of the pairs of variants that differ; NaN for one variant.
    """
    return {
        "kind": "text",
        "item": name,
        **subject,
        "disagreement": _number(disagreement),
        "variants": [
            {
                "name": variant,
                "answer": answers[variant][item],
                "score": _number(scores[variant][item]),
                "maps": [],
                **words,
            }
            for variant, words in read.items()
        ],
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
