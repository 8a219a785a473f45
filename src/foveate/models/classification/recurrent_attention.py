"""RAM, the recurrent attention model: it sees a picture through a few glimpses, and learns where to look.

Formula g_t = sensor(x, l_t), h_t = relu(W_i g_t + W_h h_{t-1}); l_{t+1} ~ N(m_t, std^2),
        m_t = tanh(W_m relu(W_f h_t)); logits = W_a h_T. Loss: cross-entropy + mean_t (R - b_t)^2
        - weight * sum_t (R - b_t) log p(l_{t+1}), b_t = W_b h_t, R = 1 if the answer is right, else 0
Paper   Mnih, Heess, Graves, Kavukcuoglu. Recurrent Models of Visual Attention. NeurIPS 2014.
        arXiv:1406.6247, sections 3 and 4.
Shapes  images (B, C, H, W) of any size -> logits (B, classes); places (B, T, 2), x and y in [-1, 1];
        windows (B, T, H, W), 1 inside each glimpse's widest window; sides (B, T, S) of its windows in pixels
Cost    with H = hidden, K = classes: the sensor's parameters, 2*H*(H + 1), (H + 1)*(H//2) + 2*(H//2 + 1),
        H + 1 and K*(H + 1): 242,317 for one channel, ten classes and the defaults; MACs do not depend on the
        picture's size.
Differs the network behind the place's mean has a hidden layer, and the weights of the loss are those of the
        best-known public code (kevinzakka/recurrent-visual-attention), whose files load. That code also
        rewards the last place, at which nobody looks: here only places that are looked at count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.mechanisms.map_tap import MapTap
from foveate.models.classification.glimpse_sensor import GlimpseSensor, corners
from foveate.models.names import models
from foveate.models.normalisation import keep_normalisation
from foveate.models.weight_names import Rules, renamed
from foveate.options import one_of, positive, whole

SIDE = 28  # of the images that the paper's network was made for
_KEVINZAKKA: Rules = (
    (r"^sensor\.fc1\.", "sensor.look."),
    (r"^sensor\.fc2\.", "sensor.place."),
    (r"^sensor\.fc3\.", "sensor.from_look."),
    (r"^sensor\.fc4\.", "sensor.from_place."),
    (r"^rnn\.i2h\.", "core.from_glimpse."),
    (r"^rnn\.h2h\.", "core.from_state."),
    (r"^locator\.fc\.", "locator.hidden."),
    (r"^locator\.fc_lt\.", "locator.mean."),
    (r"^classifier\.fc\.", "action."),
    (r"^baseliner\.fc\.", "baseline."),
)


class Glimpses(NamedTuple):
    """What the model returns while it is trained.

    Args:
        logits: (B, classes).
        places: Where it has looked (B, T, 2).
        log_probability: Of the places that the policy chose, all but the first (B, T - 1); empty without one.
        baseline: The reward that the model expected when it chose them (B, T - 1).
        weight: Of the rewarded choices in the loss.
    """

    logits: Tensor
    places: Tensor
    log_probability: Tensor
    baseline: Tensor
    weight: float

    def further_loss(self, targets: Tensor) -> Float[Tensor, ""]:
        """Return what is added to the loss of the logits: the baseline's error, and the rewarded choices.

        Args:
            targets: Classes (B,), or labels (B, classes), of which the share that is right is the reward.
        """
        if not self.log_probability.numel():
            return self.logits.new_zeros(())
        logits = self.logits.detach()
        right = logits.argmax(dim=1) == targets if targets.ndim == 1 else (logits > 0) == targets.bool()
        reward = right.to(self.baseline.dtype).reshape(len(logits), -1).mean(dim=1, keepdim=True)
        error = (self.baseline - reward).square().mean()
        choices = (reward - self.baseline.detach()) * self.log_probability
        return error - self.weight * choices.sum(dim=1).mean()


class Core(nn.Module):
    """The recurrent network: what has been seen so far, in one vector.

    Args:
        width: Of the glimpse's vector and of the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_glimpse, self.from_state = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, glimpse: Float[Tensor, "b w"], state: Float[Tensor, "b w"]) -> Float[Tensor, "b w"]:
        """Return the next state."""
        following: Tensor = (self.from_glimpse(glimpse) + self.from_state(state)).relu()
        return following


class Locator(nn.Module):
    """The mean of the next place, from a state that gets no gradient from it.

    Args:
        width: Of the state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, max(1, width // 2))
        self.mean = nn.Linear(max(1, width // 2), 2)

    def forward(self, state: Float[Tensor, "b w"]) -> Float[Tensor, "b 2"]:
        """Return (x, y) in [-1, 1], at least float32: a coarser number could not name every pixel."""
        found: Tensor = self.mean(self.hidden(state.detach()).relu())
        return found.to(torch.promote_types(found.dtype, torch.float32)).tanh()


@models.register("recurrent_attention")
class RecurrentAttention(nn.Module):
    """The recurrent attention model, trained by REINFORCE with a learnt baseline.

    While training it draws the places and returns ``Glimpses``, whose ``further_loss`` trains the policy. In
    evaluation it returns logits: by default it begins in the middle and looks at the means of the policy.

    Args:
        classes: Length of the output.
        in_channels: Channels of the images.
        glimpses: T, how often it looks.
        glimpse_size: Side of the finest window in pixels.
        scales: How many windows a glimpse has, each ``growth`` times larger than the one before.
        growth: See ``scales``.
        hidden: Width of the state and of a glimpse's vector.
        look_width: Width of the sensor's layer on the pixels.
        place_width: Width of the sensor's layer on the place.
        policy: "learnt", or "random", the control: every place is drawn from the whole picture, and there is
            nothing to learn where to look with.
        place_std: Standard deviation of a place around its mean; the picture reaches from -1 to 1.
        reinforce_weight: Weight of the rewarded choices in the loss. Public code: 0.01.
        first_place: Of walks that are drawn, in training or evaluation: "random" in the whole picture, or the
            "centre".
        draws: Of evaluation: 0 for the means of the policy; n for the mean probability over n random walks,
            as the public code evaluates. Can be set later. With policy="random" it counts as at least 1.

    Raises:
        OptionError: A number or a word is not one of those.

    Example:
        >>> model = RecurrentAttention(classes=10, in_channels=1).eval()
        >>> sum(p.numel() for p in model.parameters()), model(torch.rand(2, 1, 28, 28)).shape
        (242317, torch.Size([2, 10]))
    """

    def __init__(
        self,
        *,
        classes: int,
        in_channels: int = 3,
        glimpses: int = 6,
        glimpse_size: int = 8,
        scales: int = 1,
        growth: int = 2,
        hidden: int = 256,
        look_width: int = 128,
        place_width: int = 128,
        policy: Literal["learnt", "random"] = "learnt",
        place_std: float = 0.05,
        reinforce_weight: float = 0.01,
        first_place: Literal["random", "centre"] = "random",
        draws: int = 0,
    ) -> None:
        super().__init__()
        one_of("policy", policy, ("learnt", "random"))
        one_of("first_place", first_place, ("random", "centre"))
        if not (math.isfinite(reinforce_weight) and reinforce_weight >= 0):
            raise OptionError(f"reinforce_weight: got {reinforce_weight!r}, expected a number of at least 0")
        self.classes, self.in_channels = whole("classes", classes), whole("in_channels", in_channels)
        self.glimpses, self.draws = whole("glimpses", glimpses), whole("draws", draws, 0)
        self.place_std, self.reinforce_weight = positive("place_std", place_std), reinforce_weight
        self.first_place = first_place
        self.sensor = GlimpseSensor(
            in_channels,
            size=glimpse_size,
            scales=scales,
            growth=growth,
            look_width=look_width,
            place_width=place_width,
            width=hidden,
        )
        self.core, self.action = Core(hidden), nn.Linear(hidden, classes)
        chooses = policy == "learnt" and glimpses > 1  # nobody looks at what the last glimpse points to
        self.locator = Locator(hidden) if chooses else None
        self.baseline = nn.Linear(hidden, 1) if chooses else None
        self.random = policy == "random"
        self.places = MapTap("b t x", low=-1.0)
        self.windows = MapTap("b t h w")
        self.sides = MapTap("b t s", high=math.inf)
        self.default_cfg = {"input_size": (in_channels, SIDE, SIDE)}
        keep_normalisation(self, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # 0 is what lies outside of the picture

    @property
    def glimpse_sides(self) -> tuple[int, ...]:
        """Sides of the windows of one glimpse in pixels, the finest first."""
        sensor = self.sensor
        return tuple(sensor.size * sensor.growth**number for number in range(sensor.scales))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b q"] | Glimpses:
        """Return logits; ``Glimpses`` while training."""
        if x.ndim != 4 or x.shape[1] != self.in_channels or not x.is_floating_point():
            raise ShapeError(
                f"RecurrentAttention: got {tuple(x.shape)} of {x.dtype}, expected floating point images "
                f"(B, {self.in_channels}, H, W). Build it with the in_channels of the images."
            )
        anywhere = self.first_place == "random"
        if self.training:
            return self.walk(x, self._start(x, anywhere), sample=True)
        draws = max(self.draws, 1) if self.random else self.draws
        if draws == 0:
            return self.walk(x, self._start(x, drawn=False), sample=False).logits
        found = [self.walk(x, self._start(x, anywhere), sample=True).logits for _ in range(draws)]
        return torch.stack(found).log_softmax(dim=2).logsumexp(dim=0) - math.log(draws)

    def walk(self, x: Float[Tensor, "b c h w"], start: Float[Tensor, "b 2"], *, sample: bool) -> Glimpses:
        """Look at pictures, glimpse after glimpse.

        Args:
            x: The pictures.
            start: Where the first glimpse looks: (x, y) in [-1, 1].
            sample: Whether the next places are drawn, or are the means of the policy.
        """
        state = x.new_zeros(x.shape[0], self.core.from_state.in_features)
        place, places, logs, expected = start, [start], [], []
        for number in range(self.glimpses):
            state = self.core(self.sensor(x, place), state)
            if number + 1 == self.glimpses:
                break
            if self.locator is None or self.baseline is None:
                place = self._start(x, drawn=True) if self.random else place
            else:
                mean = self.locator(state)
                aim = mean.detach() + self.place_std * torch.randn_like(mean) if sample else mean.detach()
                logs.append(log_normal(aim, mean, self.place_std))
                expected.append(self.baseline(state.detach()).squeeze(1))
                place = aim.clamp(-1.0, 1.0)
            places.append(place)
        walked = self.places(torch.stack(places, dim=1))
        if self.windows.recording:
            self.windows(self._windows(walked, x.shape[2], x.shape[3]))
        if self.sides.recording:
            scales = torch.arange(self.sensor.scales, device=walked.device)
            self.sides(
                (self.sensor.size * self.sensor.growth**scales).to(walked.dtype).expand(*walked.shape[:2], -1)
            )
        none = x.new_zeros(x.shape[0], 0)
        chosen, hoped = (torch.stack(list_, dim=1) if list_ else none for list_ in (logs, expected))
        return Glimpses(self.action(state), walked, chosen, hoped, self.reinforce_weight)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights in the names of kevinzakka/recurrent-visual-attention under our own."""
        named = renamed(state, _KEVINZAKKA, self.state_dict())
        idle = () if self.locator is not None else ("locator.", "baseline.")
        return {name: value for name, value in named.items() if not name.startswith(idle)}

    def _start(self, x: Tensor, drawn: bool) -> Float[Tensor, "b 2"]:
        """Return places in the whole picture, drawn alike, or the middle."""
        precise = torch.promote_types(x.dtype, torch.float32)
        middle = torch.zeros(x.shape[0], 2, device=x.device, dtype=precise)
        return torch.rand_like(middle) * 2 - 1 if drawn else middle

    def _windows(self, places: Float[Tensor, "b t 2"], height: int, width: int) -> Float[Tensor, "b t h w"]:
        """Return 1 inside the widest window of each glimpse."""
        side = self.sensor.size * self.sensor.growth ** (self.sensor.scales - 1)
        rows, columns = (
            ((at >= first.unsqueeze(2)) & (at < first.unsqueeze(2) + side)).float()
            for first, at in zip(
                corners(places, height, width, side),
                (torch.arange(n, device=places.device) for n in (height, width)),
                strict=True,
            )
        )
        return rows.unsqueeze(3) * columns.unsqueeze(2)


def log_normal(at: Float[Tensor, "b 2"], mean: Float[Tensor, "b 2"], std: float) -> Float[Tensor, " b"]:
    """Return the logarithm of the density of independent normal coordinates.

    Example:
        >>> log_normal(torch.zeros(1, 2), torch.zeros(1, 2), 1.0)  # -log(2 pi)
        tensor([-1.8379])
    """
    each = -0.5 * ((at - mean) / std).square() - math.log(std) - 0.5 * math.log(2 * math.pi)
    return each.sum(dim=1)
