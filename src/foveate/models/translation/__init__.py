"""Translators: sentences in one language to sentences in another."""

from foveate.models.translation import luong_translator as luong_translator
from foveate.models.translation import rnn_search as rnn_search
from foveate.models.translation import translator as translator
