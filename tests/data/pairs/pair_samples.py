"""Small files of sentences in two languages."""

import gzip
import random

ENGLISH = "the a dog man woman runs sees in of and two young house water red".split()
GERMAN = "der ein Hund Mann Frau läuft sieht in von und zwei junge Haus Wasser rot".split()


def pairs(count, seed=0, longest=12):
    """Return sentences and their translations, word for word."""
    draw = random.Random(seed)
    chosen = [[draw.randrange(len(ENGLISH)) for _ in range(draw.randint(3, longest))] for _ in range(count)]
    return [(" ".join(ENGLISH[w] for w in s), " ".join(GERMAN[w] for w in s)) for s in chosen]


def write(path, lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(line + end for line in lines).encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def write_parts(folder, ending="", seed=0, names=("train", "val", "test_2016_flickr"), counts=(60, 12, 10)):
    """Write a folder as Multi30k has it, and return its pairs by part."""
    found = {}
    for number, (name, count) in enumerate(zip(names, counts, strict=True)):
        found[name] = pairs(count, seed + number)
        for place, language in enumerate(("en", "de")):
            write(folder / f"{name}.{language}{ending}", [pair[place] for pair in found[name]])
    return found


def listed(split):
    """Return the pairs of a split."""
    return list(zip(split.source, split.target, strict=True))
