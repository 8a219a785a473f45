"""One recurrent decoder for captioners and translators: it reads a memory while it writes a sentence.

The mechanism that reads, the choice of one place, the time of reading and the readout are independent
options. Training knows all words: their products with the cell's weights, the readout and the layer over the
vocabulary are one product each for all steps, and only what depends on the step before is done step by step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.base import Read
from foveate.models.decoders.cells import GATES, Cell, States
from foveate.models.decoders.reader import Look, Reader
from foveate.models.decoders.readouts import DeepReadout, MaxoutReadout, Readout, StateReadout, VectorReadout
from foveate.models.decoders.repeated_linear import repeated
from foveate.models.decoders.start_state import StartState
from foveate.models.decoders.word_model import Decoded, Memory, State, Step
from foveate.options import between, one_of, whole

READS = ("before", "after", "between")
READOUTS = ("deep", "deep_add", "maxout", "vector", "state")
SUMMARY = "summary"  # the entry of a memory's extra that the first state is computed from
VECTOR = "vector"  # the entry of the state that is fed to the next step


class Steps(NamedTuple):
    """What T steps came to.

    Attributes:
        states: (B, T, n), what the readout sees of the state.
        look: What was read; None if nothing was yet, as the recurrence does not need it.
        features: (B, T, F), if the recurrence needed them.
        state: After the last step.
    """

    states: Float[Tensor, "b t n"]
    look: Look | None
    features: Float[Tensor, "b t f"] | None
    state: State


class AttentionDecoder(nn.Module):
    """Write words while reading a memory.

    Args:
        classes: V, how many words the vocabulary has.
        memory: D of the memory's entries.
        summary: Width of ``memory.extra["summary"]``, which the first state is computed from; None for D.
        embedding: m of the words.
        state: n of the state.
        cell: "gru", "lstm" or "cho_gru"; see ``Cell``.
        layers: How many recurrent layers; the memory is read by the last one's state.
        attention: What reads; see ``Reader``.
        choice: "soft", or how one place is chosen; see ``Reader``.
        reads: When: "before" the cell, which then consumes what was read (Bahdanau et al.; Show, Attend and
            Tell); "after" it (Luong et al.); "between" two cells (the conditional GRU of dl4mt). None for
            "between", or "after" where the choice is "marginal".
        feeding: Whether the attention vector is fed to the next step; for reads="after", readout="vector".
        readout: "deep", "deep_add", "maxout", "vector" or "state"; see ``readouts``. Or one that was built.
        readout_width: Of its features; None for m, of the last two for n.
        readout_before: Whether the readout sees the state before the cell, as in RNNsearch.
        start: How the first state is computed; see ``StartState``. Or what computes its tensors.
        tied: Whether the words' embedding is the vocabulary's layer too; None where the widths allow it.
        output_bias: Whether that layer has a bias.
        biases: Which bias vectors the cells have; see ``Cell``.
        dropout: Share of the words' embedding, of the readout, and between layers that training drops.
        pad: Number of the word that fills a batch up; its embedding starts at zero and is not learned. None
            for none.

    Raises:
        OptionError: An option is unknown or out of range, or two do not go together.
    """

    def __init__(
        self,
        classes: int,
        *,
        memory: int,
        summary: int | None = None,
        embedding: int = 256,
        state: int = 512,
        cell: str = "gru",
        layers: int = 1,
        attention: str | Read | None = "additive",
        choice: str = "soft",
        reads: str | None = None,
        feeding: bool = False,
        readout: str | Readout = "deep",
        readout_width: int | None = None,
        readout_before: bool = False,
        start: str | nn.Module = "bridge",
        tied: bool | None = None,
        output_bias: bool = True,
        biases: str = "both",
        dropout: float = 0.0,
        pad: int | None = 0,
    ) -> None:
        super().__init__()
        one_of("cell", cell, GATES)
        between("dropout", dropout, 0, 1)
        reads = ("after" if choice.startswith("marginal") else "between") if reads is None else reads
        one_of("reads", reads, READS)
        self.reads, self.feeding, self.readout_before = reads, feeding, readout_before
        self.embedding, self.layers = whole("embedding", embedding), whole("layers", layers)
        self.words = nn.Embedding(whole("classes", classes), embedding, padding_idx=pad)
        self.reader = Reader(memory, whole("state", state), attention=attention, choice=choice)
        if not isinstance(readout, Readout):
            readout = _readout(readout, state, embedding, memory, readout_width, dropout)
        self.readout: Readout = readout
        more = {"before": memory, "after": self.readout.width * feeding, "between": 0}[reads]
        widths = [embedding + more, *[state] * (layers - 1)]
        self.cells = nn.ModuleList(Cell(width, state, cell, biases=biases) for width in widths)
        second = "state" if biases == "input" and cell != "cho_gru" else biases
        self.second = Cell(memory, state, cell, biases=second) if reads == "between" else None
        self.tensors = 2 if cell == "lstm" else 1
        self.first = (
            start
            if isinstance(start, nn.Module)
            else StartState(memory if summary is None else summary, state, layers * self.tensors, start)
        )
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(self.readout.width, classes, bias=output_bias)
        self._check_options(choice)
        self._tie(tied, pad)

    def _check_options(self, choice: str) -> None:
        if self.feeding and not (self.reads == "after" and isinstance(self.readout, VectorReadout)):
            raise OptionError(
                "feeding: what is fed to the next step is the attention vector, made after the cell. Write "
                "reads=after, readout=vector with it."
            )
        if self.reads == "after" and not self.feeding and not self.readout.reads:
            raise OptionError(
                "readout: got 'state' with reads='after', so that nothing would use what is read. Write "
                "readout=deep, or another time to read."
            )
        if self.readout_before and self.reads != "before":
            raise OptionError(
                f"readout_before: got True with reads={self.reads!r}, expected reads='before': the state "
                "before the cell has not seen the last word otherwise."
            )
        if self.reads == "between" and self.layers > 1:
            raise OptionError(f"layers: got {self.layers} with reads='between', expected 1: two cells")
        if choice.startswith("marginal") and (self.reads != "after" or self.feeding):
            raise OptionError(
                f"choice: got {choice!r} with reads={self.reads!r}{', feeding=True' * self.feeding}. A sum "
                "over what could be read at each step is exact only if no later step depends on what was. "
                "Write reads=after without feeding, or choice=reinforce or choice=gumbel."
            )

    def _tie(self, tied: bool | None, pad: int | None) -> None:
        """Draw the words, and share them with the layer over the vocabulary if that is wanted."""
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        if pad is not None:
            nn.init.zeros_(self.words.weight[pad])
        if self.output.bias is not None:
            nn.init.zeros_(self.output.bias)
        fits = self.readout.width == self.embedding
        if tied and not fits:
            raise OptionError(
                f"tied: got True with features of width {self.readout.width} and embedding={self.embedding}, "
                f"expected the same width. Write readout_width={self.embedding}, or tied=False."
            )
        if fits if tied is None else tied:
            self.output.weight = self.words.weight

    def prepare(self, memory: Memory) -> Memory:
        """Return the memory with the keys of its entries, which are zero where nothing may be read."""
        if memory.mask is not None:
            entries = memory.entries.masked_fill(~memory.mask.unsqueeze(2), 0.0)
            memory = memory._replace(entries=entries)
        return self.reader.prepare(memory)

    def start(self, memory: Memory) -> State:
        """Return the state before the first word, from ``memory.extra["summary"]``."""
        states = self.first(memory.extra[SUMMARY])
        state = self._named(tuple(states)) | self.reader.start(memory)
        if self.feeding:
            state[VECTOR] = states[0].new_zeros(states[0].shape[0], self.readout.width)
        return state

    def step(self, memory: Memory, state: State, words: Int64[Tensor, " b"]) -> Step:
        """Return the next word's logits, after these words, by a prepared memory."""
        decoded, state = self.run(memory, state, words.unsqueeze(1))
        return Step(decoded.logits[:, 0], state, decoded.weights[:, 0])

    def decode(self, memory: Memory, words: Int64[Tensor, "b t"]) -> Decoded:
        """Return the logits after each of these words, by a prepared memory."""
        return self.run(memory, self.start(memory), words)[0]

    def run(self, memory: Memory, state: State, words: Int64[Tensor, "b t"]) -> tuple[Decoded, State]:
        """Return the logits after each of these words, and the state after the last."""
        embedded = self.drop(self.embed(words))
        steps = self._steps(memory, state, embedded)
        state = steps.state
        if self.reader.summing:
            logits, weights = self._summed(steps.states, memory, embedded)
            return Decoded(logits, weights), state
        look = steps.look
        if look is None:
            look, carried = self.reader(steps.states, memory, state)
            state = state | carried
        features = steps.features
        if features is None:
            features = self.readout(steps.states, embedded, look.context)
        return Decoded(self.output(features), look.weights, look.log_probability, look.entropy), state

    def embed(self, words: Int64[Tensor, "b t"]) -> Float[Tensor, "b t m"]:
        """Return the words' vectors; zeros for ``NO_WORD``."""
        vectors: Tensor = self.words(words.clamp_min(0))
        return vectors * (words >= 0).unsqueeze(2).to(vectors.dtype)

    def _steps(self, memory: Memory, state: State, embedded: Float[Tensor, "b t m"]) -> Steps:
        """Run the recurrence; see ``Steps``."""
        first = self._cells[0]
        given = F.linear(embedded, first.weight_ih[:, : self.embedding], first.bias_ih).unbind(1)
        carried = self._unnamed(state)
        if self.reads == "after" and not self.feeding:
            advance, states = self._stack(), []
            for row in given:
                carried = advance(row, carried)
                states.append(self._top(carried))
            kept = {name: tensor for name, tensor in state.items() if name not in self._names()}
            return Steps(torch.stack(states, dim=1), None, None, self._named(carried) | kept)
        run = {"before": self._before, "after": self._after, "between": self._between}[self.reads]
        return run(memory, state, given, carried)

    def _before(self, memory: Memory, state: State, given: tuple[Tensor, ...], carried: States) -> Steps:
        """Read by the last state; the cell consumes what was read."""
        first = self._cells[0]
        consume, advance = repeated(first.weight_ih[:, self.embedding :]), self._stack()
        states, looks = [], []
        for row in given:
            query = self._top(carried)
            look, read = self.reader(query.unsqueeze(1), memory, state)
            state = state | read
            carried = advance(row + consume(look.context.squeeze(1)), carried)
            states.append(query if self.readout_before else self._top(carried))
            looks.append(look)
        return Steps(torch.stack(states, dim=1), _joined(looks), None, state | self._named(carried))

    def _after(self, memory: Memory, state: State, given: tuple[Tensor, ...], carried: States) -> Steps:
        """Read by the new state; the attention vector is fed to the next step."""
        first = self._cells[0]
        consume, advance = repeated(first.weight_ih[:, self.embedding :]), self._stack()
        assert isinstance(self.readout, VectorReadout)
        vector, say = state[VECTOR], self.readout.unrolled()
        states, looks, vectors = [], [], []
        for row in given:
            carried = advance(row + consume(vector), carried)
            top = self._top(carried)
            look, read = self.reader(top.unsqueeze(1), memory, state)
            state = state | read
            vector = say(top, look.context.squeeze(1))
            states.append(top)
            looks.append(look)
            vectors.append(vector)
        state = state | self._named(carried) | {VECTOR: vector}
        return Steps(torch.stack(states, dim=1), _joined(looks), torch.stack(vectors, dim=1), state)

    def _between(self, memory: Memory, state: State, given: tuple[Tensor, ...], carried: States) -> Steps:
        """Read by the state of a first cell, which saw the word; a second cell consumes what was read."""
        second = self.second
        assert second is not None
        consume = repeated(second.weight_ih, second.bias_ih)
        advance, conclude = self._stack(), second.unrolled()
        states, looks = [], []
        for row in given:
            carried = advance(row, carried)
            look, read = self.reader(self._top(carried).unsqueeze(1), memory, state)
            state = state | read
            carried = conclude(consume(look.context.squeeze(1)), carried)
            states.append(self._top(carried))
            looks.append(look)
        return Steps(torch.stack(states, dim=1), _joined(looks), None, state | self._named(carried))

    def _summed(
        self, states: Float[Tensor, "b t n"], memory: Memory, embedded: Float[Tensor, "b t m"]
    ) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "b t n"]]:
        """Return log sum_j a_j p(y | s, h_j), and a."""
        logs, contexts, weights = self.reader.candidates(states, memory)
        features = self.readout(states.unsqueeze(2), embedded.unsqueeze(2), contexts)
        words = F.log_softmax(self.output(features).to(logs.dtype), dim=3)
        return (logs.unsqueeze(3) + words).logsumexp(dim=2), weights

    @property
    def _cells(self) -> list[Cell]:
        return list(self.cells)  # type: ignore[arg-type]

    def _stack(self) -> _Stack:
        """Return the function that makes one step through all layers."""
        return _Stack(self._cells, self.drop, self.tensors)

    def _top(self, carried: States) -> Float[Tensor, "b n"]:
        """Return h of the last layer."""
        return carried[-self.tensors]

    def _names(self) -> list[str]:
        """Return the names of the cells' tensors: h and c of every layer."""
        return [f"{letter}{layer}" for layer in range(self.layers) for letter in "hc"[: self.tensors]]

    def _named(self, carried: States) -> State:
        return dict(zip(self._names(), carried, strict=True))

    def _unnamed(self, state: State) -> States:
        return tuple(state[name] for name in self._names())


class _Stack:
    """One step through the layers; the first is given its input's product, the others form their own."""

    def __init__(self, cells: list[Cell], drop: nn.Dropout, tensors: int) -> None:
        self.steps = [cell.unrolled() for cell in cells]
        self.inputs = [repeated(cell.weight_ih, cell.bias_ih) for cell in cells[1:]]
        self.drop, self.tensors = drop, tensors

    def __call__(self, given: Tensor, carried: States) -> States:
        after: States = ()
        for layer, step in enumerate(self.steps):
            if layer:
                given = self.inputs[layer - 1](self.drop(after[-self.tensors]))
            after += step(given, carried[layer * self.tensors : (layer + 1) * self.tensors])
        return after


def _joined(looks: list[Look]) -> Look:
    """Return what all steps read."""
    context, weights, *learnt = zip(*looks, strict=True)
    logs, entropies = (None if parts[0] is None else torch.cat(parts, dim=1) for parts in learnt)
    return Look(torch.cat(context, dim=1), torch.cat(weights, dim=1), logs, entropies)


def _readout(readout: str, state: int, word: int, context: int, width: int | None, dropout: float) -> Readout:
    one_of("readout", readout, READOUTS)
    if readout == "state":
        if width is not None:
            raise OptionError(f"readout_width: got {width} with readout='state', whose width is the state's")
        return StateReadout(state, dropout=dropout)
    if readout == "vector":
        return VectorReadout(state, context, width=width, dropout=dropout)
    if readout == "maxout":
        return MaxoutReadout(state, word, context, width=width, dropout=dropout)
    return DeepReadout(state, word, context, width=width, add_word=readout == "deep_add", dropout=dropout)
