"""One recurrent decoder for captioners and translators: it reads a memory while it writes a sentence.

The mechanism that reads, the choice of one place, the time of reading and the readout are independent
options. Training knows all words: their products with the cell's weights, the readout and the layer over the
vocabulary are one product each for all steps, and only what depends on the step before is done step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.errors import OptionError
from foveate.mechanisms.base import Read
from foveate.models.decoders.cells import GATES, Cell, States
from foveate.models.decoders.reader import KEYS, Look, Reader
from foveate.models.decoders.readouts import DeepReadout, MaxoutReadout, Readout, StateReadout, VectorReadout
from foveate.models.decoders.repeated_linear import repeated
from foveate.models.decoders.rows import Rows
from foveate.models.decoders.shared_tensor import shared, shared_mean
from foveate.models.decoders.spread_linear import spread_linear
from foveate.models.decoders.start_state import StartState
from foveate.models.decoders.word_model import Decoded, Memory, State, Step
from foveate.options import between, one_of, whole

READS = ("before", "after", "between")
READOUTS = ("deep", "deep_add", "maxout", "vector", "state")
SUMMARY = "summary"  # the entry of a memory's extra that the first state is computed from
VECTOR = "vector"  # the entry of the state that is fed to the next step


class Steps(NamedTuple):
    """What the steps came to; see ``Rows``.

    Attributes:
        states: (R, n), what the readout sees of the state.
        look: What was read, as rows; None if nothing was yet, as the recurrence does not need it.
        features: (R, F), if the recurrence needed them.
        state: After the last step.
    """

    states: Float[Tensor, "r n"]
    look: Look | None
    features: Float[Tensor, "r f"] | None
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

    def decode(
        self, memory: Memory, words: Int64[Tensor, "b t"], there: Bool[Tensor, "b t"] | None = None
    ) -> Decoded:
        """Return the logits after each of these words, by a prepared memory.

        Args:
            memory: From ``prepare``.
            words: What each step is fed.
            there: True for words whose step counts, which are the first of each sentence. The others cost
                nothing; logits and weights are zeros there. None for all.
        """
        return self.run(memory, self.start(memory), words, there)[0]

    def run(
        self,
        memory: Memory,
        state: State,
        words: Int64[Tensor, "b t"],
        there: Bool[Tensor, "b t"] | None = None,
    ) -> tuple[Decoded, State]:
        """Return the logits after each of these words, and the state after the last if all are there."""
        rows = Rows(words.shape[0], words.shape[1], there)
        embedded = self.drop(self._embed(rows.packed(words)))
        steps = self._steps(rows, memory, state, embedded)
        if self.reader.summing:
            return self._summed(rows, steps.states, memory, embedded), steps.state
        look, features, state = steps.look, steps.features, steps.state
        if look is None:
            found, carried = self.reader(rows.spread(steps.states), memory, state)
            look, state = _each(found, rows.packed), state | carried
        if features is None:
            features = self.readout(steps.states, embedded, look.context)
        logits = spread_linear(rows, self.output, features)
        look = _each(look, rows.spread)
        return Decoded(logits, look.weights, look.log_probability, look.entropy), state

    def _embed(self, words: Int64[Tensor, " r"]) -> Float[Tensor, "r m"]:
        """Return the words' vectors; zeros for ``NO_WORD``."""
        vectors: Tensor = self.words(words.clamp_min(0))
        return vectors * (words >= 0).unsqueeze(1).to(vectors.dtype)

    def _steps(self, rows: Rows, memory: Memory, state: State, embedded: Float[Tensor, "r m"]) -> Steps:
        """Run the recurrence."""
        first = self._cells[0]
        given = F.linear(embedded, first.weight_ih[:, : self.embedding], first.bias_ih).split(rows.counts)
        before = state
        if rows.order is not None:
            state = {name: rows.ordered(tensor) for name, tensor in state.items()}
        if self.reads == "after" and not self.feeding:
            steps = self._unread(given, {name: state[name] for name in self._names()})
            return steps._replace(state=before | steps.state)
        memories = _Memories(memory if rows.order is None else _for_each(memory, rows.ordered))
        run = self._between if self.reads == "between" else self._beside
        return run(given, memories, state)

    def _unread(self, given: tuple[Tensor, ...], state: State) -> Steps:
        """Run without reading: nothing that is read enters the next step."""
        advance, states = self._stack(), []
        for row in given:
            state = _shortened(state, row)
            carried = advance(row, self._unnamed(state))
            state = state | self._named(carried)
            states.append(self._top(carried))
        return Steps(torch.cat(states), None, None, state)

    def _beside(self, given: tuple[Tensor, ...], memories: _Memories, state: State) -> Steps:
        """Read by the last state, and consume what was read; or by the new one, and consume the vector."""
        consume, advance = repeated(self._cells[0].weight_ih[:, self.embedding :]), self._stack()
        say = self.readout.unrolled() if isinstance(self.readout, VectorReadout) and self.feeding else None
        states, looks, vectors = [], [], []
        for row in given:
            memory, state = memories(row.shape[0]), _shortened(state, row)
            carried = self._unnamed(state)
            before = self._top(carried)
            if say is None:
                look, read = self.reader(before.unsqueeze(1), memory, state, memories.mean)
                carried = advance(row + consume(look.context.squeeze(1)), carried)
            else:
                carried = advance(row + consume(state[VECTOR]), carried)
                look, read = self.reader(self._top(carried).unsqueeze(1), memory, state, memories.mean)
                vectors.append(say(self._top(carried), look.context.squeeze(1)))
                read = read | {VECTOR: vectors[-1]}
            state = state | read | self._named(carried)
            states.append(before if self.readout_before else self._top(carried))
            looks.append(look)
        return Steps(torch.cat(states), _joined(looks), torch.cat(vectors) if vectors else None, state)

    def _between(self, given: tuple[Tensor, ...], memories: _Memories, state: State) -> Steps:
        """Read by the state of a first cell, which saw the word; a second cell consumes what was read."""
        second = self.second
        assert second is not None
        consume = repeated(second.weight_ih, second.bias_ih)
        advance, conclude = self._stack(), second.unrolled()
        states, looks = [], []
        for row in given:
            memory, state = memories(row.shape[0]), _shortened(state, row)
            carried = advance(row, self._unnamed(state))
            look, read = self.reader(self._top(carried).unsqueeze(1), memory, state, memories.mean)
            carried = conclude(consume(look.context.squeeze(1)), carried)
            state = state | read | self._named(carried)
            states.append(self._top(carried))
            looks.append(look)
        return Steps(torch.cat(states), _joined(looks), None, state)

    def _summed(
        self, rows: Rows, states: Float[Tensor, "r n"], memory: Memory, embedded: Float[Tensor, "r m"]
    ) -> Decoded:
        """Return log sum_j a_j p(y | s, h_j) as logits, and a."""
        logs, contexts, weights = self.reader.candidates(rows.spread(states), memory)
        logs, contexts, weights = rows.packed(logs), rows.packed(contexts), rows.packed(weights)
        features = self.readout(states.unsqueeze(1), embedded.unsqueeze(1), contexts)
        words = self.output(features).to(logs.dtype)
        shift = logs - words.logsumexp(dim=2)
        return Decoded(rows.spread((words + shift.unsqueeze(2)).logsumexp(dim=1)), rows.spread(weights))

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
    """Return what all steps read, as rows."""
    context, weights, logs, entropies = zip(*looks, strict=True)
    learnt = (None if parts[0] is None else torch.cat(parts).squeeze(1) for parts in (logs, entropies))
    return Look(torch.cat(context).squeeze(1), torch.cat(weights).squeeze(1), *learnt)


def _each(look: Look, function: Callable[[Tensor], Tensor]) -> Look:
    """Return what a function makes of each of a look's tensors."""
    learnt = (_if_any(function, part) for part in (look.log_probability, look.entropy))
    return Look(function(look.context), function(look.weights), *learnt)


def _if_any(function: Callable[[Tensor], Tensor], x: Tensor | None) -> Tensor | None:
    return None if x is None else function(x)


def _for_each(memory: Memory, function: Callable[[Tensor], Tensor]) -> Memory:
    """Return a memory of what a function makes of each of its tensors."""
    extra = {name: function(tensor) for name, tensor in memory.extra.items()}
    return Memory(function(memory.entries), _if_any(function, memory.mask), extra)


class _Memories:
    """The memory of the sentences that are still going on, for each step."""

    def __init__(self, memory: Memory) -> None:
        self.entries, self.mask, self.mean = shared(memory.entries), memory.mask, shared_mean(memory.entries)
        self.extra = {name: shared(tensor) for name, tensor in memory.extra.items() if name == KEYS}

    def __call__(self, count: int) -> Memory:
        mask = None if self.mask is None else self.mask[:count]
        return Memory(self.entries(count), mask, {name: tensor(count) for name, tensor in self.extra.items()})


def _shortened(state: State, row: Tensor) -> State:
    """Return the state of the sentences that are still going on."""
    count = row.shape[0]
    if all(count == tensor.shape[0] for tensor in state.values()):
        return state
    return {name: tensor[:count] for name, tensor in state.items()}


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
