"""Metrics of detected boxes, as COCO defines them."""

from foveate.tasks.metrics.boxes.average_precision import AveragePrecision as AveragePrecision
from foveate.tasks.metrics.boxes.average_precision import AveragePrecision50 as AveragePrecision50
from foveate.tasks.metrics.boxes.average_precision import AveragePrecision75 as AveragePrecision75
from foveate.tasks.metrics.boxes.average_precision import BoxMetric as BoxMetric
from foveate.tasks.metrics.boxes.average_precision import box_metrics as box_metrics
from foveate.tasks.metrics.boxes.average_precision import parse_box_metric as parse_box_metric
from foveate.tasks.metrics.boxes.average_recall import average_recall as average_recall
from foveate.tasks.metrics.boxes.coco_figures import coco_figures as coco_figures
from foveate.tasks.metrics.boxes.match_boxes import Detected as Detected
from foveate.tasks.metrics.boxes.match_boxes import match_boxes as match_boxes
from foveate.tasks.metrics.boxes.match_records import Matches as Matches
from foveate.tasks.metrics.boxes.match_records import record_of as record_of
