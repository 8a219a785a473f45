"""Classifiers of pictures too large to process whole: by patches of them, or by an overview."""

from foveate.models.large import downscaled as downscaled
from foveate.models.large import patch_convnet as patch_convnet
from foveate.models.large import patch_resnet18 as patch_resnet18
from foveate.models.large import select as select
