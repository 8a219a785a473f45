"""Attention GAN: from a goal (a class, a pose, a sentence) down to pixels.

A generator draws pictures from noise and a condition; a discriminator scores how real they look for it. Both
attend over positions (SAGAN), so that parts of a picture that are far apart agree.

Paper   Zhang, Goodfellow, Metaxas, Odena. Self-Attention Generative Adversarial Networks. ICML 2019.
        arXiv:1805.08318.
Shapes  noise (B, Z), condition (B, K + P + T) or None -> images (B, colours, S, S) in (-1, 1).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.models.generation.condition import Goal
from foveate.models.generation.residual_gan import UP, Discriminator, Generator
from foveate.models.generation.self_attention import KINDS
from foveate.models.generation.spectral_norm import SpectrallyNormalised, one_of_rules, still
from foveate.models.generation.transposed_gan import SIZE, StridedDiscriminator, TransposedGenerator
from foveate.models.names import models
from foveate.options import one_of, whole

FORMS = ("residual", "transposed")


@models.register("attention_gan")
class AttentionGAN(nn.Module):
    """A generator and a discriminator that attend over positions.

    Args:
        classes: K, classes that can be asked for; 0 for none.
        pose: P, numbers of a pose that can be asked for, two for an angle; 0 for none.
        words: V, words of sentences that can be asked for, padding (0) included; 0 for none.
        longest: T, words of the longest sentence; 0 without sentences.
        size: Side of the pictures in pixels: 8, 16, 32, 64, 128 or 256.
        channels: Unit of the widths. Paper: 64.
        noise: Z, numbers of noise. Paper: 128.
        colours: Channels of a picture.
        form: "residual", as released with BigGAN-PyTorch, or "transposed", as in heykeetae's tutorial: 64 px,
            no condition.
        attention: "released", "paper" or "none"; None takes what the form was published with.
        at: Side of the map that attention follows, in pixels; half the side of the pictures, at least 8, if
            None. Authors, for 128 px: 32.
        spectral: Rule of spectral normalisation, "released", "authors", "toy" or "torch"; None takes what the
            form was published with.

    Raises:
        OptionError: An option is unknown, the size is not one of these, or two do not go together.

    Example:
        >>> import torch
        >>> model = AttentionGAN(classes=3, pose=2, size=16, channels=4)
        >>> goal = torch.tensor([[0.0, 1.0, 0.0, 0.5, 0.87]])
        >>> model(torch.randn(1, 128), goal).shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        *,
        classes: int = 0,
        pose: int = 0,
        words: int = 0,
        longest: int = 0,
        size: int = 32,
        channels: int = 64,
        noise: int = 128,
        colours: int = 3,
        form: str = "residual",
        attention: str | None = None,
        at: int | None = None,
        spectral: str | None = None,
    ) -> None:
        super().__init__()
        one_of("form", form, FORMS)
        kind = attention or ("released" if form == "residual" else "paper")
        one_of("attention", kind, KINDS)
        rule = one_of_rules(spectral or ("released" if form == "residual" else "toy"))
        for name, value in (("channels", channels), ("noise", noise), ("colours", colours)):
            whole(name, value)
        if bool(words) != bool(longest):
            raise OptionError(
                f"words={words}, longest={longest}: expected both for sentences, or neither for none."
            )
        known = {"classes": classes, "pose": pose, "words": words, "longest": longest}
        self.goal = Goal(**{name: whole(name, value, 0) for name, value in known.items()})
        self.size, self.noise, self.colours, self.rule = size, noise, colours, rule
        self.generator: nn.Module
        self.discriminator: nn.Module
        if form == "transposed":
            _expect_plain(self.goal, size, at)
            shared = {"channels": channels, "colours": colours, "attention": kind, "rule": rule}
            self.generator = TransposedGenerator(noise=noise, **shared)  # type: ignore[arg-type]
            self.discriminator = StridedDiscriminator(**shared)  # type: ignore[arg-type]
            return
        places = (_place(size, at),)
        alike = {"size": size, "channels": channels, "colours": colours, "goal": self.goal}
        alike |= {"attention": kind, "at": places, "rule": rule}
        self.generator = Generator(noise=noise, **alike)  # type: ignore[arg-type]
        self.discriminator = Discriminator(**alike)  # type: ignore[arg-type]
        self._draw_weights()

    def forward(
        self, noise: Float[Tensor, "b z"], condition: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b colours s s"]:
        """Return pictures in (-1, 1).

        Args:
            noise: From a unit normal distribution.
            condition: How much of each class, the pose, and the numbers of the words of a sentence, 0 behind
                its end; None for a model that draws without goals.

        Raises:
            ShapeError: Noise or condition has another shape.
        """
        if noise.ndim != 2 or noise.shape[1] != self.noise:
            raise ShapeError(f"noise: got {tuple(noise.shape)}, expected (B, {self.noise}).")
        self.goal.expect(condition, len(noise))
        images: Tensor = self.generator(noise, condition)
        return images

    def judge(
        self, images: Float[Tensor, "b colours s s"], condition: Float[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b 1"]:
        """Return how real pictures look to the discriminator, above 0 for real."""
        score: Tensor = self.discriminator(images, condition)
        return score

    def judge_both(
        self,
        real: Float[Tensor, "b colours s s"],
        fake: Float[Tensor, "b colours s s"],
        condition: Float[Tensor, "b k"] | None = None,
    ) -> tuple[Float[Tensor, "b 1"], Float[Tensor, "b 1"]]:
        """Return the scores of real and drawn pictures for the same conditions.

        Both go through the discriminator at once, which has no statistics of a batch; by the rule "authors"
        one after the other, as its power iteration follows the real pictures alone.
        """
        if self.rule == "authors":
            scores = self.judge(real, condition)
            with still(self.discriminator):
                return scores, self.judge(fake, condition)
        both = None if condition is None else condition.repeat(2, 1)
        first, second = self.judge(torch.cat([real, fake]), both).chunk(2)
        return first, second

    def judge_mismatched(
        self,
        real: Float[Tensor, "b colours s s"],
        fake: Float[Tensor, "b colours s s"],
        condition: Float[Tensor, "b k"],
        other: Float[Tensor, "b k"],
    ) -> tuple[Float[Tensor, "b 1"], Float[Tensor, "b 1"], Float[Tensor, "b 1"]]:
        """Return the scores of ``judge_both``, and those of the real pictures for other conditions.

        The features of a picture do not depend on the condition: the third score costs next to nothing.
        """
        discriminator = cast(Discriminator, self.discriminator)
        if self.rule == "authors":
            seen = discriminator.features(real).repeat(2, 1)
            own, wrong = discriminator.score(seen, torch.cat([condition, other])).chunk(2)
            with still(discriminator):
                return own, self.judge(fake, condition), wrong
        seen = discriminator.features(torch.cat([real, fake]))
        asked = torch.cat([condition, condition, other])
        first, second, third = discriminator.score(torch.cat([seen, seen[: len(real)]]), asked).chunk(3)
        return first, second, third

    def _draw_weights(self) -> None:
        """Draw kernels and tables by Xavier's rule; biases are 0, as in the authors' code."""
        for module in self.modules():
            if isinstance(module, SpectrallyNormalised):
                nn.init.xavier_uniform_(module.weight)
                if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
                    nn.init.zeros_(bias)


def _place(size: int, at: int | None) -> int:
    """Return the side of the map that attention follows."""
    if size not in UP:
        sizes = ", ".join(map(str, UP))
        raise OptionError(f"size: got {size}, expected one of {sizes}: each block doubles the side, from 4.")
    place = max(8, size // 2) if at is None else at
    sides = [8 * 2**n for n in range(len(UP[size]) - 1)]
    if place not in sides:
        known = ", ".join(map(str, sides))
        raise OptionError(f"at: got {at}, expected the side of a map of the generator: {known}.")
    return place


def _expect_plain(goal: Goal, size: int, at: int | None) -> None:
    if goal.length or size != SIZE or at is not None:
        raise OptionError(
            f'form="transposed": got classes={goal.classes}, pose={goal.pose}, words={goal.words}, '
            f"size={size}, at={at}; it draws {SIZE} px without a goal. Write size={SIZE} and leave the "
            'others out, or form="residual".'
        )
