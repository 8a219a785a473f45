"""Metrics of drawn pictures, one file each: how like the real ones, how varied, and what was asked for."""

from foveate.tasks.metrics.pictures.fid import FID as FID
from foveate.tasks.metrics.pictures.goal_accuracy import ClassAccuracy as ClassAccuracy
from foveate.tasks.metrics.pictures.goal_accuracy import PoseAccuracy as PoseAccuracy
from foveate.tasks.metrics.pictures.kid import KID as KID
from foveate.tasks.metrics.pictures.nearest_training import NearestTraining as NearestTraining
from foveate.tasks.metrics.pictures.picture_metric import PictureMetric as PictureMetric
from foveate.tasks.metrics.pictures.picture_metric import parse_picture_metric as parse_picture_metric
from foveate.tasks.metrics.pictures.picture_metric import picture_metrics as picture_metrics
from foveate.tasks.metrics.pictures.precision_recall import Precision as Precision
from foveate.tasks.metrics.pictures.precision_recall import Recall as Recall
