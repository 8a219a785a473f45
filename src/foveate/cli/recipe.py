"""How to train, in the words of a command line: the options that ``train`` and ``compare`` share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from foveate.data.base import ImageData
    from foveate.recipe import TrainConfig

TRAINING = Group("Training", sort_key=2)


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class Recipe:
    """The options of training; None leaves one to what suits the model."""

    epochs: int | None = None
    """Passes over the training images. Default: 10."""

    batch_size: int | None = None
    """Images in a step. Default: 64; 32 for scenes; 8 with masks."""

    size: int | None = None
    """Side of the images in pixels, the short side with masks. Default: what suits model and images."""

    optimizer: Literal["adamw", "sgd"] | None = None
    """AdamW, or SGD with Nesterov momentum. Default: adamw."""

    lr: float | None = None
    """Highest learning rate. Default: 1e-3; 1e-4 with pretrained weights; 5e-3 for scenes."""

    weight_decay: float | None = None
    """Gates, norms and biases have none. Default: 0.05; for SGD write 5e-4."""

    loss: str | None = None
    """With masks: what is minimised, such as ce+0.5*dice. Default: ce, cross-entropy."""

    class_weights: Literal["inverse", "median_frequency", "effective", "log"] | None = None
    """Weigh classes in the loss by how rare they are in training. Default: all alike."""

    augment: Literal["none", "flip", "crop", "crop_flip", "resized_crop"] | None = None
    """What is done to training images at random. Default: crop_flip; crop for scenes;
    resized_crop with masks, by 0.5 to 2."""

    crop: int | None = None
    """With masks: side of the squares that training sees, in pixels. Default: the whole image."""

    rare: float | None = None
    """With masks: share of the crops that are laid over a rare class. Default: 0."""

    colour: float | None = None
    """Change brightness, contrast and saturation at random by up to this. Default: 0."""

    warmup: float | None = None
    """Share of the steps in which the learning rate rises. Default: 0.05."""

    clip: float | None = None
    """Longest gradient, as one vector over all parameters. Default: 1; 0 leaves it as it is."""

    gate_reach: float | None = None
    """How far AdamW can move the gates of inserted attention in the whole run. Default: 2."""

    gate_warmup: float | None = None
    """Share of the steps in which the gates' learning rate rises. Default: 0."""

    max_steps: int | None = None
    """Stop after this many steps, on the schedule of --epochs; a later call can go on."""

    label_smoothing: float | None = None
    """Share of the target that is spread over all classes. Default: 0."""

    ema: float | None = None
    """Decay of a moving average of the weights, which is then what is kept, such as 0.999."""

    keep_best: bool | None = None
    """Keep the weights of the best epoch on the validation images. Default: those of the last."""

    accumulate: int | None = None
    """Batches whose gradients are summed into one step. Default: 1."""

    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] | None = None
    """Number format. Default: bf16-mixed on a GPU that has it, 32-true elsewhere."""

    def config(self, data: ImageData, *, tuned: bool, seed: int = 0) -> TrainConfig:
        """Return the whole recipe.

        Args:
            data: What is trained on.
            tuned: Whether training starts from weights that a large learning rate would wash out.
            seed: The run's seed.

        Raises:
            OptionError: A value is out of its range.
        """
        from foveate.recipe import usual_recipe

        given = {name: value for name, value in asdict(self).items() if value is not None}
        if given.get("clip") == 0:
            given["clip"] = None
        return replace(usual_recipe(data, tuned=tuned), **given, seed=seed)
