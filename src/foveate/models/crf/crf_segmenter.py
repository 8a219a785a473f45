"""A segmentation network with a fully connected CRF behind it, as one model: its labels follow the picture.

Formula y = CRF(f(x), picture), where the picture is x with its normalisation undone, in grey levels 0 to 255
Paper   crf_rnn: Zheng et al. Conditional Random Fields as Recurrent Neural Networks. ICCV 2015.
        arXiv:1502.03240; dense_crf: Chen, Papandreou, Kokkinos, Murphy, Yuille. DeepLab. TPAMI 2018.
        arXiv:1606.00915, section 3.3.
Shapes  images (B, C, H, W) -> logits (B, classes, H, W); map (B, 1, H, W): the share of each pixel's
        probability that the CRF gave to other labels, formed only while recording.
Cost    the network's, and 3 * classes^2 parameters (crf_rnn), or 2 * classes^2 (dense_crf with
        trainable=True).
Differs any segmentation network, where crf_rnn's authors have FCN-8s and start from its trained weights.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveate.errors import CheckpointError, OptionError
from foveate.mechanisms.map_tap import MapTap
from foveate.models.create import create_model
from foveate.models.crf.crf_rnn import CRFasRNN
from foveate.models.crf.kernels import Method
from foveate.models.crf.layer import DenseCRF
from foveate.models.crf.operators import Normalise
from foveate.models.names import models, resolve
from foveate.models.normalisation import HALF, Triple, keep_normalisation, model_normalisation
from foveate.models.segmentation.segmenter import Segmenter
from foveate.models.weight_names import translated
from foveate.options import whole

LEVELS = 255  # the brightest grey level
_log = logging.getLogger("foveate")


class RefinedSegmenter(Segmenter):
    """A segmentation network, and a CRF on its logits and the picture.

    Outputs that the network has only for training are unchanged.

    Args:
        classes: Channels of the output, at least 2.
        network: Images to logits.
        crf: Logits (B, classes, H, W) and pictures (B, C, H, W) of 0 to 255 to logits.
    """

    def __init__(self, classes: int, network: Segmenter, crf: nn.Module) -> None:
        super().__init__(classes, network.in_channels)
        self.network, self.crf, self.aux = network, crf, network.aux
        self.__dict__["aux_weights"] = network.aux_weights  # elsewhere an attribute of the class
        self.map = MapTap("b 1 h w")
        keep_normalisation(self, *model_normalisation(network))

    def heads(self, x: Float[Tensor, "b c h w"]) -> dict[str, Float[Tensor, "b q _ _"]]:
        """Return the logits refined by the picture and, while training, the network's auxiliary ones."""
        logits = self.network.heads(x)
        alone = self.network.fitted(logits["out"], x)
        if not self.refines():
            return {**logits, "out": alone}
        refined = self.crf(alone, self.pictures(x))
        if self.map.recording:
            moved = (alone.float().softmax(dim=1) - refined.float().softmax(dim=1)).abs()
            self.map(moved.sum(dim=1, keepdim=True) / 2)
        return {**logits, "out": refined}

    def refines(self) -> bool:
        """Return whether the CRF refines the network's output: in training only if it learns."""
        return not self.training or any(True for _ in self.crf.parameters())

    def fitted(self, logits: Tensor, images: Tensor) -> Tensor:
        """Return ``logits`` at the size of ``images``, resized as the network does it."""
        return self.network.fitted(logits, images)

    def pictures(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return normalised images as grey levels, to the nearest whole one."""
        mean, std = model_normalisation(self) if x.shape[1] == len(HALF) else (HALF, HALF)
        scale, shift = (
            x.new_tensor(v, dtype=torch.float32)[None, : x.shape[1], None, None] for v in (std, mean)
        )
        if x.shape[1] != len(HALF):
            scale, shift = scale[:, :1], shift[:, :1]
        return ((x.detach().float() * scale + shift) * LEVELS).round()

    @property
    def published_normalisation(self) -> tuple[Triple, Triple] | None:
        """Mean and deviation that published weights of the network expect."""
        return self.network.published_normalisation

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of this model, or those of the network alone, with which the CRF keeps its start.

        Raises:
            CheckpointError: They are the authors' of CRF-RNN, which belong to two parts.
        """
        if any(name.startswith("crfrnn.") for name in state):
            raise CheckpointError(
                "these are the weights of CRF-RNN and of the network before it. Load each into its own: "
                "fv.load_published(model.crf, ...), and the network's into model.network."
            )
        if any(name.startswith(("network.", "crf.")) for name in state):
            return dict(state)
        own = {f"crf.{name}": value for name, value in self.crf.state_dict().items()}
        if own:
            _log.warning("these are weights of the network only: the CRF keeps its initial values")
        named = translated(state, self.network)
        return {**own, **{f"network.{name}": value for name, value in named.items()}}


@models.register("crf_rnn")
class CRFRNN(RefinedSegmenter):
    """A segmentation network, and a CRF that learns with it what its kernels and labels weigh.

    Args:
        classes: Channels of the output, at least 2.
        model: A segmentation network of foveate; options may follow the name: ``"unet(depth=4)"``.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier, for the network's encoder.
        position: Standard deviation of position in the kernel with colour, in pixels. Authors: 160.
        colour: Standard deviation of colour, in grey levels. Authors: 3.
        gaussian_std: Standard deviation of position in the kernel without colour, in pixels. Authors: 3.
        iterations: While training. Paper: 5.
        inference_iterations: In evaluation. Paper: 10.
        method: ``"auto"``, ``"exact"``, ``"fine"`` or ``"fast"``; see ``DenseCRF``.
        options: The network's, such as ``encoder="resnet18"``.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It is not a segmentation network, or an option has an impossible value.

    Example:
        >>> model = CRFRNN(classes=2, model="unet", encoder="resnet18").eval()
        >>> model(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 2, 33, 47])
    """

    def __init__(
        self,
        *,
        classes: int,
        model: str = "unet",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        position: float = 160.0,
        colour: float = 3.0,
        gaussian_std: float = 3.0,
        iterations: int = 5,
        inference_iterations: int = 10,
        method: Method = "auto",
        **options: Any,
    ) -> None:
        network = _network(model, classes, in_channels, pretrained_encoder, options)
        crf = CRFasRNN(
            classes,
            position=position,
            colour=colour,
            gaussian_std=gaussian_std,
            iterations=iterations,
            inference_iterations=inference_iterations,
            method=method,
        )
        super().__init__(classes, network, crf)


@models.register("dense_crf")
class DenseCRFSegmenter(RefinedSegmenter):
    """A segmentation network with a dense CRF behind it: by default not trained, and in evaluation only.

    Args:
        classes: Channels of the output, at least 2.
        model: A segmentation network of foveate; options may follow the name: ``"unet(depth=4)"``.
        in_channels: Channels of the images.
        pretrained_encoder: Fetch the weights of the published classifier, for the network's encoder.
        position: Standard deviation of position in the kernel with colour, in pixels.
        colour: Standard deviation of colour, in grey levels.
        bilateral_weight: Weight of the kernel with colour.
        gaussian_std: Standard deviation of position in the kernel without colour, in pixels.
        gaussian_weight: Weight of the kernel without colour.
        iterations: Of mean field.
        normalise: ``"symmetric"``, ``"after"``, ``"before"`` or ``"none"``; see ``DenseCRF``.
        method: ``"auto"``, ``"exact"``, ``"fine"`` or ``"fast"``; see ``DenseCRF``.
        trainable: Whether the CRF's two matrices are learnt; it is then applied in training too.
        options: The network's, such as ``encoder="resnet18"``.

    Raises:
        UnknownNameError: There is no such network.
        OptionError: It is not a segmentation network, or an option has an impossible value.

    Example:
        >>> model = DenseCRFSegmenter(classes=2, model="fcn", encoder="resnet18").eval()
        >>> model(torch.rand(1, 3, 33, 47)).shape
        torch.Size([1, 2, 33, 47])
    """

    def __init__(
        self,
        *,
        classes: int,
        model: str = "unet",
        in_channels: int = 3,
        pretrained_encoder: bool = False,
        position: float = 80.0,
        colour: float = 13.0,
        bilateral_weight: float = 10.0,
        gaussian_std: float = 3.0,
        gaussian_weight: float = 3.0,
        iterations: int = 5,
        normalise: Normalise = "symmetric",
        method: Method = "auto",
        trainable: bool = False,
        **options: Any,
    ) -> None:
        network = _network(model, classes, in_channels, pretrained_encoder, options)
        crf = DenseCRF(
            classes,
            position=position,
            colour=colour,
            bilateral_weight=bilateral_weight,
            gaussian_std=gaussian_std,
            gaussian_weight=gaussian_weight,
            iterations=iterations,
            normalise=normalise,
            method=method,
            trainable=trainable,
        )
        super().__init__(classes, network, crf)


def _network(
    name: str, classes: int, in_channels: int, pretrained: bool, options: Mapping[str, Any]
) -> Segmenter:
    """Return the network in front of the CRF."""
    if whole("classes", classes) < 2:
        raise OptionError("classes: got 1, expected at least 2: the labels of a CRF compete with each other")
    wrong = OptionError(f'model: {name} is not a segmentation network of foveate for images. Try "unet".')
    source, bare = resolve(name)
    if source in ("timm", "torchvision") or (source == "foveate" and not _takes_channels(bare)):
        raise wrong
    more = {**options, "pretrained_encoder": True} if pretrained else options
    network = create_model(name, classes=classes, in_channels=in_channels, **more)
    if not isinstance(network, Segmenter) or network.dimensions != 2:
        raise wrong
    return network


def _takes_channels(name: str) -> bool:
    """Return whether one of our networks takes images of any number of channels, as every segmenter does."""
    parameters = inspect.signature(models[name]).parameters
    return "in_channels" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
