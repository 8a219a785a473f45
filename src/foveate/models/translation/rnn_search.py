"""RNNsearch, the translator that attention was made for: each word is written after a look at the source.

Paper   Bahdanau, Cho, Bengio. Neural Machine Translation by Jointly Learning to Align and Translate. ICLR
        2015. arXiv:1409.0473, appendix A.
Shapes  source words (B, S), target words (B, T) -> logits (B, T, V), weights (B, T, S).
Cost    with 30,000 words 80,401,000 weights; with biases 80,443,000 parameters. form="conditional":
        79,945,520.
Differs none with form="paper". form="conditional" is the network of the dl4mt tutorial, from which most later
        code descends: two cells with the look between them, PyTorch's order of reset gate and matrix, a tanh
        for the maxout, and the mean of all entries for the first state. Its bias c_tt, one number that is
        added to all scores alike, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from foveate.models.decoders.attention_decoder import AttentionDecoder
from foveate.models.names import models
from foveate.models.translation.dl4mt_names import from_dl4mt, is_dl4mt
from foveate.models.translation.sentence_encoder import SentenceEncoder
from foveate.models.translation.translator import SentenceTranslator
from foveate.options import one_of

_FORMS = ("paper", "conditional")


@models.register("rnn_search")
class RNNSearch(SentenceTranslator):
    """The first attentional translator.

    Args:
        classes: V, how many words the target vocabulary has. Paper: 30,000.
        source_words: How many the source vocabulary has; None for V.
        form: "paper", or "conditional" for dl4mt's network.
        embedding: m of the words. Paper: 620, dl4mt: 512; None for that.
        state: n of all states. Paper: 1000, dl4mt: 1024; None for that.
        attention: What reads, with options; None for the paper's additive scores, of width n, dl4mt's of
            width 2n.
        choice: "soft", or how one place is chosen; see ``Reader``.
        readout_width: l of the readout. Paper: 500, dl4mt: m; None for that.
        dropout: Share of words and readout that training drops. Paper: 0.
        pad: Number of the word that fills a batch up.
        start: Number of the word that begins a sentence; None for a zero vector in its place.
        end: Number of the word that ends one; source sentences end with it too.

    Raises:
        OptionError: ``form`` is unknown, or an option is out of range.

    Example:
        >>> import torch
        >>> model = RNNSearch(classes=40, embedding=8, state=6, readout_width=5)
        >>> source, target = torch.tensor([[5, 9, 7, 3]]), torch.tensor([[6, 8, 3]])
        >>> model(source, model.shifted(target)).logits.shape
        torch.Size([1, 3, 40])
    """

    def __init__(
        self,
        *,
        classes: int,
        source_words: int | None = None,
        form: str = "paper",
        embedding: int | None = None,
        state: int | None = None,
        attention: str | None = None,
        choice: str = "soft",
        readout_width: int | None = None,
        dropout: float = 0.0,
        pad: int = 0,
        start: int | None = 2,
        end: int = 3,
    ) -> None:
        one_of("form", form, _FORMS)
        paper = form == "paper"
        embedding = (620 if paper else 512) if embedding is None else embedding
        state = (1000 if paper else 1024) if state is None else state
        hidden = state if paper else 2 * state
        encoder = SentenceEncoder(
            classes if source_words is None else source_words,
            embedding=embedding,
            state=state,
            cell="cho_gru" if paper else "gru",
            summary="backward" if paper else "mean",
            biases="input",
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
            cell="cho_gru" if paper else "gru",
            attention=f"additive(hidden={hidden})" if attention is None else attention,
            choice=choice,
            reads="before" if paper else "between",
            readout="maxout" if paper else "deep",
            readout_width=(500 if paper else None) if readout_width is None else readout_width,
            readout_before=paper,
            tied=False,
            biases="input",
            dropout=dropout,
            pad=None if pad == end else pad,
        )
        super().__init__(encoder, decoder, pad=pad, start=start, end=end)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return dl4mt's arrays under our names."""
        return from_dl4mt(state) if is_dl4mt(state) else dict(state)
