"""The translator of Luong et al.: the decoder looks at the source after each step, and says so to the next.

Paper   Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015.
        arXiv:1508.04025.
Shapes  source words (B, S), target words (B, T) -> logits (B, T, V), weights (B, T, S).
Cost    with 50,000 words and attention="dot" 213,066,000 parameters.
Differs the encoder has both directions, of half the width, as in the re-implementations that came after; the
        first state is computed from its last ones. The paper's encoder has one direction and hands its own
        states over.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from foveate.models.decoders.attention_decoder import AttentionDecoder
from foveate.models.names import models
from foveate.models.translation.joeynmt_names import from_joeynmt, is_joeynmt
from foveate.models.translation.sentence_encoder import SentenceEncoder
from foveate.models.translation.translator import SentenceTranslator


@models.register("luong_translator")
class LuongTranslator(SentenceTranslator):
    """A stack of recurrent layers, global or local attention after it, and input feeding.

    Args:
        classes: V, how many words the target vocabulary has. Paper: 50,000.
        source_words: How many the source vocabulary has; None for V.
        attention: "dot", "general", "concat", "location", "local_p" or any other read, with options.
        choice: "soft", or how one place is chosen; see ``Reader``.
        feeding: Whether the attention vector is fed to the next step.
        embedding: m of the words. Paper: 1000.
        encoder_state: n of each direction of the encoder; None for half of ``state``.
        state: n of the decoder's state. Paper: 1000.
        cell: "lstm" or "gru".
        layers: How many recurrent layers, of both. Paper: 4.
        start_state: How the first state is computed; see ``StartState``.
        output_bias: Whether the layer over the vocabulary has a bias.
        dropout: Share of words, of what the attention vector is made from, and between layers that training
            drops. Paper: 0.2.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None for a zero vector in its place.
        end: Number of the word that ends one; source sentences end with it too.

    Raises:
        OptionError: An option is unknown or out of range, or two do not go together.

    Example:
        >>> import torch
        >>> model = LuongTranslator(classes=40, embedding=8, state=6, layers=2, attention="local_p")
        >>> source, target = torch.tensor([[5, 9, 7, 3]]), torch.tensor([[6, 8, 3]])
        >>> model(source, model.shifted(target)).logits.shape
        torch.Size([1, 3, 40])
    """

    def __init__(
        self,
        *,
        classes: int,
        source_words: int | None = None,
        attention: str = "general",
        choice: str = "soft",
        feeding: bool = True,
        embedding: int = 1000,
        encoder_state: int | None = None,
        state: int = 1000,
        cell: str = "lstm",
        layers: int = 4,
        start_state: str = "bridge",
        output_bias: bool = False,
        dropout: float = 0.2,
        pad: int = 0,
        start: int | None = 2,
        end: int = 3,
    ) -> None:
        encoder = SentenceEncoder(
            classes if source_words is None else source_words,
            embedding=embedding,
            state=max(1, state // 2) if encoder_state is None else encoder_state,
            cell=cell,
            layers=layers,
            summary="last",
            dropout=dropout,
            pad=pad,
            end=end,
        )
        decoder = AttentionDecoder(
            classes,
            memory=encoder.channels,
            embedding=embedding,
            state=state,
            cell=cell,
            layers=layers,
            attention=attention,
            choice=choice,
            reads="after",
            feeding=feeding,
            readout="vector",
            start=start_state,
            tied=False,
            output_bias=output_bias,
            dropout=dropout,
            pad=None if pad == end else pad,
        )
        super().__init__(encoder, decoder, pad=pad, start=start, end=end)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return Joey NMT's weights under our names."""
        return from_joeynmt(state) if is_joeynmt(state) else dict(state)
