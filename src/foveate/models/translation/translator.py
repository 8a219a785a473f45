"""A translator whose parts are independent options: what reads, what is chosen, when, and the readout.

Paper   Bahdanau, Cho, Bengio. Neural Machine Translation by Jointly Learning to Align and Translate. ICLR
        2015. arXiv:1409.0473; by default in the form of the conditional GRU of dl4mt (Sennrich et al.
        Nematus. EACL 2017. arXiv:1703.04357, section 2).
Shapes  source words (B, S), target words (B, T) -> logits (B, T, V), weights (B, T, S).
Cost    with vocabularies of 8,000 words 8,768,576 parameters.
Differs sizes are those of small data sets, words of the target are tied to the layer over the vocabulary,
        and the readout has their width.
"""

from __future__ import annotations

from torch import Tensor

from foveate.errors import ShapeError
from foveate.mechanisms.kernels.eager_cpu import traced
from foveate.models.decoders.attention_decoder import AttentionDecoder
from foveate.models.decoders.attention_model import AttentionModel
from foveate.models.decoders.word_model import Memory
from foveate.models.names import models
from foveate.models.translation.sentence_encoder import SentenceEncoder


class SentenceTranslator(AttentionModel):
    """A sentence encoder and an attention decoder.

    Args:
        encoder: Reads the source.
        decoder: Writes the target.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None if a zero vector stands there.
        end: Number of the word that ends one; source sentences end with it too.
    """

    def __init__(
        self, encoder: SentenceEncoder, decoder: AttentionDecoder, *, pad: int, start: int | None, end: int
    ) -> None:
        super().__init__(decoder, pad=pad, start=start, end=end)
        self.encoder = encoder

    def encode(self, *inputs: Tensor) -> Memory:
        """Return the memory of source sentences: words (B, S), padded at the end."""
        (words,) = inputs
        if words.ndim != 2 or words.is_floating_point():
            raise ShapeError(
                f"{type(self).__name__}: got {tuple(words.shape)} of {words.dtype}, expected numbers of "
                f"words (B, S), padded at the end with {self.pad}."
            )
        known = self.encoder.words.num_embeddings
        if not (traced(words) or words.is_meta) and words.numel() and int(words.max()) >= known:
            raise ShapeError(
                f"{type(self).__name__}: got the word {int(words.max())}, expected numbers below {known}, "
                f"the size of the source vocabulary. Build it with source_words={int(words.max()) + 1}."
            )
        return self.decoder.prepare(self.encoder(words))


@models.register("translator")
class Translator(SentenceTranslator):
    """A recurrent translator of sizes for tens of thousands of sentences.

    Args:
        classes: V, how many words the target vocabulary has.
        source_words: How many the source vocabulary has; None for V.
        embedding: m of the words.
        encoder_state: n of each direction of the encoder; entries have twice that.
        state: n of the decoder's state.
        cell: "gru", "lstm" or "cho_gru", of both; see ``Cell``.
        encoder_layers: How many recurrent layers read.
        layers: How many write.
        attention: A read of the catalogue, with options: ``"additive"``, ``"local_p(window=5)"``; ``"none"``
            for the mean of the entries at every step, ``"none(of=last)"`` for the last one.
        choice: ``"soft"``, or how one place is chosen, with options: ``"reinforce"``, ``"gumbel"``,
            ``"marginal(places=5)"``, ``"monotonic"``; see ``Reader``.
        reads: When the decoder reads: "before", "after" or "between" two cells; see ``AttentionDecoder``.
        feeding: Whether the attention vector is fed to the next step.
        readout: "deep", "deep_add", "maxout", "vector" or "state"; see ``readouts``.
        readout_width: Of its features; None for m, of the last two for the state's.
        summary: What the first state is computed from: "mean", "last" or "backward"; see ``SentenceEncoder``.
        start_state: How; see ``StartState``.
        tied: Whether the target's words are the vocabulary's layer too; None where the widths allow it.
        output_bias: Whether that layer has a bias.
        dropout: Share of words, readout and between layers that training drops.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None for a zero vector in its place.
        end: Number of the word that ends one; source sentences end with it too.

    Raises:
        UnknownNameError: There is no such attention.
        OptionError: An option is unknown or out of range, or two do not go together.

    Example:
        >>> import torch
        >>> model = Translator(classes=40, attention="general", embedding=8, encoder_state=8, state=8)
        >>> source, target = torch.tensor([[5, 9, 7, 3]]), torch.tensor([[6, 8, 3]])
        >>> model(source, model.shifted(target)).logits.shape
        torch.Size([1, 3, 40])
    """

    def __init__(
        self,
        *,
        classes: int,
        source_words: int | None = None,
        embedding: int = 256,
        encoder_state: int = 256,
        state: int = 512,
        cell: str = "gru",
        encoder_layers: int = 1,
        layers: int = 1,
        attention: str | None = "additive",
        choice: str = "soft",
        reads: str | None = None,
        feeding: bool = False,
        readout: str = "deep",
        readout_width: int | None = None,
        summary: str = "mean",
        start_state: str = "bridge",
        tied: bool | None = None,
        output_bias: bool = True,
        dropout: float = 0.3,
        pad: int = 0,
        start: int | None = 2,
        end: int = 3,
    ) -> None:
        encoder = SentenceEncoder(
            classes if source_words is None else source_words,
            embedding=embedding,
            state=encoder_state,
            cell=cell,
            layers=encoder_layers,
            summary=summary,
            dropout=dropout,
            pad=pad,
            end=end,
        )
        decoder = AttentionDecoder(
            classes,
            memory=encoder.channels,
            summary=encoder.summary_width,
            embedding=embedding,
            state=state,
            cell=cell,
            layers=layers,
            attention=attention,
            choice=choice,
            reads=reads,
            feeding=feeding,
            readout=readout,
            readout_width=readout_width,
            start=start_state,
            tied=tied,
            output_bias=output_bias,
            dropout=dropout,
            pad=None if pad == end else pad,
        )
        super().__init__(encoder, decoder, pad=pad, start=start, end=end)
