"""The loss of a model that reads by REINFORCE: likelihood, rewarded choices with a baseline, and entropy.

Xu et al. Show, Attend and Tell. ICML 2015. arXiv:1502.03044, section 4.1; the authors' released code.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foveate.errors import OptionError, ShapeError
from foveate.options import one_of

KINDS = ("paper", "released", "released_steps", "steps")


class ReinforceLoss(nn.Module):
    """Turn log-likelihoods and a ``Reading``'s log-probabilities and entropies into one loss.

    With L_b = sum_t log p(y_bt | s) the loss is ``-mean_b[L_b + factor (L_b - baseline) sum_t log a_bt
    + entropy_factor sum_t H_bt]``, where the bracket before log a is a constant. The baseline follows the
    mean of L, in training only: b <- 0.9 b + 0.1 mean_b L_b, from 0.

    Args:
        kind: "paper" is as above. "released" is the authors' code: the reward is the mean of the steps'
            log-likelihoods, padding counted as 0, and rewards and entropies are summed, not averaged, over
            the batch. "released_steps" is that code's RL_sumCost=False: each step's own log-likelihood,
            no baseline. "steps" is the paper's with each step's own log-likelihood as its reward, and a
            baseline that follows their mean: less noise, where a choice has no say in the steps after it.
        factor: lambda_r, weight of the rewarded choices. Released code: 0.1.
        entropy_factor: lambda_e, weight of the entropy. Released code: 0.002.
        decay: How much of the baseline stays at each call, in [0, 1]. Paper: 0.9.

    Raises:
        OptionError: ``kind`` is unknown, or ``decay`` is not in [0, 1].

    Example:
        >>> loss = ReinforceLoss().eval()
        >>> loss(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-0.5, -0.5]]), torch.zeros(1, 2))
        tensor(2.7000)
    """

    baseline: Tensor

    def __init__(
        self, *, kind: str = "paper", factor: float = 0.1, entropy_factor: float = 0.002, decay: float = 0.9
    ) -> None:
        super().__init__()
        one_of("kind", kind, KINDS)
        if not 0 <= decay <= 1:
            raise OptionError(f"decay: got {decay!r}, expected a number from 0 to 1")
        self.kind, self.factor, self.entropy_factor, self.decay = kind, factor, entropy_factor, decay
        self.register_buffer("baseline", torch.zeros(()))

    def forward(
        self,
        log_likelihood: Float[Tensor, "b t"],
        log_probability: Float[Tensor, "b t"],
        entropy: Float[Tensor, "b t"],
        steps: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss to minimise.

        Args:
            log_likelihood: Of each step's target, given what was read; at most 0.
            log_probability: Of what each step read, from ``Reading``.
            entropy: Of each step's distribution, from ``Reading``, in nats.
            steps: True for steps that exist. None for all.

        Raises:
            ShapeError: The tensors have different shapes.
        """
        given = [log_likelihood, log_probability, entropy] + ([] if steps is None else [steps])
        if len({tuple(tensor.shape) for tensor in given}) > 1 or log_likelihood.ndim != 2:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in given)
            raise ShapeError(f"ReinforceLoss: got tensors of shapes {shapes}, expected one shape (B, T).")
        if steps is not None:
            log_likelihood, log_probability, entropy = (
                tensor.masked_fill(~steps, 0.0) for tensor in (log_likelihood, log_probability, entropy)
            )
        choices = self._advantage(log_likelihood.detach(), steps) * log_probability
        extra = (self.factor * choices + self.entropy_factor * entropy).sum(dim=1)
        likelihood = log_likelihood.sum(dim=1).mean()
        return -likelihood - (extra.sum() if self.kind.startswith("released") else extra.mean())

    def _advantage(
        self, log_likelihood: Float[Tensor, "b t"], steps: Bool[Tensor, "b t"] | None
    ) -> Float[Tensor, "b _"]:
        """Return how much better than expected each sample, or step, turned out; move the expectation."""
        if self.kind == "released_steps":
            return log_likelihood
        if self.kind == "steps":
            reward = log_likelihood
            mean = reward.mean() if steps is None else reward.sum() / steps.sum().clamp_min(1)
        else:
            reward = log_likelihood.sum(dim=1) if self.kind == "paper" else log_likelihood.mean(dim=1)
            reward, mean = reward.unsqueeze(1), reward.mean()
        advantage = reward - self.baseline.to(reward.dtype)
        if self.training:
            with torch.no_grad():
                self.baseline.lerp_(mean.to(self.baseline.dtype), 1 - self.decay)
        return advantage
