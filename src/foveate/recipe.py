"""How a run is trained: one frozen dataclass, whose field texts are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from foveate.errors import OptionError
from foveate.options import check_fields, seed_number

Optimiser = Literal["adamw", "sgd"]
ClassWeights = Literal["inverse", "median_frequency", "effective", "log"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]

LONGEST_SIDE = 32_768  # pixels; anything above is a typo, as no machine trains on such images
_MOST = 1_000_000  # likewise, of epochs and of images in a batch


@dataclass(frozen=True)
class TrainConfig:
    """The recipe of one run. The same for all variants of a study, which is what makes them comparable.

    Raises:
        OptionError: A value outside its range, or two that do not go together.
    """

    epochs: int = 10
    """Passes over the training items."""

    batch_size: int = 64
    """Items in one forward pass. Usual: 32 for scenes, 8 for segmentation."""

    optimizer: Optimiser = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""

    lr: float = 1e-3
    """Peak learning rate. Usual: 1e-4 with pretrained weights, 5e-3 for scenes, 0.1 for SGD."""

    weight_decay: float = 0.05
    """Weight decay of matrices and kernels; gates, norms and biases have none. For SGD: 5e-4."""

    warmup: float = 0.05
    """Share of the steps in which the learning rate rises; after it, a cosine to zero."""

    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""

    accumulate: int = 1
    """Batches whose gradients are summed into one step."""

    clip: float | None = 1.0
    """Largest norm of the gradient of all parameters; None, or 0 on the command line, for no limit."""

    ema: float | None = None
    """Decay of the moving average of the weights that is evaluated and kept, such as 0.999."""

    keep_best: bool = False
    """Keep the weights of the best epoch on the validation split, not the last ones."""

    precision: Precision = "auto"
    """Number format: auto is bf16-mixed on a CUDA device that has it, 32-true elsewhere."""

    gate_reach: float = 2.0
    """How far AdamW can move the gates of inserted attention in a whole run: 1 is the paper's mechanism."""

    gate_warmup: float = 0.0
    """Share of the steps in which the gates' learning rate rises."""

    loss: str | None = None
    """What is minimised, such as ce+0.5*dice; by default the task's usual loss. See `foveate list losses`."""

    class_weights: ClassWeights | None = None
    """Weights of the classes in the loss, from their frequency in training; equal by default."""

    augment: str = "crop_flip"
    """Augmentation of images: none, flip, crop, crop_flip or resized_crop. Usual: crop for scenes."""

    size: int | None = None
    """Side of the images in pixels, the short side with masks; by default what suits model and images."""

    crop: int | None = None
    """With masks: side of the squares that training sees, in pixels; by default the whole image."""

    rare: float = 0.0
    """With masks: share of the crops that are placed over a pixel of a rare class."""

    colour: float = 0.0
    """Largest relative change of brightness, contrast and saturation at random, in [0, 1]."""

    seed: int = 0
    """Decides order, augmentation and dropout; together with the model's weights, the whole run."""

    max_steps: int | None = None
    """Stop after this many steps, on the schedule of all epochs; a later call can resume from there."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("epochs", "batch_size", "accumulate"):
            self._expect(name, 1 <= getattr(self, name) <= _MOST, f"a whole number from 1 to {_MOST}")
        seed_number("seed", self.seed)
        for name in ("warmup", "gate_warmup", "label_smoothing"):
            self._expect(name, 0 <= getattr(self, name) < 1, "a share in [0, 1)")
        self._expect("optimizer", self.optimizer in ("adamw", "sgd"), '"adamw" or "sgd"')
        self._expect("lr", self.lr > 0, "a number above 0")
        self._expect("weight_decay", self.weight_decay >= 0, "a number of at least 0")
        self._expect("gate_reach", self.gate_reach >= 0, "a distance of at least 0")
        self._expect("clip", self.clip is None or self.clip > 0, "a norm above 0, or None")
        self._expect("ema", self.ema is None or 0 < self.ema < 1, "a decay in (0, 1), or None")
        for name in ("size", "crop"):
            side = getattr(self, name)
            fine = side is None or 1 <= side <= LONGEST_SIDE
            self._expect(name, fine, f"1 to {LONGEST_SIDE} pixels, or None")
        self._expect(
            "max_steps", self.max_steps is None or self.max_steps >= 1, "a number of steps >= 1, or None"
        )
        for name in ("rare", "colour"):
            self._expect(name, 0 <= getattr(self, name) <= 1, "a number in [0, 1]")
        known = (None, *get_args(ClassWeights))
        self._expect("class_weights", self.class_weights in known, f"one of {', '.join(known[1:])}, or None")
        formats = ("auto", "32-true", "bf16-mixed", "16-mixed")
        self._expect("precision", self.precision in formats, f"one of {', '.join(formats)}")
        # SGD multiplies decay by the learning rate, which is a hundred times AdamW's: the default would erase
        # weights.
        if self.optimizer == "sgd" and self.lr * self.weight_decay > 1e-3:
            raise OptionError(
                f"weight_decay: got {self.weight_decay} with sgd and lr={self.lr}, which takes "
                f"{self.lr * self.weight_decay:.2%} off every weight at every step. For sgd write "
                "weight_decay=5e-4."
            )

    def _expect(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise OptionError(f"{name}: got {getattr(self, name)!r}, expected {expected}")
