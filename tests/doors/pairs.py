"""Sentences to translate: the words in capitals, from back to front."""

import random
from pathlib import Path

WORDS = "one two three four five six seven".split()


def write_pairs(path: Path, count: int = 60) -> Path:
    rng = random.Random(0)
    some = [rng.choices(WORDS, k=rng.randint(1, 5)) for _ in range(count)]
    lines = [f"{' '.join(words)}\t{' '.join(w.upper() for w in reversed(words))}" for words in some]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
