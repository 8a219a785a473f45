"""The fully connected CRF: a segmentation refined by the colours of its image."""

from foveate.models.crf.crf_rnn import CRFasRNN as CRFasRNN
from foveate.models.crf.crf_segmenter import CRFRNN as CRFRNN
from foveate.models.crf.crf_segmenter import DenseCRFSegmenter as DenseCRFSegmenter
from foveate.models.crf.layer import DenseCRF as DenseCRF
from foveate.models.crf.mean_field import mean_field as mean_field
from foveate.models.crf.refine import refine as refine
