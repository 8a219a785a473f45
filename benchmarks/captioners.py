"""Captioners: how fast one trains beside the loop over words that the popular PyTorch tutorial has.

    python -m benchmarks.captioners [--turns 5] [--large] [--original FOLDER]

One thread, processor time, the sides taking turns on the same batches with the same weights, medians: forward
pass, loss, backward pass and Adam's step. Theirs is the decoder of a-PyTorch-Tutorial-to-Image-Captioning
(sgrvinod), written again from what it computes, or with --original its own: FOLDER holds its models.py. Ours
is ``show_attend_tell`` with form="tutorial". Losses are compared first. A third side is foveate's other
captioner, ``adaptive_captioner``, for which there is no peer here.

The sizes are those of a small data set (49 places of 1280 channels, 1060 words, widths of 256 and 320, 50
captions); with --large the tutorial's (196 places of 2048 channels, 9490 words, widths of 512, 32 captions).
Words a sentence: 4 to 20.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from foveate.models import create_model

SMALL = {"places": 49, "channels": 1280, "words": 1060, "attention": 256, "embedding": 256, "state": 320}
LARGE = {"places": 196, "channels": 2048, "words": 9490, "attention": 512, "embedding": 512, "state": 512}
END, START, SHORTEST, LONGEST = 3, 2, 4, 20
TARGET = 1.0


class StepLoop(nn.Module):
    """The tutorial's decoder: captions sorted by length, a batch that shrinks, everything step by step."""

    def __init__(self, sizes: dict[str, int], dropout: float = 0.5) -> None:
        super().__init__()
        channels, state, hidden = sizes["channels"], sizes["state"], sizes["attention"]
        self.words = sizes["words"]
        self.attention = nn.ModuleDict(
            {
                "encoder_att": nn.Linear(channels, hidden),
                "decoder_att": nn.Linear(state, hidden),
                "full_att": nn.Linear(hidden, 1),
            }
        )
        self.embedding = nn.Embedding(self.words, sizes["embedding"])
        self.decode_step = nn.LSTMCell(sizes["embedding"] + channels, state)
        self.init_h, self.init_c = nn.Linear(channels, state), nn.Linear(channels, state)
        self.f_beta, self.fc = nn.Linear(state, channels), nn.Linear(state, self.words)
        self.dropout = nn.Dropout(dropout)

    def forward(  # noqa: D102
        self, features: Tensor, captions: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Any, Any, Tensor, Tensor]:
        lengths, order = lengths.squeeze(1).sort(descending=True)
        features, captions = features[order], captions[order]
        vectors, mean = self.embedding(captions), features.mean(dim=1)
        h, c = self.init_h(mean), self.init_c(mean)
        steps = (lengths - 1).tolist()
        logits = torch.zeros(len(features), max(steps), self.words)
        weights = torch.zeros(len(features), max(steps), features.shape[1])
        for t in range(max(steps)):
            n = sum(length > t for length in steps)
            places, h, c = features[:n], h[:n], c[:n]
            keys = self.attention["encoder_att"](places)
            score = self.attention["full_att"]((keys + self.attention["decoder_att"](h).unsqueeze(1)).relu())
            alpha = score.squeeze(2).softmax(dim=1)
            context = self.f_beta(h).sigmoid() * (places * alpha.unsqueeze(2)).sum(dim=1)
            h, c = self.decode_step(torch.cat([vectors[:n, t], context], dim=1), (h, c))
            logits[:n, t], weights[:n, t] = self.fc(self.dropout(h)), alpha
        return logits, captions, steps, weights, order


def peer(sizes: dict[str, int], folder: Path | None) -> nn.Module:
    """Return the tutorial's decoder, or its like."""
    if folder is None:
        return StepLoop(sizes)
    spec = importlib.util.spec_from_file_location("tutorial_models", folder / "models.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.device = torch.device("cpu")
    decoder: nn.Module = module.DecoderWithAttention(
        sizes["attention"], sizes["embedding"], sizes["state"], sizes["words"], sizes["channels"]
    )
    return decoder


def their_loss(decoder: nn.Module, features: Tensor, captions: Tensor, lengths: Tensor) -> Tensor:
    """Return the tutorial's loss."""
    logits, ordered, steps, weights, _ = decoder(features, captions, lengths)
    logits = pack_padded_sequence(logits, steps, batch_first=True).data
    targets = pack_padded_sequence(ordered[:, 1:], steps, batch_first=True).data
    return nn.functional.cross_entropy(logits, targets) + ((1 - weights.sum(dim=1)) ** 2).mean()


def our_loss(model: Any, features: Tensor, captions: Tensor, lengths: Tensor) -> Tensor:
    """Return the same of ours."""
    targets = captions[:, 1:]
    loss: Tensor = model.loss(model(features, model.shifted(targets)), targets)
    return loss


def batch(sizes: dict[str, int], captions: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, captions with their start and end, and their lengths."""
    random = torch.Generator().manual_seed(seed)
    features = torch.rand(captions, sizes["places"], sizes["channels"], generator=random)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (captions, 1), generator=random) + 2
    words = torch.randint(4, sizes["words"], (captions, int(lengths.max())), generator=random)
    words[:, 0] = START
    place = torch.arange(words.shape[1])
    words = words.masked_fill(place == lengths - 1, END).masked_fill(place >= lengths, 0)
    return features, words, lengths


def timed(loss: Callable[[], Tensor], optimiser: torch.optim.Optimizer) -> float:
    """Return the seconds of a training step."""
    start = time.process_time()
    optimiser.zero_grad()
    loss().backward()
    optimiser.step()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="the tutorial's sizes")
    parser.add_argument("--original", type=Path, help="a folder with the tutorial's models.py")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes, captions = (LARGE, 32) if options.large else (SMALL, 50)
    theirs = peer(sizes, options.original)
    ours = create_model(
        "show_attend_tell",
        classes=sizes["words"],
        channels=sizes["channels"],
        form="tutorial",
        attention=f"additive(hidden={sizes['attention']})",
        embedding=sizes["embedding"],
        state=sizes["state"],
    )
    ours.load_state_dict(ours.from_published(theirs.state_dict()))  # type: ignore[operator]
    sentinel = create_model(
        "adaptive_captioner", classes=sizes["words"], channels=sizes["channels"], width=sizes["state"]
    )
    features, words, lengths = batch(sizes, captions, 0)
    with torch.no_grad():
        ours.eval(), theirs.eval()
        gap = our_loss(ours, features, words, lengths) - their_loss(theirs, features, words, lengths)
        ours.train(), theirs.train()
    assert abs(float(gap)) < 1e-4, f"the losses differ by {float(gap):g}"
    models = {"tutorial": theirs, "show_attend_tell": ours, "adaptive_captioner": sentinel}
    optimisers = {name: torch.optim.Adam(model.parameters(), 1e-4) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(options.turns + 1):
        drawn = batch(sizes, captions, turn)
        for name in list(models)[:: 1 if turn % 2 else -1]:
            loss = their_loss if name == "tutorial" else our_loss
            spent = timed(partial(loss, models[name], *drawn), optimisers[name])
            seconds[name].append(spent / int((drawn[1][:, 1:] != 0).sum()))
    pairs = zip(seconds["tutorial"][1:], seconds["show_attend_tell"][1:], strict=True)
    for name, each in seconds.items():
        print(f"{name:20} {1 / statistics.median(each[1:]):7.0f} words a second of processor time")
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"show_attend_tell beside the tutorial: {ratio:.2f} times as fast (to reach: {TARGET})")


if __name__ == "__main__":
    main()
