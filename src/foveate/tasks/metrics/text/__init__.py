"""Metrics of texts against references, one file each: captions and translations. None of them needs Java."""

from foveate.tasks.metrics.text.bleu import Bleu1 as Bleu1
from foveate.tasks.metrics.text.bleu import Bleu2 as Bleu2
from foveate.tasks.metrics.text.bleu import Bleu3 as Bleu3
from foveate.tasks.metrics.text.bleu import Bleu4 as Bleu4
from foveate.tasks.metrics.text.chrf import Chrf as Chrf
from foveate.tasks.metrics.text.cider import Cider as Cider
from foveate.tasks.metrics.text.cider import CiderD as CiderD
from foveate.tasks.metrics.text.meteor import MeteorExact as MeteorExact
from foveate.tasks.metrics.text.meteor import MeteorStem as MeteorStem
from foveate.tasks.metrics.text.rouge_l import RougeL as RougeL
from foveate.tasks.metrics.text.sacrebleu import SacreBleu as SacreBleu
from foveate.tasks.metrics.text.text_metric import TextCounter as TextCounter
from foveate.tasks.metrics.text.text_metric import TextMetric as TextMetric
from foveate.tasks.metrics.text.text_metric import parse_text_metric as parse_text_metric
from foveate.tasks.metrics.text.text_metric import text_metrics as text_metrics
