"""ON WHAT attention is put: foveate's own networks, timm's, torchvision's, and the user's."""

from foveate.models import classification as classification
from foveate.models import crf as crf
from foveate.models import segmentation as segmentation
from foveate.models.base import models as models
from foveate.models.create import create_model as create_model
from foveate.models.create import list_models as list_models
from foveate.models.normalisation import model_normalisation as model_normalisation
from foveate.models.published import load_published as load_published
