"""Show, Ask, Attend, and Answer: two glimpses at a picture, steered by an LSTM's memory of the question.

Formula x_j = relu(V v_j + Q q), a_g = softmax_j(w_g . x_j + b_g); answer from [sum_j a_1j v_j, ..., q]
Paper   Kazemi, Elqursh. Show, Ask, Attend, and Answer: A Strong Baseline For Visual Question Answering. 2017.
        arXiv:1704.03162.
Shapes  features (B, N, D) or pictures (B, 3, H, W), words (B, T) -> logits (B, K); weights (B, G, N), rows
        sum to 1
Cost    parameters with m = embedding, n = state, h = hidden, c = classifier: m*words + 4n*(m + n + 2)
        + h*(D + n + 1) + G*(h + 1) + c*(G*D + n + 1) + K*(c + 1); 19,882,502 for 15,193 words, 3,000 answers.
Differs none from the public PyTorch version (Cyanogenoid's pytorch-vqa), whose checkpoints load: features are
        brought to length 1 at each place, and the question is the final cell state, not the output. Its word
        0 is padding and unknown at once; lengths tell the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.precision import exact_linear
from foveate.models.captioning.places import Places
from foveate.models.encoders.last_map import NOTHING
from foveate.models.names import models
from foveate.models.question.last_state import last_state
from foveate.models.question.question_model import PAD, Answered, QuestionModel, word_lengths
from foveate.models.weight_names import renamed
from foveate.options import between, whole

_EPSILON = 1e-8
_PUBLISHED = [
    (r"^text\.embedding\.", "words."),
    (r"^text\.lstm\.", "recurrent."),
    (r"^attention\.v_conv\.", "of_place."),
    (r"^attention\.q_lin\.", "of_question."),
    (r"^attention\.x_conv\.", "energy."),
    (r"^classifier\.lin1\.", "hidden."),
    (r"^classifier\.lin2\.", "logits."),
]


@models.register("show_ask_attend_answer")
class ShowAskAttendAnswer(QuestionModel):
    """A strong baseline for questions about pictures.

    Args:
        classes: K, how many answers there are. Paper: 3,000.
        words: How many words questions have, padding (0) included. Published version: 15,193.
        channels: D of features; with an encoder, its own. Paper: 2048, of ResNet-152.
        embedding: m of the words. Paper: 300.
        state: n of the LSTM. Paper: 1024.
        attention: h of the network that scores places. Paper: 512.
        glimpses: G, at how many weighted means of the picture it looks. Paper: 2.
        hidden: c, width of the layer before the answers. Paper: 1024.
        dropout: Probability, in [0, 1). Paper: 0.5.
        encoder: None for features; for pictures the name of a classifier, such as ``timm/resnet50``.
        pretrained_encoder: Fetch its published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern such as ``layer[234]``.
        places: Rows and columns to which the encoder's map is pooled; None leaves it.

    Raises:
        UnknownNameError: There is no such encoder.
        OptionError: An option is out of range.

    Example:
        >>> import torch
        >>> model = ShowAskAttendAnswer(classes=5, words=20, channels=32)
        >>> model(torch.rand(2, 49, 32), torch.tensor([[4, 7, 9], [5, 0, 0]])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        *,
        classes: int,
        words: int = 15_193,
        channels: int = 2048,
        embedding: int = 300,
        state: int = 1024,
        attention: int = 512,
        glimpses: int = 2,
        hidden: int = 1024,
        dropout: float = 0.5,
        encoder: str | None = None,
        pretrained_encoder: bool = False,
        trainable: str = NOTHING,
        places: int | None = None,
    ) -> None:
        super().__init__(classes)
        self.encoder = Places(
            channels, encoder=encoder, pretrained=pretrained_encoder, trainable=trainable, places=places
        )
        d, g = self.encoder.channels, whole("glimpses", glimpses)
        self.looks = tuple(f"glimpse {number + 1}" for number in range(g))
        self.drop = nn.Dropout(between("dropout", dropout, 0, 0.999))
        self.words = nn.Embedding(whole("words", words, 2), whole("embedding", embedding), padding_idx=PAD)
        self.recurrent = nn.LSTM(embedding, whole("state", state), batch_first=True)
        self.of_place = nn.Linear(d, whole("attention", attention), bias=False)
        self.of_question = nn.Linear(state, attention)
        self.energy = nn.Linear(attention, g)
        self.map = MapTap("b t m", sums="m")
        self.hidden = nn.Linear(g * d + state, whole("hidden", hidden))
        self.logits = nn.Linear(hidden, self.classes)
        self._draw()

    def answer(
        self, pictures: Tensor, goal: Int64[Tensor, "b t"], lengths: Int64[Tensor, " b"] | None = None
    ) -> Answered:
        """Return logits, and the weights of the glimpses."""
        places = self.encoder(pictures)
        places = places / (places.norm(dim=2, keepdim=True) + _EPSILON)
        question = self._question(goal, word_lengths(goal) if lengths is None else lengths)
        keys = exact_linear(self.of_place, self.drop(places))
        asked = exact_linear(self.of_question, self.drop(question)).unsqueeze(1)
        energies = exact_linear(self.energy, self.drop((keys + asked).relu()))
        weights = self.map(energies.transpose(1, 2).softmax(dim=2)).to(places.dtype)
        seen = (weights @ places).flatten(1)
        hidden = self.hidden(self.drop(torch.cat([seen, question], dim=1))).relu()
        return Answered(self.logits(self.drop(hidden)), weights)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of pytorch-vqa under our names; 1 x 1 convolutions are linear layers here."""
        found = renamed(state, _PUBLISHED, self.state_dict())
        return {name: value.flatten(1) if value.ndim == 4 else value for name, value in found.items()}

    def _question(self, words: Tensor, lengths: Tensor) -> Float[Tensor, "b n"]:
        given = self.drop(self.words(words)).tanh()
        return last_state(self.recurrent, given, lengths)[1]

    def _draw(self) -> None:
        """Draw fresh weights as the public version does: Xavier's, gate by gate; biases 0."""
        for layer in (self.of_place, self.of_question, self.energy, self.hidden, self.logits):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.words.weight)  # the row of padding too, which gets no gradient
        for name, weight in self.recurrent.named_parameters():
            for gate in weight.data.chunk(4):
                nn.init.zeros_(gate) if name.startswith("bias") else nn.init.xavier_uniform_(gate)
