"""ON WHAT attention is put: foveate's own networks, timm's, torchvision's, and the user's."""

from foveate.models import classification as classification
from foveate.models import crf as crf
from foveate.models import detection as detection
from foveate.models import generation as generation
from foveate.models import large as large
from foveate.models import segmentation as segmentation
from foveate.models.captioning import adaptive_captioner as adaptive_captioner
from foveate.models.captioning import show_attend_tell as show_attend_tell
from foveate.models.create import create_model as create_model
from foveate.models.create import list_models as list_models
from foveate.models.create import named_normalisation as named_normalisation
from foveate.models.names import models as models
from foveate.models.normalisation import model_normalisation as model_normalisation
from foveate.models.published import load_published as load_published
from foveate.models.question import blind as blind
from foveate.models.question import show_ask_attend_answer as show_ask_attend_answer
from foveate.models.question import stacked_attention as stacked_attention
from foveate.models.question import top_down as top_down
from foveate.models.translation import luong_translator as luong_translator
from foveate.models.translation import rnn_search as rnn_search
from foveate.models.translation import translator as translator
