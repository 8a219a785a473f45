"""Losses of dense labels: one file each, and strings that combine them."""

from foveate.tasks.losses.base import Loss as Loss
from foveate.tasks.losses.base import losses as losses
from foveate.tasks.losses.ce import CrossEntropy as CrossEntropy
from foveate.tasks.losses.weights import class_weights as class_weights
from foveate.tasks.losses.dice import Dice as Dice
from foveate.tasks.losses.parse import WeightedSum as WeightedSum
from foveate.tasks.losses.parse import parse_loss as parse_loss
from foveate.tasks.losses.presence import presence as presence
