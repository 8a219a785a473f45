"""Metrics of dense labels: counts that add up over images, and the values of their sums."""

from foveate.tasks.metrics.auroc_pixels import PixelAUROC as PixelAUROC
from foveate.tasks.metrics.base import CountedMetric as CountedMetric
from foveate.tasks.metrics.base import metrics as metrics
from foveate.tasks.metrics.base import parse_metric as parse_metric
from foveate.tasks.metrics.boundary_f1 import BoundaryF1 as BoundaryF1
from foveate.tasks.metrics.confusion import confusion as confusion
from foveate.tasks.metrics.overlaps import FrequencyWeightedIoU as FrequencyWeightedIoU
from foveate.tasks.metrics.overlaps import MeanAccuracy as MeanAccuracy
from foveate.tasks.metrics.overlaps import MeanDice as MeanDice
from foveate.tasks.metrics.overlaps import MeanIoU as MeanIoU
from foveate.tasks.metrics.overlaps import PixelAccuracy as PixelAccuracy
from foveate.tasks.metrics.saliency import AdaptiveF as AdaptiveF
from foveate.tasks.metrics.saliency import MaxF as MaxF
from foveate.tasks.metrics.saliency import MeanAbsoluteError as MeanAbsoluteError
