"""Losses of dense labels: one file each, and strings that combine them."""

from foveate.tasks.losses.boundary import Boundary as Boundary
from foveate.tasks.losses.category_consistent import category_consistent as category_consistent
from foveate.tasks.losses.ce import CrossEntropy as CrossEntropy
from foveate.tasks.losses.dice import Dice as Dice
from foveate.tasks.losses.focal import Focal as Focal
from foveate.tasks.losses.loss import Loss as Loss
from foveate.tasks.losses.loss import losses as losses
from foveate.tasks.losses.lovasz import LovaszSoftmax as LovaszSoftmax
from foveate.tasks.losses.ohem import HardExamples as HardExamples
from foveate.tasks.losses.parse import WeightedSum as WeightedSum
from foveate.tasks.losses.parse import parse_loss as parse_loss
from foveate.tasks.losses.presence import presence as presence
from foveate.tasks.losses.weights import class_weights as class_weights
