"""Training: one loop for every task."""

from foveate.recipe import TrainConfig as TrainConfig
from foveate.train.evaluate import Evaluation as Evaluation
from foveate.train.evaluate import evaluate as evaluate
from foveate.train.loop import fit as fit
from foveate.train.result import FitResult as FitResult
