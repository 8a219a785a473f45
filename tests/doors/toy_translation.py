"""A task without images: sentences of any length, ragged batches, beam search at test time, BLEU."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from foveate.data.feed import epoch_order, steps_per_epoch
from foveate.models.names import models
from foveate.tasks.base import Task, tasks
from foveate.tasks.judged import Judged
from foveate.tasks.metric import Metric

PAD, END, ORDERS, LONGEST, BEAMS = 0, 1, 2, 12, 3


@dataclass(frozen=True)
class Pairs:  # the data: (source, target) sentences by split, from a file of tab-separated lines
    name: str
    splits: dict
    fingerprint: str
    origin: dict
    task: str = "toy_translation"

    @property
    def items(self):
        return {split: len(pairs) for split, pairs in self.splits.items()}


@dataclass(frozen=True)
class Words:  # a batch: lists of word numbers, padded
    source: torch.Tensor
    target: torch.Tensor
    references: tuple

    def __len__(self):
        return len(self.source)

    def to(self, device):
        return replace(self, source=self.source.to(device), target=self.target.to(device))


class Sentences:  # the feed
    def __init__(self, pairs, numbers):
        self.pairs, self.numbers = pairs, numbers
        self.names = [" ".join(source) for source, _ in pairs]

    def __len__(self):
        return len(self.pairs)

    def train(self, *, batch_size, seed, epoch, start=0):
        order = epoch_order(len(self), seed, epoch)
        for step in range(start, steps_per_epoch(len(self), batch_size)):
            yield self._batch(order[step * batch_size : (step + 1) * batch_size])

    def test(self, batch_size):
        for first in range(0, len(self), batch_size):
            yield self._batch(range(first, min(first + batch_size, len(self))))

    def _batch(self, chosen):
        some = [self.pairs[i] for i in chosen]
        rows = [
            [torch.tensor([self.numbers.get(w, END) for w in s] + [END]) for s in side]
            for side in zip(*some, strict=True)
        ]
        source, target = (nn.utils.rnn.pad_sequence(row, batch_first=True, padding_value=PAD) for row in rows)
        return Words(source, target, tuple(" ".join(target) for _, target in some))


@models.register("toy_translator")
class ToyTranslator(nn.Module):
    def __init__(self, *, classes: int, attention: bool = True):
        super().__init__()
        self.words, self.attention = nn.Embedding(classes, 16, padding_idx=PAD), attention
        self.encoder, self.decoder = (nn.GRU(16, 16, batch_first=True) for _ in range(2))
        self.answer = nn.Linear(32, classes)

    def forward(self, source, target):
        memory, state = self.encoder(self.words(source))
        found, _ = self.decoder(self.words(target), state)
        weights = (found @ memory.transpose(1, 2)).masked_fill((source == PAD)[:, None], -1e4).softmax(-1)
        context = weights @ memory if self.attention else memory.mean(1, keepdim=True).expand_as(found)
        return self.answer(torch.cat([found, context], -1))


@tasks.register("toy_translation")
class ToyTranslation(Task):
    name, items = "toy_translation", "sentences"
    metric = Metric("BLEU-2", unit="points", scale=100.0, averages=False)

    @classmethod
    def opens(cls, source):
        return str(source).endswith(".pairs")

    @classmethod
    def open(cls, source, **options):
        text = Path(source).read_text(encoding="utf-8")
        lines = [tuple(side.split() for side in line.split("\t")) for line in text.splitlines()]
        cut = 2 * len(lines) // 3
        splits = {"train": lines[:cut], "val": lines[cut : cut + 8], "test": lines[cut + 8 :]}
        return Pairs(
            Path(source).stem, splits, hashlib.sha256(text.encode()).hexdigest(), {"source": str(source)}
        )

    @classmethod
    def inputs_of(cls, data):
        known = {word for pair in data.splits["train"] for side in pair for word in side}
        return {"vocabulary": ["<pad>", "<end>", *sorted(known)]}

    def feeds(self, data):
        return {split: Sentences(pairs, self._numbers()) for split, pairs in data.splits.items()}

    def model_options(self):
        return {"classes": len(self.inputs["vocabulary"])}

    def example(self, items=2):
        return torch.full((items, 5), 2), torch.full((items, 4), 2)

    def loss(self, model, batch, part=""):
        begun = F.pad(batch.target, (1, 0), value=END)[:, :-1]
        return F.cross_entropy(model(batch.source, begun).transpose(1, 2), batch.target, ignore_index=PAD)

    def judge(self, model, batch):
        answers = [self._searched(model, row[row != PAD]) for row in batch.source]
        records = [
            self._matches(a.split(), r.split()) for a, r in zip(answers, batch.references, strict=True)
        ]
        return Judged(torch.tensor(records, dtype=torch.float64), answers, self.loss(model, batch))

    def value_of_total(self, total):
        matches, possible = total[:ORDERS] + 1, total[ORDERS : 2 * ORDERS] + 1  # smoothed, never at its floor
        brevity = np.exp(min(0.0, 1 - total[-1] / max(total[-2], 1e-9)))
        return float(brevity * np.exp(np.log(matches / possible).mean()))

    def cards(self, models, feed, answers, scores):
        return [
            {
                "kind": "text",
                "item": str(i),
                "source": feed.names[i],
                "reference": [" ".join(feed.pairs[i][1])],
                "variants": [
                    {"name": name, "answer": answers[name][i], "score": float(scores[name][i]), "maps": []}
                    for name in models
                ],
            }
            for i in range(min(3, len(feed)))
        ]

    def predict(self, model, inputs, **options):
        numbers = self._numbers()
        rows = [torch.tensor([numbers.get(w, END) for w in text.split()] + [END]) for text in inputs]
        with torch.no_grad():
            return [self._searched(model.eval(), row) for row in rows]

    def _numbers(self):
        return {word: number for number, word in enumerate(self.inputs["vocabulary"])}

    def _searched(self, model, source):
        beams = [(0.0, [END])]
        for _ in range(LONGEST):
            open_ = [beam for beam in beams if len(beam[1]) == 1 or beam[1][-1] != END]
            if not open_:
                break
            grown = [beam for beam in beams if beam not in open_]
            for score, words in open_:
                log_p = model(source[None], torch.tensor([words]))[0, -1].log_softmax(-1)
                best = log_p.topk(BEAMS)
                grown += [
                    (score + float(p), [*words, int(w)])
                    for p, w in zip(best.values, best.indices, strict=True)
                ]
            beams = sorted(grown, key=lambda beam: -beam[0] / len(beam[1]))[:BEAMS]
        return " ".join(self.inputs["vocabulary"][w] for w in beams[0][1] if w > END)

    @staticmethod
    def _matches(answer, reference):
        found = []
        for n in range(1, ORDERS + 1):
            own, true = (Counter(zip(*(s[k:] for k in range(n)), strict=False)) for s in (answer, reference))
            found.append((sum((own & true).values()), max(len(answer) - n + 1, 0)))
        return [*(m for m, _ in found), *(p for _, p in found), len(answer), len(reference)]
