"""Segmentation systems, one file a system."""

from foveate.models.segmentation import adaptive_zoom as adaptive_zoom
from foveate.models.segmentation import attention_to_scale as attention_to_scale
from foveate.models.segmentation import attention_unet as attention_unet
from foveate.models.segmentation import bisenet as bisenet
from foveate.models.segmentation import ccnet as ccnet
from foveate.models.segmentation import danet as danet
from foveate.models.segmentation import deeplabv3plus as deeplabv3plus
from foveate.models.segmentation import encnet as encnet
from foveate.models.segmentation import fcn as fcn
from foveate.models.segmentation import ocnet as ocnet
from foveate.models.segmentation import pan as pan
from foveate.models.segmentation import psanet as psanet
from foveate.models.segmentation import u2net as u2net
from foveate.models.segmentation import unet as unet
