"""Detectors on any encoder, one file a system; torchvision's own come by their names."""

from foveate.models.detection import faster_rcnn as faster_rcnn
from foveate.models.detection import fcos as fcos
from foveate.models.detection import retinanet as retinanet
