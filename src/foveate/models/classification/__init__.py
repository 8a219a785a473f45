"""Classifiers, one file a family."""

from foveate.models.classification import ag_cnn as ag_cnn
from foveate.models.classification import bam_resnet as bam_resnet
from foveate.models.classification import bottom_up as bottom_up
from foveate.models.classification import cbam_resnet as cbam_resnet
from foveate.models.classification import csra as csra
from foveate.models.classification import eca_resnet as eca_resnet
from foveate.models.classification import gc_resnet as gc_resnet
from foveate.models.classification import query2label as query2label
from foveate.models.classification import recurrent_attention as recurrent_attention
from foveate.models.classification import residual_attention as residual_attention
from foveate.models.classification import se_resnet as se_resnet
from foveate.models.classification import sknet as sknet
from foveate.models.classification.resnet_small import SmallResNet as SmallResNet
