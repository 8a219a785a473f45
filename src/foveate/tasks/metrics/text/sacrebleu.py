"""BLEU as sacreBLEU computes it: on plain, cased text, so that scores of different papers can be compared.

Formula that of BLEU with up to four words in a row; zero counts of an order count as 1/2, 1/4, ... of a
        match; no match at all, or no n-gram of some order in the answers, is 0. The length is that of the
        nearest reference.
Record  words of the answer, of the reference, matches and guesses of each order.
Paper   Post. A Call for Clarity in Reporting BLEU Scores. WMT 2018, arXiv:1804.08771.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from foveate.tasks.metrics.text.sacre_metric import SacreMetric, from_sacrebleu
from foveate.tasks.metrics.text.text_metric import text_metrics


@text_metrics.register("sacrebleu")
@dataclass(frozen=True)
class SacreBleu(SacreMetric):
    """sacreBLEU, from 0 to 1; printed in points of 100, as it is usually given.

    Args:
        tokens: How the text is split: ``13a``, ``intl``, ``char`` or ``none``, at spaces.
        cased: Whether the case of letters counts. Published numbers on lower-cased text cannot be compared
            with cased ones, and German without capitals is not German.

    Example:
        >>> metric = SacreBleu()
        >>> counter = metric.prepare([["Ein Hund läuft über das Gras."], ["Zwei Männer sitzen dort."]])
        >>> records = counter.records(["Ein Hund läuft auf das Gras.", "Zwei Männer sitzen dort."])
        >>> round(metric.value(records), 4)
        0.6252
        >>> metric.signature([["Ein Hund."]]).rpartition("|")[0]
        'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp'
    """

    name: str = field(default="sacreBLEU", init=False)
    tokens: Literal["13a", "intl", "char", "none"] = field(default="13a", kw_only=True)
    cased: bool = field(default=True, kw_only=True)

    def original(self) -> Any:
        """Return sacreBLEU's BLEU."""
        options = {"tokenize": self.tokens, "lowercase": not self.cased}
        return from_sacrebleu("sacrebleu", lambda metrics: metrics.BLEU(**options))
