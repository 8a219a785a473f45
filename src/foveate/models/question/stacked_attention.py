"""Stacked attention networks: a question looks at the places of a picture several times, each time refined.

Formula v~ = tanh(W v + b), u_0 = q; hop k: h_j = tanh(A v~_j + a) + tanh(Q u_k-1 + b), p = softmax_j(tanh(
        w . h_j + c)), u_k = sum_j p_j v~_j + u_k-1; the answer is a linear layer of u_K
Paper   Yang, He, Gao, Deng, Smola. Stacked Attention Networks for Image Question Answering. CVPR 2016.
        arXiv:1511.02274, sections 3.2 and 3.3, in the authors' code.
Shapes  features (B, N, D) or pictures (B, 3, H, W), words (B, T) -> logits (B, K); weights (B, hops, N),
        rows sum to 1
Cost    parameters with V = words - 1, m = embedding, d = width, a = attention: V*m + d*(D + 1) + hops*(2*a*(
        d + 1) + a + 1) + K*(d + 1); of the question 4d*(m + d + 1) with question="lstm", sum_n f_n*(n*m + 1)
        with "conv": 16,769,938 and 12,844,434 for 13,747 words, 1,000 answers, 2 hops.
Differs none from the authors' code with released=True. Its score has a tanh of its own, so that no place gets
        more than e^2 = 7.4 times another's weight; released=False, the default, leaves it out, as the paper
        has it, and hides windows of padding alone from question="conv", which else could win the maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import exact_linear
from foveate.models.captioning.places import Places
from foveate.models.encoders.last_map import NOTHING
from foveate.models.names import models
from foveate.models.question.question_model import Answered, QuestionModel, word_lengths
from foveate.models.question.stacked_attention_names import of_authors
from foveate.models.question.stacked_questions import ConvolvedQuestion, RecurrentQuestion
from foveate.options import between, one_of, whole

QUESTIONS = ("lstm", "conv")
WIDTH = 1024  # of the authors' LSTM


@models.register("stacked_attention")
class StackedAttention(QuestionModel):
    """Questions about pictures, answered after several looks.

    Args:
        classes: K, how many answers there are. Paper: 1,000.
        words: How many words questions have, padding (0) included. Authors: 13,747.
        channels: D of features; with an encoder, its own. Paper: 512, of VGG's last map.
        question: "lstm", which reads from the last word to the first, or "conv", windows of one to three
            words.
        embedding: m of the words. Paper: 500.
        width: d of question and places with "lstm". Authors: 1024.
        filters: How many windows of 1, 2, ... words with "conv"; d is their sum. Paper: (256, 512, 512).
        attention: Of the network that scores places. Paper: 512.
        hops: How often it looks. Paper: 2.
        dropout: Probability before the answers, in [0, 1). Paper: 0.5.
        released: Whether all is as in the authors' code; see the header.
        encoder: None for features; for pictures the name of a classifier, such as ``vgg16``.
        pretrained_encoder: Fetch its published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern such as ``layer[234]``.
        places: Rows and columns to which the encoder's map is pooled; None leaves it. Paper: 14.

    Raises:
        UnknownNameError: There is no such encoder.
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> model = StackedAttention(classes=5, words=20, channels=32, question="conv")
        >>> model(torch.rand(2, 49, 32), torch.tensor([[4, 7, 9], [5, 0, 0]])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        *,
        classes: int,
        words: int = 13_747,
        channels: int = 512,
        question: str = "lstm",
        embedding: int = 500,
        width: int = WIDTH,
        filters: Sequence[int] = (256, 512, 512),
        attention: int = 512,
        hops: int = 2,
        dropout: float = 0.5,
        released: bool = False,
        encoder: str | None = None,
        pretrained_encoder: bool = False,
        trainable: str = NOTHING,
        places: int | None = None,
    ) -> None:
        super().__init__(classes)
        one_of("question", question, QUESTIONS)
        self.encoder = Places(
            channels, encoder=encoder, pretrained=pretrained_encoder, trainable=trainable, places=places
        )
        self.released, whole_words = released, whole("words", words, 2)
        self.question: ConvolvedQuestion | RecurrentQuestion
        if question == "lstm":
            self.question = RecurrentQuestion(whole_words, embedding, whole("width", width))
        else:
            sizes = tuple(whole("filters", size) for size in filters)
            self.question = ConvolvedQuestion(whole_words, embedding, sizes, hides=not released)
        d, self.looks = self.question.channels, tuple(f"hop {k + 1}" for k in range(whole("hops", hops)))
        self.places = nn.Linear(self.encoder.channels, d)
        self.hops = nn.ModuleList(
            Hop(d, whole("attention", attention), bounded=released) for _ in range(hops)
        )
        self.drop = nn.Dropout(between("dropout", dropout, 0, 0.999))
        self.logits = nn.Linear(d, self.classes)
        for name, parameter in self.named_parameters():
            if not name.startswith("encoder."):
                self._draw(name, parameter)

    def answer(
        self, pictures: Tensor, goal: Int64[Tensor, "b t"], lengths: Int64[Tensor, " b"] | None = None
    ) -> Answered:
        """Return logits, and the weights of each hop."""
        places = self.places(self.encoder(pictures)).tanh()
        asked = self.question(goal, word_lengths(goal) if lengths is None else lengths)
        looks = []
        for hop in self.hops:
            asked, weights = hop(asked, places)
            looks.append(weights)
        return Answered(self.logits(self.drop(asked)), torch.stack(looks, dim=1))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the authors' arrays under our names."""
        return of_authors(state)

    def _draw(self, name: str, parameter: Tensor) -> None:
        """Draw fresh weights as the authors do, but layers by their widths, so that small ones learn."""
        if parameter.ndim < 2:
            if "recurrent" not in name:
                nn.init.zeros_(parameter)
        elif name == "question.words.weight":
            nn.init.uniform_(parameter, -0.5, 0.5)
        else:
            nn.init.xavier_uniform_(parameter)


class Hop(nn.Module):
    """One look.

    Args:
        channels: d of question and places.
        hidden: Of the network that scores places.
        bounded: Whether scores pass through a tanh.
    """

    def __init__(self, channels: int, hidden: int, *, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded
        self.of_place = nn.Linear(channels, hidden)
        self.of_question = nn.Linear(channels, hidden)
        self.energy = nn.Linear(hidden, 1)
        self.map = MapTap("b m", sums="m")

    def forward(
        self, asked: Float[Tensor, "b d"], places: Float[Tensor, "b n d"]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b n"]]:
        """Return the refined question and the weights."""
        keys = exact_linear(self.of_place, places).tanh()
        query = exact_linear(self.of_question, asked).tanh()
        scores = exact_linear(self.energy, keys + query.unsqueeze(1)).squeeze(2)
        weights = self.map((scores.tanh() if self.bounded else scores).softmax(dim=1)).to(places.dtype)
        return (weights.unsqueeze(1) @ places).squeeze(1) + asked, weights
