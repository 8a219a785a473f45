"""Models that look at a picture with a goal in mind: a question, a class, a vector."""

from foveate.models.question import blind as blind
from foveate.models.question import show_ask_attend_answer as show_ask_attend_answer
from foveate.models.question import stacked_attention as stacked_attention
from foveate.models.question import top_down as top_down
