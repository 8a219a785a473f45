"""The CRF as a recurrent network, trained end to end with the network before it.

Formula q <- softmax(x); x <- u + M (W_s F_s q + W_b F_b q), F each divided by what it makes of ones
Paper   Zheng et al. Conditional Random Fields as Recurrent Neural Networks. ICCV 2015. arXiv:1502.03240.
Shapes  logits u (B, L, H, W), images (B, C, H, W) -> logits (B, L, H, W).
Cost    3 L^2 weights.
Differs the paper subtracts the message, with M the Potts model; as in the authors' PyTorch code it is added,
        with M the identity at the start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import CheckpointError, first_few
from foveate.models.crf.kernels import METHODS, Method, bilateral, gaussian
from foveate.models.crf.layer import check, in_full
from foveate.models.crf.mean_field import mean_field
from foveate.options import one_of, positive, whole

_PUBLISHED = "crfrnn."
_NAMED = 5  # names that a message lists
_log = logging.getLogger("foveate")


class CRFasRNN(nn.Module):
    """A dense CRF whose weights of kernels and labels are all learnt.

    Args:
        classes: L, how many labels there are.
        position: Standard deviation of position in the kernel with colour, in pixels. Authors: 160.
        colour: Standard deviation of colour, in the unit of the images. Authors: 3.
        gaussian_std: Standard deviation of position in the kernel without colour, in pixels. Authors: 3.
        iterations: While training; 5 in the paper.
        inference_iterations: In evaluation; 10 in the paper.
        method: As in ``DenseCRF``.

    Raises:
        OptionError: An option has an impossible value.

    Example:
        >>> sum(p.numel() for p in CRFasRNN(21).parameters())
        1323
    """

    def __init__(
        self,
        classes: int,
        *,
        position: float = 160.0,
        colour: float = 3.0,
        gaussian_std: float = 3.0,
        iterations: int = 5,
        inference_iterations: int = 10,
        method: Method = "auto",
    ) -> None:
        super().__init__()
        self.classes = whole("classes", classes)
        for name, value in (("position", position), ("colour", colour), ("gaussian_std", gaussian_std)):
            positive(name, value)
        one_of("method", method, METHODS)
        self.position, self.colour, self.gaussian_std, self.method = position, colour, gaussian_std, method
        self.iterations = whole("iterations", iterations)
        self.inference_iterations = whole("inference_iterations", inference_iterations)
        self.spatial_ker_weights = nn.Parameter(3 * torch.eye(classes))
        self.bilateral_ker_weights = nn.Parameter(5 * torch.eye(classes))
        self.compatibility_matrix = nn.Parameter(torch.eye(classes))

    def forward(
        self, logits: Float[Tensor, "b l h w"], images: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b l h w"]:
        """Return refined logits.

        Args:
            logits: A network's output for each pixel by itself.
            images: The pictures, of the same height and width, 0 to 255.

        Raises:
            ShapeError: The shapes do not fit each other or the number of classes.
            OptionError: The images are in another unit than ``colour``.
        """
        check(logits, images, self.classes, self.colour)
        return in_full(self._refined, logits, images)

    def _refined(self, logits: Tensor, images: Tensor) -> Tensor:
        near = gaussian(images, self.gaussian_std, method=self.method, normalise="after")
        alike = bilateral(images, self.position, self.colour, method=self.method, normalise="after")
        compatible = self.compatibility_matrix
        kernels = [
            (near, compatible @ self.spatial_ker_weights),
            (alike, compatible @ self.bilateral_ker_weights),
        ]
        return mean_field(logits, kernels, self.iterations if self.training else self.inference_iterations)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the authors' three matrices.

        Weights of the network before the CRF, which the authors' file holds too, are left out: the log says
        so, and that they belong to that network.

        Raises:
            CheckpointError: The file holds other weights of a CRF.
        """
        own = self.state_dict()
        if not any(name.startswith(_PUBLISHED) for name in state):
            return dict(state)
        kept = {n.removeprefix(_PUBLISHED): w for n, w in state.items() if n.startswith(_PUBLISHED)}
        if unknown := sorted(_PUBLISHED + name for name in set(kept) - set(own)):
            raise CheckpointError(
                f"the file holds {first_few(unknown, _NAMED)}, expected of the CRF only {', '.join(own)}. "
                "Take a checkpoint of CRF as RNN with these, or drop the others."
            )
        if others := sorted(name for name in state if not name.startswith(_PUBLISHED)):
            _log.warning(
                "left out %d weights of the network before the CRF (%s): load them into that network",
                len(others),
                first_few(others, _NAMED),
            )
        return kept
