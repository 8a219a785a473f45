"""Words of a sentence to what surrounds each of them, by recurrent layers in both directions.

Padding changes nothing: the backward direction starts at a sentence's last word, wherever a batch ends.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from foveate.models.decoders.attention_decoder import SUMMARY
from foveate.models.decoders.cells import Cell, States
from foveate.models.decoders.word_model import Memory, real_words
from foveate.options import one_of, whole

SUMMARIES = ("mean", "last", "backward")


class SentenceEncoder(nn.Module):
    """Read a sentence from both ends.

    Args:
        words: How many words the source vocabulary has.
        embedding: m of the words.
        state: n of the state of one direction; entries have 2n numbers, forward first.
        cell: "gru", "lstm" or "cho_gru"; see ``Cell``.
        layers: How many layers, each of both directions; one sees both directions of the one below.
        summary: What the decoder's first state is computed from: the "mean" of the entries, the "last" state
            of each direction, or the last state of the "backward" direction alone, at the first word.
        biases: Which bias vectors the cells have; see ``Cell``.
        dropout: Share of the words' embedding and between layers that training drops.
        pad: Number of the word that fills a batch up.
        end: Number of the word that ends a sentence; may be the same.

    Raises:
        OptionError: ``summary`` or ``cell`` is unknown, or a size is not a positive whole number.

    Example:
        >>> encoder = SentenceEncoder(50, embedding=8, state=6)
        >>> encoder(torch.tensor([[5, 9, 7, 3], [8, 3, 0, 0]])).entries.shape
        torch.Size([2, 4, 12])
    """

    def __init__(
        self,
        words: int,
        *,
        embedding: int = 256,
        state: int = 256,
        cell: str = "gru",
        layers: int = 1,
        summary: str = "mean",
        biases: str = "both",
        dropout: float = 0.0,
        pad: int = 0,
        end: int = 3,
    ) -> None:
        super().__init__()
        one_of("summary", summary, SUMMARIES)
        self.summary, self.state, self.pad, self.end = summary, whole("encoder_state", state), pad, end
        padding = None if pad == end else pad
        self.words = nn.Embedding(whole("source_words", words), whole("embedding", embedding), padding)
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        if padding is not None:
            nn.init.zeros_(self.words.weight[padding])
        widths = [embedding, *[2 * state] * (whole("layers", layers) - 1)]
        self.ahead = nn.ModuleList(Cell(width, state, cell, biases=biases) for width in widths)
        self.back = nn.ModuleList(Cell(width, state, cell, biases=biases) for width in widths)
        self.drop = nn.Dropout(dropout)
        self.channels, self.summary_width = 2 * state, state if summary == "backward" else 2 * state
        self.cell = cell

    def forward(self, words: Int64[Tensor, "b s"]) -> Memory:
        """Return the entries, zeros behind each sentence's end, and ``extra["summary"]``."""
        mask = real_words(words, self.pad, self.end)
        x = self.drop(self.words(words))
        packed = self.cell != "cho_gru" and not torch.compiler.is_compiling()
        entries, last = self._packed(x, mask) if packed else self._stepwise(x, mask)
        if self.summary == "mean":
            last = entries.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)
        if self.summary == "backward":
            last = last[:, self.state :]
        return Memory(entries, mask, {SUMMARY: last})

    def _packed(
        self, x: Float[Tensor, "b s m"], mask: Bool[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b s d"], Float[Tensor, "b d"]]:
        """Run PyTorch's own layers over the real words alone."""
        lengths = mask.sum(dim=1).clamp_min(1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        layers = len(self.ahead)
        first = x.new_zeros(2 * layers, x.shape[0], self.state)
        drop, run = self.drop.p if self.training else 0.0, getattr(torch, self.cell)
        states = (first, first) if self.cell == "lstm" else first
        data, *last = run(
            packed.data,
            packed.batch_sizes,
            states,
            self._weights(),
            True,  # there are biases
            layers,
            drop,
            self.training,
            True,  # both directions
        )
        back = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        entries, _ = pad_packed_sequence(back, batch_first=True, total_length=x.shape[1])
        top = last[0][-2:][:, packed.unsorted_indices]  # h of the last layer's two directions
        entries = entries * mask.unsqueeze(2)  # a sentence without words was run as one of a word
        return entries, top.transpose(0, 1).flatten(1)

    def _layers(self) -> list[tuple[Cell, Cell]]:
        return list(zip(self.ahead, self.back, strict=True))  # type: ignore[arg-type]

    def _weights(self) -> list[Tensor]:
        """Return the weights in PyTorch's order, with zeros for biases that there are not."""
        flat: list[Tensor] = []
        for cell in itertools.chain.from_iterable(self._layers()):
            zeros = cell.weight_hh.new_zeros(len(cell.weight_hh))
            biases = (zeros if bias is None else bias for bias in (cell.bias_ih, cell.bias_hh))
            flat += [cell.weight_ih, cell.weight_hh, *biases]
        return flat

    def _stepwise(
        self, x: Float[Tensor, "b s m"], mask: Bool[Tensor, "b s"]
    ) -> tuple[Float[Tensor, "b s d"], Float[Tensor, "b d"]]:
        """Run cell by cell over the batch as it is; the backward direction over sentences turned around."""
        lengths = mask.sum(dim=1, keepdim=True)
        place = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(place < lengths, lengths - 1 - place, place)
        for layer, (ahead, back) in enumerate(self._layers()):
            x = self.drop(x) if layer else x
            forward = _run(ahead, x)
            backward = _taken(_run(back, _taken(x, turned)), turned)
            x = torch.cat([forward, backward], dim=2) * mask.unsqueeze(2)
        ends = _taken(x[..., : self.state], (lengths - 1).clamp_min(0)).squeeze(1)
        return x, torch.cat([ends, x[:, 0, self.state :]], dim=1)


def _taken(x: Float[Tensor, "b s d"], places: Int64[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
    return x.gather(1, places.unsqueeze(2).expand(-1, -1, x.shape[2]))


def _run(cell: Cell, x: Float[Tensor, "b s m"]) -> Float[Tensor, "b s n"]:
    """Return h after every step."""
    given = F.linear(x, cell.weight_ih, cell.bias_ih)
    tensors = range(2 if cell.kind == "lstm" else 1)
    first: States = tuple(x.new_zeros(x.shape[0], cell.state) for _ in tensors)
    if torch.compiler.is_exporting():
        return _scanned(cell, given, first)
    step, states, rows = cell.unrolled(), first, []
    for row in given.unbind(1):
        states = step(row, states)
        rows.append(states[0])
    return torch.stack(rows, dim=1)


def _scanned(cell: Cell, given: Float[Tensor, "b s g"], first: States) -> Float[Tensor, "b s n"]:
    """Do the same as one operation, which keeps the number of steps open in an exported graph."""
    from torch._higher_order_ops.scan import scan

    step = cell.unrolled()

    def combine(states: States, row: Tensor) -> tuple[States, Tensor]:
        states = step(row, states)
        return states, states[0].clone()  # an output may not be a state as well

    _, rows = scan(combine, first, given.transpose(0, 1))
    return rows.transpose(0, 1)
