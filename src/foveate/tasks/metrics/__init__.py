"""Metrics, one file each: of one class per item, and of dense labels, whose counts add up over images."""

from foveate.tasks.metrics.accuracy import Accuracy as Accuracy
from foveate.tasks.metrics.auroc_classes import ClassAUROC as ClassAUROC
from foveate.tasks.metrics.auroc_pixels import PixelAUROC as PixelAUROC
from foveate.tasks.metrics.balanced_accuracy import BalancedAccuracy as BalancedAccuracy
from foveate.tasks.metrics.boundary_f1 import BoundaryF1 as BoundaryF1
from foveate.tasks.metrics.brier import Brier as Brier
from foveate.tasks.metrics.confusion import confusion as confusion
from foveate.tasks.metrics.counted_metric import CountedMetric as CountedMetric
from foveate.tasks.metrics.counted_metric import metrics as metrics
from foveate.tasks.metrics.counted_metric import parse_metric as parse_metric
from foveate.tasks.metrics.f1 import MacroF1 as MacroF1
from foveate.tasks.metrics.label_metric import LabelMetric as LabelMetric
from foveate.tasks.metrics.label_metric import label_metrics as label_metrics
from foveate.tasks.metrics.label_metric import parse_label_metric as parse_label_metric
from foveate.tasks.metrics.log_loss import LogLoss as LogLoss
from foveate.tasks.metrics.overlaps import FrequencyWeightedIoU as FrequencyWeightedIoU
from foveate.tasks.metrics.overlaps import MeanAccuracy as MeanAccuracy
from foveate.tasks.metrics.overlaps import MeanDice as MeanDice
from foveate.tasks.metrics.overlaps import MeanIoU as MeanIoU
from foveate.tasks.metrics.overlaps import PixelAccuracy as PixelAccuracy
from foveate.tasks.metrics.saliency import AdaptiveF as AdaptiveF
from foveate.tasks.metrics.saliency import MaxF as MaxF
from foveate.tasks.metrics.saliency import MeanAbsoluteError as MeanAbsoluteError
from foveate.tasks.metrics.top_k import TopK as TopK
