"""Top-down classifier: a goal decides where to look, and what is seen there decides the class.

Formula q = encode(goal), u_0 = q; hop k: query g = A_g u_k-1, a_gj = softmax_j(similarity(query g, v_j)), c_g
        = sum_j a_gj v_j, u_k = u_k-1 + P [c_1, ..., c_G]; the class from fuse([c_1, ..., c_G], u_K-1)
Paper   the general form of Yang et al., CVPR 2016 (arXiv:1511.02274, hops) and of Kazemi, Elqursh, 2017
        (arXiv:1704.03162, glimpses), with any similarity of the catalogue.
Shapes  features (B, N, D) or pictures (B, 3, H, W); goal int64 (B, T), (B,) or float (B, G) -> logits (B, K);
        weights (B, hops * glimpses, N), rows sum to 1
Cost    the encoder's, of each hop the read's, and small linear layers; see ``fv.cost``.
Differs of the two papers: one linear layer makes the query of each glimpse; the read may be any.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.errors import OptionError
from foveate.models.captioning.places import Places
from foveate.models.decoders.reader import Reader
from foveate.models.decoders.word_model import Memory
from foveate.models.encoders.last_map import EVERYTHING, NOTHING
from foveate.models.names import models
from foveate.models.question.goal_encoder import GoalEncoder
from foveate.models.question.question_model import Answered, QuestionModel
from foveate.options import between, one_of, whole

FUSIONS = ("concat", "product", "sum")
NORMS = ("none", "batch")


@models.register("top_down")
class TopDown(QuestionModel):
    """A classifier that looks where a goal tells it to.

    Args:
        classes: K, how many answers there are.
        words: How many words goals have, padding (0) included; of goal="class" how many classes, of
            goal="vector" its width.
        channels: D of features, without an encoder; with one, its own.
        goal: How goals are encoded: "gru" or "lstm" reads a question or sentence (B, T), "class" takes the
            number of a class (B,), "vector" a vector (B, G).
        embedding: Of the words.
        state: Q of the encoded goal.
        attention: A read of the catalogue, with options: "additive(hidden=512)", "general" (bilinear),
            "dot", "scaled_dot", "cosine"; "top_k" and "gumbel" look at few places only. "none" takes the
            mean of all places.
        glimpses: G, how many weighted means each hop takes.
        hops: How often it looks, each time with what it has seen added to the goal.
        fuse: "concat" puts what was seen and the goal side by side; "product" and "sum" bring both to
            ``hidden`` and multiply or add.
        norm: "batch" brings every channel of the places, and of what was seen, to mean 0 and deviation 1 over
            the batch, times a learnt gain plus a bias (batch normalisation). Places behind a ReLU have much
            in common, and the mean of many differs little from picture to picture.
        projection: Width to which places are brought first by a linear layer with tanh; None leaves them.
        hidden: Width of the layer before the answers.
        dropout: Probability, in [0, 1).
        encoder: The name of a classifier whose last map is looked at, such as ``timm/resnet50``; None if
            features come in.
        pretrained_encoder: Fetch its published weights.
        trainable: What of the encoder learns: "none", "all", or a pattern such as ``layer[234]``; None for
            all of it.
        places: Rows and columns to which the encoder's map is pooled; None leaves it.

    Raises:
        UnknownNameError: There is no such encoder or attention.
        OptionError: An option is unknown or out of range.

    Example:
        >>> import torch
        >>> model = TopDown(classes=5, words=20, state=16, hidden=16)
        >>> pictures, goal = torch.rand(2, 3, 32, 32), torch.tensor([[4, 7, 9], [5, 0, 0]])
        >>> model(pictures, goal).shape, model.answer(pictures, goal).weights.shape
        (torch.Size([2, 5]), torch.Size([2, 2, 64]))
    """

    def __init__(
        self,
        *,
        classes: int,
        words: int = 10_000,
        channels: int = 2048,
        goal: str = "gru",
        embedding: int = 300,
        state: int = 512,
        attention: str = "additive",
        glimpses: int = 2,
        hops: int = 1,
        fuse: str = "concat",
        norm: str = "none",
        projection: int | None = None,
        hidden: int = 512,
        dropout: float = 0.0,
        encoder: str | None = "resnet8",
        pretrained_encoder: bool = False,
        trainable: str | None = None,
        places: int | None = None,
    ) -> None:
        super().__init__(classes)
        one_of("fuse", fuse, FUSIONS)
        one_of("norm", norm, NORMS)
        if parse_call(attention)[0] == "reinforce":
            raise OptionError(
                "attention: got reinforce, which learns from a reward that this model does not give. Write "
                "gumbel or top_k for few places."
            )
        learns = trainable or (NOTHING if encoder is None else EVERYTHING)
        self.encoder = Places(
            channels, encoder=encoder, pretrained=pretrained_encoder, trainable=learns, places=places
        )
        self.goal = GoalEncoder(goal, words, embedding=embedding, state=state, dropout=dropout)
        g, k, n = whole("glimpses", glimpses), whole("hops", hops), self.goal.channels
        self.projection = None if projection is None else nn.Linear(self.encoder.channels, projection)
        d = self.encoder.channels if projection is None else whole("projection", projection)
        self.glimpses, self.fuse, self.drop = g, fuse, nn.Dropout(between("dropout", dropout, 0, 0.999))
        self.looks = tuple(_called(hop, glimpse, k, g) for hop in range(k) for glimpse in range(g))
        self.queries = nn.ModuleList(nn.Linear(n, g * n) if g > 1 else nn.Identity() for _ in range(k))
        self.readers = nn.ModuleList(Reader(d, n, attention=attention) for _ in range(k))
        self.refine = nn.ModuleList(nn.Linear(g * d, n) for _ in range(k - 1))
        self.norms: nn.ModuleDict | None = None
        if norm == "batch":
            kinds = {"places": nn.BatchNorm1d(self.encoder.channels), "seen": nn.BatchNorm1d(g * d)}
            self.norms = nn.ModuleDict(kinds)
        self.hidden = nn.Linear(g * d + n if fuse == "concat" else g * d, whole("hidden", hidden))
        self.of_goal = None if fuse == "concat" else nn.Linear(n, hidden)
        self.logits = nn.Linear(hidden, self.classes)

    def answer(self, pictures: Tensor, goal: Tensor, lengths: Int64[Tensor, " b"] | None = None) -> Answered:
        """Return logits, and the weights of every hop and glimpse."""
        places = self.encoder(pictures)
        if self.norms is not None:
            places = self.norms["places"](places.flatten(0, 1)).unflatten(0, places.shape[:2])
        if self.projection is not None:
            places = self.projection(self.drop(places)).tanh()
        asked, looks = self.goal(goal, lengths), []
        seen = asked
        refine: Any = [None, *self.refine]
        steps: Any = zip(self.queries, self.readers, strict=True)
        for hop, (ask, reader) in enumerate(steps):
            if hop:
                asked = asked + refine[hop](seen)
            memory = reader.prepare(Memory(places, None, {}))
            query = ask(self.drop(asked)).unflatten(1, (self.glimpses, -1))
            look, _ = reader(query, memory, {})
            seen = look.context.flatten(1)
            looks.append(look.weights[:, :, : places.shape[1]])  # without a sentinel's
        return Answered(self._classified(seen, asked), torch.cat(looks, dim=1))

    def _classified(self, seen: Tensor, asked: Tensor) -> Tensor:
        if self.norms is not None:
            seen = self.norms["seen"](seen)
        seen, asked = self.drop(seen), self.drop(asked)
        if self.of_goal is None:
            hidden = self.hidden(torch.cat([seen, asked], dim=1))
        elif self.fuse == "sum":
            hidden = self.hidden(seen) + self.of_goal(asked)
        else:
            hidden = self.hidden(seen).tanh() * self.of_goal(asked).tanh()
        return self.logits(self.drop(hidden.relu() if self.fuse != "product" else hidden))


def _called(hop: int, glimpse: int, hops: int, glimpses: int) -> str:
    """Return what one look is called."""
    parts = [f"hop {hop + 1}"] * (hops > 1) + [f"glimpse {glimpse + 1}"] * (glimpses > 1)
    return ", ".join(parts) or "look"
