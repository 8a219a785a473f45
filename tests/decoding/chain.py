"""A model whose next word depends on the last one and the input alone, so that search can be done by hand."""

import itertools

import torch

from foveate.models.decoders.word_model import Decoded, Memory, Step, WordModel

START, END = 0, 1


class Chain(WordModel):
    """Logits of the next word: a table (inputs, words, words), by input and last word."""

    def __init__(self, table):
        super().__init__(table.shape[-1], pad=START, start=START, end=END)
        self.table = table

    def encode(self, numbers):
        entries = self.table[numbers].mean(1, keepdim=True).expand(-1, 3, -1)
        return Memory(entries, None, {"number": numbers})

    def start(self, memory):
        return {"length": torch.zeros_like(memory.extra["number"])}

    def step(self, memory, state, words):
        logits = self.table[memory.extra["number"], words]
        places = (words.unsqueeze(1) % 3 == torch.arange(3)).to(logits.dtype)
        return Step(logits, {"length": state["length"] + 1}, places)

    def decode(self, memory, words):
        logits = self.table[memory.extra["number"].unsqueeze(1), words]
        return Decoded(logits, (words.unsqueeze(2) % 3 == torch.arange(3)).to(logits.dtype))


def chain(inputs=4, words=4, seed=0):
    draws = torch.randn(
        inputs, words, words, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return Chain(2 * draws)


def all_sentences(model, number, longest, *, length_penalty=0.0, coverage_penalty=0.0):
    """Return (score, log p, words) of every sentence of 1 to ``longest`` words, best first."""
    table = model.table[number].log_softmax(-1)
    found = []
    for length in range(1, longest + 1):
        for words in itertools.product(range(2, model.classes), repeat=length):
            path = (START, *words, END)
            log_p = sum(float(table[a, b]) for a, b in itertools.pairwise(path))
            reads = torch.stack([torch.arange(3) == word % 3 for word in path[:-1]]).double().sum(0)
            score = log_p / ((5 + length + 1) / 6) ** length_penalty
            if coverage_penalty:
                score += coverage_penalty * float(reads.clamp(torch.finfo(torch.float64).tiny, 1).log().sum())
            found.append((score, log_p, words))
    return sorted(found, key=lambda entry: (-entry[0], entry[2]))
