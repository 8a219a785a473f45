"""The SAGAN of many tutorials (heykeetae): transposed convolutions, 64 px, without a condition.

Paper   Zhang et al. ICML 2019. arXiv:1805.08318, by the layout of heykeetae/Self-Attention-GAN.
Shapes  noise (B, Z) -> images (B, colours, 64, 64) in (-1, 1); images -> (B, 1).
Differs none in the numbers. Their u and v are parameters that are not trained, here buffers; their
        discriminator returns (B,).
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from foveate.models.generation.condition import Goal
from foveate.models.generation.self_attention import self_attention
from foveate.models.generation.spectral_norm import SpectralConv2d, SpectralConvTranspose2d
from foveate.models.weight_names import renamed as renamed_by

SIZE = 64
_RENAMED = [
    (r"^(l\d)\.0\.module\.weight_(u|v)$", r"\1.0.\2"),
    (r"^(l\d)\.0\.module\.weight_bar$", r"\1.0.weight"),
    (r"^(l\d)\.0\.module\.", r"\1.0."),
    (r"^(attn\d\.(?:query|key|value))_conv\.", r"\1."),
]


class TransposedGenerator(nn.Module):
    """Noise to pictures of 64 px.

    Args:
        channels: Width of the last map; the others are 8, 4 and 2 times as wide.
        noise: Z, numbers of noise.
        colours: Channels of a picture.
        attention: "paper", "released" or "none".
        rule: Of spectral normalisation.
    """

    def __init__(self, *, channels: int, noise: int, colours: int, attention: str, rule: str) -> None:
        super().__init__()
        self.goal, self.noise = Goal(), noise
        self.l1 = _up(noise, 8 * channels, rule, stride=1, padding=0)
        self.l2 = _up(8 * channels, 4 * channels, rule)
        self.l3 = _up(4 * channels, 2 * channels, rule)
        self.attn1 = _attention(attention, 2 * channels, rule)
        self.l4 = _up(2 * channels, channels, rule)
        self.attn2 = _attention(attention, channels, rule)
        last = nn.ConvTranspose2d(channels, colours, 4, stride=2, padding=1)
        self.last = nn.Sequential(last, nn.Tanh())

    def forward(
        self, noise: Float[Tensor, "b z"], condition: Tensor | None = None
    ) -> Float[Tensor, "b colours s s"]:
        """Return pictures in (-1, 1)."""
        x = self.l3(self.l2(self.l1(noise[:, :, None, None])))
        images: Tensor = self.last(self.attn2(self.l4(self.attn1(x))))
        return images

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return heykeetae's weights under our names."""
        return _renamed(state)


class StridedDiscriminator(nn.Module):
    """Pictures of 64 px to a score: above 0 for real.

    Args:
        channels: Width of the first map; the others are 2, 4 and 8 times as wide.
        colours: Channels of a picture.
        attention: "paper", "released" or "none".
        rule: Of spectral normalisation.
    """

    def __init__(self, *, channels: int, colours: int, attention: str, rule: str) -> None:
        super().__init__()
        self.goal = Goal()
        self.l1 = _down(colours, channels, rule)
        self.l2 = _down(channels, 2 * channels, rule)
        self.l3 = _down(2 * channels, 4 * channels, rule)
        self.attn1 = _attention(attention, 4 * channels, rule)
        self.l4 = _down(4 * channels, 8 * channels, rule)
        self.attn2 = _attention(attention, 8 * channels, rule)
        self.last = nn.Sequential(nn.Conv2d(8 * channels, 1, 4))

    def forward(
        self, images: Float[Tensor, "b colours s s"], condition: Tensor | None = None
    ) -> Float[Tensor, "b 1"]:
        """Return how real the pictures look."""
        x = self.attn1(self.l3(self.l2(self.l1(images))))
        score: Tensor = self.last(self.attn2(self.l4(x))).flatten(1)
        return score

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return heykeetae's weights under our names."""
        return _renamed(state)


def _up(channels: int, out: int, rule: str, *, stride: int = 2, padding: int = 1) -> nn.Sequential:
    layer = SpectralConvTranspose2d(channels, out, 4, rule=rule, stride=stride, padding=padding)
    return nn.Sequential(layer, nn.BatchNorm2d(out), nn.ReLU())


def _down(channels: int, out: int, rule: str) -> nn.Sequential:
    layer = SpectralConv2d(channels, out, 4, rule=rule, stride=2, padding=1)
    return nn.Sequential(layer, nn.LeakyReLU(0.1))


def _attention(kind: str, channels: int, rule: str) -> nn.Module:
    return nn.Identity() if kind == "none" else self_attention(kind, channels, rule)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return renamed_by(state, _RENAMED, {})
