"""Translators: how fast one trains beside the recurrent network of Joey NMT.

    python -m benchmarks.word_models [--turns 5] [--smoothing 0.1] [--sorted] [--original FOLDER]

One thread, processor time, the sides taking turns on the same batches with the same weights, medians: forward
pass, loss, backward pass, clipping and Adam's step. Theirs is Joey NMT's network (GRU, additive attention,
input feeding), written again from what it computes, or with --original its own: FOLDER holds its package.
Ours is ``luong_translator`` with its weights; losses are compared first. Further sides, without a peer, are
``translator`` with its default options, and with other reads and choices.

Sizes: vocabularies of 8,000 words, embeddings of 256, an encoder of 256 in each direction, a decoder of 512,
64 sentences, whose lengths vary as those of Multi30k in parts of words: 14 +- 5. Joey NMT takes sentences in
any order, so half of a batch is padding; with --sorted all sentences of a batch have one length.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foveate.models import create_model
from foveate.models.translation.joeynmt_names import from_joeynmt

WORDS, EMBEDDING, ENCODER, STATE, SENTENCES = 8000, 256, 256, 512, 64
PAD, START, END = 0, 2, 3
TARGET = 1.2
SIZES = {"embedding": EMBEDDING, "encoder_state": ENCODER, "state": STATE, "dropout": 0.0}
OTHERS = {
    "translator": {},
    "  attention=general": {"attention": "general"},
    "  attention=none": {"attention": "none"},
    "  reads=after": {"reads": "after"},
    "  choice=reinforce": {"choice": "reinforce"},
    "  choice=gumbel": {"choice": "gumbel"},
    "  choice=marginal(places=5)": {"choice": "marginal(places=5)"},
    "  choice=monotonic": {"choice": "monotonic"},
}


class Keys(nn.Module):
    """Additive scores; the keys' product is formed once for a sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.key_layer = nn.Linear(2 * ENCODER, STATE, bias=False)
        self.query_layer = nn.Linear(STATE, STATE, bias=False)
        self.energy_layer = nn.Linear(STATE, 1, bias=False)


class StepLoop(nn.Module):
    """The network: an encoder on packed sentences; of the decoder, all but the last layer step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.src_embed, self.trg_embed = (
            nn.ModuleDict({"lut": nn.Embedding(WORDS, EMBEDDING, padding_idx=PAD)}) for _ in range(2)
        )
        encoder = nn.GRU(EMBEDDING, ENCODER, batch_first=True, bidirectional=True)
        self.encoder = nn.ModuleDict({"rnn": encoder})
        self.decoder = nn.ModuleDict(
            {
                "rnn": nn.GRU(EMBEDDING + STATE, STATE, batch_first=True),
                "att_vector_layer": nn.Linear(STATE + 2 * ENCODER, STATE),
                "output_layer": nn.Linear(STATE, WORDS, bias=False),
                "attention": Keys(),
                "bridge_layer": nn.Linear(2 * ENCODER, STATE),
            }
        )

    def forward(self, source: Tensor, lengths: Tensor, fed: Tensor) -> Tensor:  # noqa: D102
        part: Any = self.decoder
        packed = pack_padded_sequence(self.src_embed["lut"](source), lengths, batch_first=True)
        entries, last = self.encoder["rnn"](packed)
        entries, _ = pad_packed_sequence(entries, batch_first=True, total_length=source.shape[1])
        state = part["bridge_layer"](torch.cat([last[0], last[1]], dim=1)).tanh().unsqueeze(0)
        mask, attention = (source != PAD).unsqueeze(1), part["attention"]
        keys, words = attention.key_layer(entries), self.trg_embed["lut"](fed)
        vector = words.new_zeros(len(fed), 1, STATE)
        vectors = []
        for t in range(fed.shape[1]):
            _, state = part["rnn"](torch.cat([words[:, t : t + 1], vector], dim=2), state)
            query = state[-1].unsqueeze(1)
            scores = attention.energy_layer((attention.query_layer(query) + keys).tanh()).squeeze(2)
            scores = torch.where(mask, scores.unsqueeze(1), float("-inf"))
            context = scores.softmax(dim=2) @ entries
            vector = part["att_vector_layer"](torch.cat([query, context], dim=2)).tanh()
            vectors.append(vector)
        logits: Tensor = part["output_layer"](torch.cat(vectors, dim=1))
        return logits


class Original(nn.Module):
    """Joey NMT's own modules, with the same weights."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        sys.path.insert(0, str(folder))
        encoders, decoders = (importlib.import_module(f"joeynmt.{name}") for name in ("encoders", "decoders"))
        self.src_embed, self.trg_embed = (
            nn.ModuleDict({"lut": nn.Embedding(WORDS, EMBEDDING, padding_idx=PAD)}) for _ in range(2)
        )
        none = {"dropout": 0.0, "emb_dropout": 0.0}
        self.encoder = encoders.RecurrentEncoder("gru", ENCODER, EMBEDDING, 1, **none, bidirectional=True)
        self.decoder = decoders.RecurrentDecoder(
            "gru", EMBEDDING, STATE, self.encoder, "bahdanau", 1, WORDS, **none, hidden_dropout=0.0,
            init_hidden="bridge", input_feeding=True,
        )  # fmt: skip

    def forward(self, source: Tensor, lengths: Tensor, fed: Tensor) -> Tensor:  # noqa: D102
        mask = (source != PAD).unsqueeze(1)
        entries, last = self.encoder(self.src_embed["lut"](source), lengths, mask)
        logits: Tensor = self.decoder(self.trg_embed["lut"](fed), entries, last, mask, fed.shape[1])[0]
        return logits


def their_loss(model: nn.Module, smoothing: float, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return its loss, a mean over the words; smoothing spreads over all words but padding and the target."""
    source, lengths, target = batch
    fed, wanted = F.pad(target[:, :-1], (1, 0), value=START), target.flatten()
    logs = model(source, lengths, fed).log_softmax(dim=-1).flatten(0, 1)
    there = (wanted != PAD).sum()
    if not smoothing:
        return F.nll_loss(logs, wanted, ignore_index=PAD, reduction="sum") / there
    goal = torch.full((len(wanted), WORDS), smoothing / (WORDS - 2))
    goal.scatter_(1, wanted.unsqueeze(1), 1 - smoothing)[:, PAD] = 0
    goal.index_fill_(0, (wanted == PAD).nonzero().squeeze(1), 0.0)
    return F.kl_div(logs, goal, reduction="sum") / there


def our_loss(model: Any, smoothing: float, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return ours."""
    source, _, target = batch
    loss: Tensor = model.loss(model(source, model.shifted(target)), target, label_smoothing=smoothing)
    return loss


def batches(count: int, sort: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield sources by length, their lengths, and targets."""
    random = torch.Generator().manual_seed(1)
    for _ in range(count):
        sides = []
        lengths = (14 + 5 * torch.randn(SENTENCES, 2, generator=random)).round().long().clamp(4, 40)
        lengths = (
            lengths[:1].expand(SENTENCES, 2) if sort else lengths[lengths[:, 0].argsort(descending=True)]
        )
        for side in lengths.t().unsqueeze(2):
            words = torch.randint(4, WORDS, (SENTENCES, int(side.max())), generator=random)
            place = torch.arange(words.shape[1])
            sides.append(words.masked_fill(place == side - 1, END).masked_fill(place >= side, PAD))
        yield sides[0], lengths[:, 0], sides[1]


def timed(loss: Callable[[], Tensor], model: nn.Module, optimiser: torch.optim.Optimizer) -> float:
    """Return the seconds of a training step."""
    start = time.process_time()
    optimiser.zero_grad()
    loss().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    parser.add_argument("--sorted", action="store_true", help="batches without padding")
    parser.add_argument("--original", type=Path, help="a folder with Joey NMT's package")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    theirs = StepLoop() if options.original is None else Original(options.original)
    same = create_model(
        "luong_translator", classes=WORDS, cell="gru", layers=1,
        attention=f"additive(bias=False, hidden={STATE})", **SIZES,
    )  # fmt: skip
    same.load_state_dict(from_joeynmt(theirs.state_dict()))
    given = list(batches(options.turns, options.sorted))
    plain = [loss(m, 0.0, given[0]).item() for loss, m in ((their_loss, theirs), (our_loss, same))]
    if abs(plain[0] - plain[1]) > 1e-5 * abs(plain[0]):
        raise SystemExit(f"the losses differ: {plain}")
    sides: dict[str, tuple[Any, nn.Module]] = {
        "Joey NMT": (their_loss, theirs),
        "the same, ours": (our_loss, same),
    }
    for name, form in OTHERS.items():
        sides[name] = our_loss, create_model("translator", classes=WORDS, **SIZES, **form)
    optimisers = {name: torch.optim.Adam(m.parameters(), 1e-4) for name, (_, m) in sides.items()}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn, batch in enumerate([given[0], *given]):  # the first one warms up
        for name, (loss, model) in sides.items():
            seconds = timed(partial(loss, model, options.smoothing, batch), model, optimisers[name])
            if turn:
                rates[name].append(int((batch[2] != PAD).sum()) / seconds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in medians.items():
        print(f"{name:28} {rate:7.0f} words a second, {rate / medians['Joey NMT']:.2f} of Joey NMT's")
    reached = medians["the same, ours"] / medians["Joey NMT"]
    print(f"{'reached' if reached >= TARGET else 'MISSED'}: {reached:.2f}, expected at least {TARGET}")


if __name__ == "__main__":
    main()
