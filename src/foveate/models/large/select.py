"""A classifier of large pictures that looks closely at a few patches, chosen by hard attention.

Formula f_k = network(patch_k), the patches chosen by a selection (see ``mechanisms/hard``); z = pool(f), the
        estimate or the mean that belongs to the selection; logits = W z + b. With aggregation="attention" z =
        pool(e f) / pool(e), e_k = exp(v . tanh(V f_k)). Loss: what the task has, plus entropy times
        sum_i a_i log(a_i + 1e-6) of the attention over all places, the mean of the pictures.
Paper   Katharopoulos, Fleuret. Processing Megapixel Images with Deep Attention-Sampling Models. ICML 2019.
        arXiv:1905.03711; Bergner, Lippert, Mahendran. ICLR 2023. arXiv:2210.13007; weights by features: Ilse,
        Tomczak, Welling. ICML 2018. arXiv:1802.04712.
Shapes  pictures (B, C, H, W) of any size, or pictures that need not be decoded -> logits (B, classes)
Cost    the selection's, K times the network's for a patch, and the head's: for the digits of the first paper
        30,411 parameters and 0.497 G MACs a picture of 1500 x 1500
Differs any network takes the patches, at several scales if asked; the papers have one each, and one scale.
        Features are normalised only where the network does it, as ``patch_convnet`` does, or with normalise.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveate.calls import parse_call
from foveate.errors import OptionError
from foveate.large_pictures import LargePictures, as_pictures, covered
from foveate.mechanisms.base import Select, Selection, build, mechanisms, options_of
from foveate.mechanisms.hard.iterative_patch_selection import IterativePatchSelection
from foveate.models.large.feature_gate import FeatureGate
from foveate.models.large.patch_network import LARGE, build_patch_network, channels_of, part, scores_of
from foveate.models.large.select_names import from_ips, from_plain
from foveate.models.names import models
from foveate.models.normalisation import keep_normalisation, model_normalisation
from foveate.models.outputs import main_output
from foveate.options import between, flag, one_of, positive, whole

_AT_ONCE = 256  # patches in one pass where nothing is learnt


class Selected(NamedTuple):
    """What the model returns while it is trained.

    Attributes:
        logits: (B, classes).
        attention: (B, i, j), over all places that could have been selected.
        entropy: Weight of the regulariser.
    """

    logits: Tensor
    attention: Tensor
    entropy: float

    def further_loss(self, targets: Tensor) -> Float[Tensor, ""]:
        """Return what is added to the loss of the logits; a positive weight spreads the attention."""
        a = self.attention.flatten(1)
        return self.entropy * (a * (a + 1e-6).log()).sum(dim=1).mean()


class SelectClassifier(nn.Module):
    """A classifier that sees patches of large pictures; see the file's header. ``fv.select`` builds it.

    Args:
        network: Patches to scores; its last linear layer becomes the head.
        choice: The selection, such as ``attention_sampling(patches=10, size=50, scale=0.12)``.
        classes: Length of the output.
        in_channels: Channels of the pictures.
        aggregation: "expectation", what the selection pools to, or "attention": patches are weighed by their
            features too.
        entropy: Weight of the regulariser. Papers' code, digits: 1e-4.
        scales: Of the patches, the first 1; at 0.5 the same place is seen with four times its area too.
        normalise: Whether features are brought to length 1 before they are pooled.
        outputs: How many answers there are, each with a head of its own, on a query of its own where the
            selection has as many; logits are (B, outputs, classes) for more than one.

    Raises:
        UnknownNameError: There is no such selection.
        OptionError: An option does not exist or is out of range, or the network cannot take such patches.
    """

    takes = LargePictures

    def __init__(
        self,
        network: nn.Module,
        choice: str,
        *,
        classes: int,
        in_channels: int = 3,
        aggregation: Literal["expectation", "attention"] = "expectation",
        entropy: float = 1e-4,
        scales: Sequence[float] = (1.0,),
        normalise: bool = False,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        one_of("aggregation", aggregation, ("expectation", "attention"))
        self.classes, self.outputs = whole("classes", classes), whole("outputs", outputs)
        self.entropy, self.normalise = (
            between("entropy", entropy, float("-1e12")),
            flag("normalise", normalise),
        )
        self.scales = _checked_scales(scales)
        name, options = _selection(choice)
        size = options.get("size", options_of(mechanisms[name])["size"])
        self.backbone, head, width = part(network, in_channels, whole("size", size))  # type: ignore[arg-type]
        width *= len(self.scales)
        if "width" in options_of(mechanisms[name]):  # it looks at features of the patches
            if len(self.scales) > 1:
                raise OptionError(f"scales: {name} looks at all patches, at one scale; leave it out")
            if aggregation == "attention":
                raise OptionError(f"aggregation: {name} weighs features already; leave it out")
            options.setdefault("width", width)
        selection = build(name, in_channels, **options)
        assert isinstance(selection, Select)
        self.choice = selection
        self.reads_patches = isinstance(selection, IterativePatchSelection)
        if isinstance(selection, IterativePatchSelection):
            selection.embedding = None  # the network takes its place
        self.gate = FeatureGate(width, max(16, width // 2)) if aggregation == "attention" else None
        self.scores = self._heads(head, width)
        self.default_cfg = {"input_size": (in_channels, LARGE, LARGE)}
        keep_normalisation(self, *model_normalisation(network))

    def forward(
        self, x: LargePictures | Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b q"] | Float[Tensor, "b t q"] | Selected:
        """Return logits; with a regulariser ``Selected`` while training."""
        logits, found = self.look(x)
        if self.training and self.entropy and found.attention is not None:
            return Selected(logits, found.attention, self.entropy)
        return logits

    def look(self, x: LargePictures | Float[Tensor, "b c h w"]) -> tuple[Tensor, Selection]:
        """Return logits, and what was looked at."""
        pictures = as_pictures(x)
        encoder = _Features(self) if self.reads_patches else None
        found = self.choice.select(pictures, encoder)
        features = found.features if found.features is not None else self._features(pictures, found)
        if self.gate is None:
            pooled = self.choice.pool(features, found.weights)
        else:
            factors = self.gate(features)
            both = self.choice.pool(torch.cat([factors * features, factors], dim=2), found.weights)
            pooled = both[:, :-1] / both[:, -1:].clamp_min(1e-12)
        return self._answers(pooled), found

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of IPS's public code, or of the plain patch network, under our own names."""
        own = self.state_dict()
        if any(name.startswith("transf.") for name in state):
            return from_ips(state, own)
        return from_plain(state, own)

    def encode(self, patches: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the features of patches of one scale."""
        step = len(patches) if torch.is_grad_enabled() else _AT_ONCE
        parts = [main_output(self.backbone(some)) for some in patches.split(max(step, 1))]
        features = parts[0] if len(parts) == 1 else torch.cat(parts)
        return F.normalize(features, dim=1) if self.normalise else features

    def _features(self, pictures: LargePictures, found: Selection) -> Float[Tensor, "b k d"]:
        """Return the features of the selected patches, those of all scales joined."""
        size, shape = (self.choice.size, self.choice.size), found.patches.shape[:2]
        seen = [self.encode(found.patches.flatten(0, 1)).unflatten(0, shape)]
        for scale in self.scales[1:]:
            margin = (covered(size, scale)[0] - size[0]) // 2  # the same centre
            patches = pictures.windows(found.places - margin, size, scale)
            seen.append(self.encode(patches.flatten(0, 1)).unflatten(0, shape))
        return seen[0] if len(seen) == 1 else torch.cat(seen, dim=2)

    def _heads(self, head: nn.Linear | None, width: int) -> nn.Module:
        """Return what turns the pooled features into logits; the network's own head where it fits."""
        queries = getattr(getattr(self.choice, "transformer", None), "queries", None)
        read = 1 if queries is None else len(queries)
        if self.outputs > 1:
            if read not in (1, self.outputs):
                raise OptionError(f"outputs: got {self.outputs}, and queries={read}. Make them equal.")
            return nn.ModuleList(nn.Linear(width, self.classes) for _ in range(self.outputs))
        if head is not None and (head.in_features, head.out_features) == (width * read, self.classes):
            return head
        if head is None and width == self.classes and read == 1:
            return nn.Identity()  # the network's scores are what is pooled
        return nn.Linear(width * read, self.classes)

    def _answers(self, pooled: Float[Tensor, "b d"]) -> Tensor:
        if not isinstance(self.scores, nn.ModuleList):
            logits: Tensor = self.scores(pooled)
            return logits
        width = self.scores[0].in_features
        vectors = pooled.unflatten(1, (-1, width)).expand(-1, self.outputs, -1)
        return torch.stack([head(vectors[:, i]) for i, head in enumerate(self.scores)], dim=1)


class _Features(nn.Module):
    """The patch network as a selection calls it that looks at the patches itself."""

    def __init__(self, model: SelectClassifier) -> None:
        super().__init__()
        self.backbone = model.backbone  # so that its mode can be set
        self.encode = model.encode

    def forward(self, patches: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.encode(patches)


@models.register("select")
def build_select(
    *,
    classes: int,
    backbone: str = "patch_convnet",
    select: str = "attention_sampling",
    in_channels: int = 3,
    pretrained_encoder: bool = False,
    aggregation: Literal["expectation", "attention"] = "expectation",
    entropy: float = 1e-4,
    scales: Sequence[float] = (1.0,),
    normalise: bool = False,
    outputs: int = 1,
) -> SelectClassifier:
    """Return a classifier that looks at patches of large pictures; see ``SelectClassifier``.

    Args:
        classes: Length of the output.
        backbone: The network that takes the patches, by a name that ``create_model`` takes.
        select: The selection, with its options.
        in_channels: Channels of the pictures.
        pretrained_encoder: Fetch the network's published weights.
        aggregation: See ``SelectClassifier``, as for the rest.
        entropy: Weight of the regulariser.
        scales: Of the patches.
        normalise: Whether features are brought to length 1.
        outputs: How many answers there are.

    Example:
        >>> model = build_select(classes=10, in_channels=1)
        >>> sum(p.numel() for p in model.parameters())
        30411
    """
    return SelectClassifier(
        build_patch_network(backbone, classes, in_channels, pretrained=pretrained_encoder),
        select,
        classes=classes,
        in_channels=in_channels,
        aggregation=aggregation,
        entropy=entropy,
        scales=scales,
        normalise=normalise,
        outputs=outputs,
    )


def select(
    model: nn.Module, choice: str, *, classes: int | None = None, **options: object
) -> SelectClassifier:
    """Return a classifier of large pictures that shows a model a few patches of each; the weights are kept.

    Args:
        model: Patches (N, C, h, w) to scores (N, classes): of timm, torchvision or your own. It is copied.
        choice: The selection: ``attention_sampling``, ``perturbed_top_k``, ``iterative_patch_selection``,
            ``random_patches``, ``centre_crops`` or ``all_patches``, with options.
        classes: Length of the output; the model's own if None, whose head is then kept too.
        options: ``aggregation``, ``entropy``, ``scales``, ``normalise``, ``outputs``, ``in_channels``; see
            ``SelectClassifier``.

    Raises:
        UnknownNameError: There is no such selection.
        OptionError: An option does not exist, or the model cannot take such patches.

    Example:
        >>> from foveate.models import create_model
        >>> network = create_model("resnet8", classes=5)
        >>> large = select(network, "attention_sampling(patches=4, size=32, scale=0.1)").eval()
        >>> large(torch.rand(2, 3, 400, 300)).shape
        torch.Size([2, 5])
    """
    if not isinstance(model, nn.Module):
        raise OptionError(f"model: got a {type(model).__name__}, expected a torch.nn.Module")
    network = copy.deepcopy(model)
    channels = options.pop("in_channels", channels_of(network))
    if classes is None:
        name, given = _selection(choice)
        size = given.get("size", options_of(mechanisms[name])["size"])
        classes = scores_of(network, channels, whole("size", size)).shape[1]  # type: ignore[arg-type]
    return SelectClassifier(network, choice, classes=classes, in_channels=channels, **options)  # type: ignore[arg-type]


def _selection(choice: str) -> tuple[str, dict[str, object]]:
    """Return name and options of a selection.

    Raises:
        OptionError: The name is that of another mechanism.
    """
    name, options = parse_call(choice)
    if mechanisms[name].interface != "select":
        known = ", ".join(sorted(n for n in mechanisms if mechanisms[n].interface == "select"))
        raise OptionError(f"select: {name} does not select patches. Those that do: {known}")
    return name, options


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    found = tuple(between("scales", positive("scales", scale), 0, 1) for scale in scales)
    if not found or found[0] != 1:
        raise OptionError(
            f"scales: got {tuple(scales)}, expected 1 first, then smaller ones, such as (1, 0.25)"
        )
    return found
