"""Show, Attend and Tell: for each word an LSTM looks at the places of a picture, softly or at one of them.

Paper   Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel, Bengio. Show, Attend and Tell: Neural Image
        Caption Generation with Visual Attention. ICML 2015. arXiv:1502.03044.
Shapes  features (B, N, D) or pictures (B, 3, H, W), words (B, T) -> logits (B, T, V), weights (B, T, N)
Cost    parameters of the published decoders: 35,333,450 with form="authors", V = 10,000, channels=512,
        embedding=512, state=1800; 34,808,138 with attention_layers=1, start_layers=1; 20,483,859 with
        form="tutorial", V = 9,490, channels=2048.
Differs none with form="authors" from the authors' code for COCO, on captions of one length, as its batches
        are: there the steps behind a caption's end count for the doubly stochastic term and for the reward,
        here they do not. None with form="tutorial" from sgrvinod's tutorial. Fresh weights are PyTorch's.
        form="paper", the default, is what the paper prints: f_init is one layer with tanh, attention that of
        Bahdanau et al.; the words' embedding has dropout too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.calls import parse_call, printed
from foveate.errors import OptionError
from foveate.mechanisms.base import Read, mechanisms, options_of
from foveate.mechanisms.reading.doubly_stochastic import doubly_stochastic
from foveate.mechanisms.reading.hard_read import HardRead
from foveate.models.captioning.forms import CaptionReadout, DeepStart
from foveate.models.captioning.places import Places, expect_numbers
from foveate.models.captioning.published_read import PublishedRead
from foveate.models.captioning.show_attend_tell_names import of_authors, of_tutorial
from foveate.models.decoders.attention_decoder import AttentionDecoder
from foveate.models.decoders.attention_model import AttentionModel
from foveate.models.decoders.readouts import Readout, StateReadout
from foveate.models.decoders.word_model import Decoded, Memory, real_words
from foveate.models.encoders.last_map import NOTHING
from foveate.models.names import models
from foveate.options import between, checked, one_of, whole

FORMS = ("paper", "authors", "tutorial")
_GATES = {"paper": "scalar", "authors": "scalar", "tutorial": "vector"}
_CHOICE = "decoder.reader.choice."  # which no published file has: a baseline, a temperature
_NORMALISED = {"paper": "paper", "authors": "released", "tutorial": "tutorial"}


@models.register("show_attend_tell")
class ShowAttendTell(AttentionModel):
    """A captioner that attends to a picture's places.

    Args:
        classes: V, how many words the vocabulary has.
        channels: D of features; with an encoder, its own. Paper: 512, tutorial: 2048.
        form: "paper", "authors" or "tutorial"; see the header.
        attention: A read of the catalogue, with options: "additive(hidden=256)", "scaled_dot", "sentinel".
            "none" reads the mean.
        choice: "soft"; or how one place is chosen, with options: "reinforce", "gumbel"; see ``Reader``.
            The authors' rule is "reinforce(kind=released, coin=batch)", with choose=expectation for how their
            code writes captions.
        gate: The gate beta on what was read: "none", "scalar" or "vector"; None takes the form's: a scalar,
            for the tutorial a vector. Reads without the option ``context_gate`` have none.
        embedding: m of words. Authors, for COCO: 512.
        state: Of the LSTM. Authors, for COCO: 1800; tutorial: 512.
        attention_layers: Layers of a place's key, for form="authors" with attention="additive"; None takes 2.
        start_layers: Layers of the first state, for form="authors"; None takes 2.
        output_layers: Layers behind the readout, for form="authors"; None takes 1.
        projection: Width to which features are brought first by a linear layer with relu and dropout; None
            leaves them. Not in the paper; for small data.
        tied: Whether the words' embedding is the layer over the vocabulary too; not in the paper.
        dropout: Probability, in [0, 1). Paper: 0.5.
        doubly_stochastic: Weight of the term that asks for all places to be looked at. Paper: 1. It counts
            for soft attention alone: what REINFORCE draws has no slope.
        normalised: How that term is averaged, "paper", "released" or "tutorial"; None takes the form's. See
            ``doubly_stochastic``.
        target: What the weights of a place should sum to: 1, or "length", words over places, which can be.
        encoder: None for features; for pictures the name of a classifier, such as ``timm/resnet50``.
        pretrained_encoder: Fetch its published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern such as ``layer[234]``, the
            tutorial's.
        places: Rows and columns to which the encoder's map is pooled; None leaves it. Tutorial: 14.
        pad: Number of the word that fills a batch up. Authors: 0.
        start: Number of the word that begins a sentence; None, as the authors have it, feeds a zero vector.
        end: Number of the word that ends one. Authors: 0.

    Raises:
        UnknownNameError: There is no such encoder or attention.
        OptionError: An option is unknown or out of range, or two do not go together.

    Example:
        >>> import torch
        >>> model = ShowAttendTell(classes=20, channels=32, embedding=16, state=24)
        >>> targets = torch.tensor([[5, 6, 3, 0], [7, 8, 9, 3]])
        >>> decoded = model(torch.rand(2, 49, 32), model.shifted(targets))
        >>> decoded.logits.shape, decoded.weights.shape, model.loss(decoded, targets).shape
        (torch.Size([2, 4, 20]), torch.Size([2, 4, 49]), torch.Size([]))
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int = 512,
        form: str = "paper",
        attention: str = "additive",
        choice: str = "soft",
        gate: str | None = None,
        embedding: int = 512,
        state: int = 512,
        attention_layers: int | None = None,
        start_layers: int | None = None,
        output_layers: int | None = None,
        projection: int | None = None,
        tied: bool = False,
        dropout: float = 0.5,
        doubly_stochastic: float = 1.0,
        normalised: str | None = None,
        target: float | str = 1.0,
        encoder: str | None = None,
        pretrained_encoder: bool = False,
        trainable: str = NOTHING,
        places: int | None = None,
        pad: int = 0,
        start: int | None = 2,
        end: int = 3,
    ) -> None:
        one_of("form", form, FORMS)
        expect_numbers(classes, pad, start, end)
        between("dropout", dropout, 0, 0.999)
        seen = Places(
            channels, encoder=encoder, pretrained=pretrained_encoder, trainable=trainable, places=places
        )
        width = seen.channels if projection is None else whole("projection", projection)
        layers = {"attention_layers": attention_layers, "start_layers": start_layers}
        _expect_authors(form, attention, {**layers, "output_layers": output_layers})
        read = _read(attention, form, width, state, gate, attention_layers or 2)
        readout: Readout
        first: str | nn.Module
        if form == "tutorial":
            readout, first = StateReadout(state, dropout=dropout), "linears"
        else:
            authors = form == "authors"
            readout = CaptionReadout(
                state,
                embedding,
                width,
                tanh=authors,
                layers=output_layers or 1,
                dropout=dropout,
            )
            first = DeepStart(width, state, start_layers or 2, dropout) if authors else "bridges"
        decoder = AttentionDecoder(
            classes,
            memory=width,
            embedding=embedding,
            state=state,
            cell="lstm",
            attention=read,
            choice=choice,
            reads="before",
            readout=readout,
            start=first,
            tied=tied,
            biases="both" if form == "tutorial" else "input",
            dropout=dropout if form == "paper" else 0.0,
            pad=None if pad == end or tied else pad,
        )
        super().__init__(decoder, pad=pad, start=start, end=end)
        self.encoder, self.form, self.dropout = seen, form, dropout
        self.projection = None if projection is None else nn.Linear(seen.channels, width)
        self.drop = nn.Dropout(dropout)
        self.doubly_stochastic = between("doubly_stochastic", doubly_stochastic, 0)
        self.normalised, self.target = normalised or _NORMALISED[form], target
        one_of("normalised", self.normalised, _NORMALISED.values())
        if isinstance(target, str):
            one_of("target", target, ("length",))
        else:
            between("target", target, 0)

    def encode(self, *inputs: Tensor) -> Memory:
        """Return the places of features or pictures, and their mean."""
        entries = self.encoder(inputs[0])
        if self.projection is not None:
            entries = self.drop(self.projection(entries).relu())
        return self.decoder.prepare(Memory(entries, None, {"summary": entries.mean(dim=1)}))

    def loss(
        self, decoded: Decoded, targets: Int64[Tensor, "b t"], *, label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """Return the mean over the words of -log p, and the doubly stochastic term.

        The paper's and the authors' term belong to a sum over words, averaged over captions. They are divided
        by the mean number of words here, as that sum is; the tutorial's is added as it is.
        """
        loss = super().loss(decoded, targets, label_smoothing=label_smoothing)
        if not self.doubly_stochastic or self.decoder.reader.rewarded or self._draws:
            return loss
        there = real_words(targets, self.pad, self.end)
        places = decoded.weights[:, :, : decoded.weights.shape[2] - self._slots]
        term = doubly_stochastic(places, self.normalised, there, target=self.target)
        words = 1.0 if self.normalised == "tutorial" else there.sum().clamp_min(1) / len(targets)
        return loss + self.doubly_stochastic * term / words

    @property
    def _draws(self) -> bool:
        return isinstance(self.decoder.reader.read, HardRead)

    @property
    def _slots(self) -> int:
        """How many of the weights are not of places: one with a sentinel."""
        return int(hasattr(self.decoder.reader.read, "sentinel"))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of the authors or the tutorial under our names; how to choose is left as it is."""
        own = self.state_dict()
        theirs = "Wemb" in state or "decoder_Wc_att" in state
        found = of_authors(state, 0.5 if self.dropout else 1.0) if theirs else of_tutorial(state, own)
        return {**{name: own[name] for name in own if name.startswith(_CHOICE)}, **found}


def _expect_authors(form: str, attention: str, layers: Mapping[str, int | None]) -> None:
    """Check that numbers of layers are given for the authors' networks alone."""
    for name, number in layers.items():
        if number is None:
            continue
        whole(name, number)
        own = name != "attention_layers" or parse_call(attention)[0] == "additive"
        if form != "authors" or not own:
            raise OptionError(
                f"{name}: got {number} with form={form!r}, attention={attention!r}, expected form='authors'"
                + " and attention='additive'" * (not own)
                + ", which have such layers."
            )


def _read(attention: str, form: str, channels: int, state: int, gate: str | None, layers: int) -> str | Read:
    """Return what reads: the form's own network where additive attention is meant, else one by name."""
    one_of("gate", gate or _GATES[form], ("none", "scalar", "vector"))
    name, options = parse_call(attention)
    if name == "additive" and form != "paper":
        own: dict[str, Any] = checked("additive", _published, options)
        return _published(channels, state, form, gate or _GATES[form], layers, **own)
    takes = name in mechanisms and "context_gate" in options_of(mechanisms[name])
    if takes and "context_gate" not in options:
        options["context_gate"] = gate or _GATES[form]
    elif gate not in (None, "none"):
        raise OptionError(
            f"gate: got {gate!r} with attention={attention!r}, which has no gate or its own. Leave it out."
        )
    inner = ", ".join(f"{option}={printed(value)}" for option, value in options.items())
    return f"{name}({inner})" if inner else name


def _published(
    channels: int, state: int, form: str, context_gate: str, layers: int, *, hidden: int | None = None
) -> PublishedRead:
    default = channels if form == "authors" else 512
    return PublishedRead(
        channels,
        query=state,
        hidden=default if hidden is None else hidden,
        layers=layers if form == "authors" else 1,
        relu=form == "tutorial",
        context_gate=context_gate,
    )
