"""Beam search of many sentences at once beside one sentence at a time.

    python -m benchmarks.search [--sentences 128] [--batch 64] [--beam 5] [--rounds 3]

The network is ``translator`` in its usual size with a vocabulary of 8,000 words and drawn weights; sentences
have 5 to 25 words and the search its usual limits. Both ways take turns; printed are medians, sentences a
second, and whether both found the same words. To reach: at least five times as many sentences a second.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn.utils.rnn import pad_sequence

from foveate.decoding.search import search
from foveate.decoding.search_options import SearchOptions
from foveate.models import create_model
from foveate.models.decoders.word_model import WordModel

WORDS, SHORTEST, LONGEST, SPARE = 8000, 5, 25, 10


def found(model: WordModel, sentences: list[torch.Tensor], batch: int, options: SearchOptions) -> list:
    """Return the best words for each sentence, and search ``batch`` of them at a time."""
    answers = []
    for first in range(0, len(sentences), batch):
        some = sentences[first : first + batch]
        memory = model.encode(pad_sequence(some, batch_first=True))
        limits = [2 * len(sentence) + SPARE for sentence in some]
        answers += [best[0] for best in search(model, memory, options, limits=limits)]
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("sentences", 128), ("batch", 64), ("beam", 5), ("rounds", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    model = create_model("translator", classes=WORDS, source_words=WORDS).eval()
    assert isinstance(model, WordModel)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (asked.sentences,)).tolist()
    sentences = [
        torch.cat([torch.randint(4, WORDS, (length,)), torch.tensor([model.end])]) for length in lengths
    ]
    options, seconds = SearchOptions(beam=asked.beam), {1: [], asked.batch: []}
    answers = {}
    with torch.no_grad():
        for _ in range(asked.rounds):
            for batch, times in seconds.items():
                began = time.perf_counter()
                answers[batch] = found(model, sentences, batch, options)
                times.append(time.perf_counter() - began)
    alone, together = (statistics.median(times) for times in seconds.values())
    same = sum(a.words == b.words for a, b in zip(*answers.values(), strict=True))
    apart = max(abs(a.score - b.score) for a, b in zip(*answers.values(), strict=True))
    ways = (("one at a time", alone), (f"{asked.batch} at a time", together))
    for name, each in ways:
        print(f"{name:13}  {asked.sentences / each:6.1f} sentences/s, {alone / each:.1f} times")
    print(f"equal words: {same} of {asked.sentences}; scores differ by at most {apart:.1e}")


if __name__ == "__main__":
    main()
