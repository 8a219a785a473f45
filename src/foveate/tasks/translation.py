"""Translation: sentences in one language, answered in another.

Batch    source (B, S) and target (B, T) word numbers, each with its end and padded; references as text.
Outputs  ``Decoded``: logits (B, T, V) of the words of the target.
Loss     cross-entropy of the words of the reference, with label smoothing; see ``word_task``.
Record   what the metrics count in the translation that beam search finds: sacreBLEU, the usual one, and chrF.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from foveate.data.checks.finding import Finding
from foveate.data.feed import Data, Feed
from foveate.data.open import call_opener
from foveate.data.pairs.check_sentences import check_sentences, opening_warnings
from foveate.data.pairs.looks_like_pairs import looks_like_pairs
from foveate.data.pairs.open_pairs import open_pairs
from foveate.data.pairs.pair_data import PairData
from foveate.data.pairs.sentence_feed import SentenceBatch, SentenceFeed
from foveate.data.words.build_vocabularies import Units, build_vocabularies
from foveate.data.words.read_vocabulary import read_vocabulary
from foveate.data.words.special import END, FIRST, PAD, PRINTED, START
from foveate.decoding.hypothesis import Hypothesis
from foveate.decoding.search_options import SearchOptions
from foveate.errors import ShapeError
from foveate.recipe import TrainConfig
from foveate.running import device_of, eval_no_grad
from foveate.tasks.asked_search import drawing, search_inputs, telling
from foveate.tasks.base import Inputs, tasks
from foveate.tasks.cards.written_answers import choose, text_card
from foveate.tasks.counted_feed import CountedFeed
from foveate.tasks.drawn_reading import write_reading
from foveate.tasks.judged import Told, WordReading
from foveate.tasks.own_data import own_data
from foveate.tasks.sentences import sentences_of
from foveate.tasks.word_task import JUDGED, Answer, WordTask, word_model
from foveate.typed import Misfit, quoted

_SPARE = 10  # words of a translation beyond twice those of its source
_USUAL = SearchOptions(max_length=200)


@tasks.register("translation")
class Translation(WordTask):
    """Sentences answered in another language; see the module's docstring."""

    name = "translation"
    items = "sentences"
    usual_metric: ClassVar[str] = "sacrebleu"
    told_metrics: ClassVar[tuple[str, ...]] = ("chrf",)

    def __init__(self, inputs: Inputs, *, recipe: TrainConfig = TrainConfig(), metric: str | None = None):  # noqa: B008  # frozen
        super().__init__(inputs, recipe=recipe, metric=metric)
        self.source = read_vocabulary(inputs["source"], "source")

    # What the data is

    @classmethod
    def opens(cls, source: object) -> bool:
        """Return whether a path holds sentences in two languages."""
        return looks_like_pairs(source)

    @classmethod
    def open(cls, source: object, /, **options: object) -> PairData:
        """Open pairs of sentences; see ``open_pairs``."""
        return call_opener("sentences", open_pairs, options, source)

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for empty and endless lines, duplicates, damaged characters, swapped languages and copies."""
        return check_sentences(_pairs(data))

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return what was left out when the data was opened, and why."""
        return opening_warnings(_pairs(data))

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless these are pairs of sentences."""
        _pairs(data)

    @classmethod
    def inputs_of(
        cls,
        data: Data,
        *,
        units: Units = "bpe",
        size: int | None = None,
        min_count: int | None = None,
        joint: bool = False,
        lower: bool = False,
        beam: int | None = None,
        length_penalty: float | None = None,
        coverage_penalty: float | None = None,
        max_length: int | None = None,
        unknown: bool = False,
    ) -> dict[str, Any]:
        """Return the vocabularies of the training sentences, and how translations are searched.

        Args:
            data: The pairs.
            units: Whole words, or parts of words (byte-pair encoding).
            size: Words of each vocabulary, the four special ones included; 8,000 with parts if None.
            min_count: How often a word has to occur (2 if None), or a pair of parts to be merged.
            joint: Whether both languages share a vocabulary.
            lower: Whether capitals become small letters, in both languages; a score of such German text is
                not comparable with others.
            beam: Of the search; 5 if None.
            length_penalty: Of the search; 1 if None. See ``SearchOptions``, likewise the following.
            coverage_penalty: Of the search; 0 if None.
            max_length: The greatest number of words; at most twice the sentence's and 10 in any case.
            unknown: Whether the word for unknown words may be answered.
        """
        pairs = _pairs(data)
        train = pairs.splits["train"]
        source, target = build_vocabularies(
            train.source,
            train.target,
            joint=joint,
            units=units,
            size=size,
            min_count=min_count or (2 if units == "words" else None),
            lower=lower,
        )
        asked = {
            "beam": beam,
            "length_penalty": length_penalty,
            "coverage_penalty": coverage_penalty,
            "max_length": max_length,
        }
        return {
            "source": source.plain(),
            "target": target.plain(),
            "languages": [pairs.source_language, pairs.target_language],
            "search": search_inputs(asked, _USUAL, unknown=unknown),
        }

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        if "source" not in plain:
            raise Misfit("source", "missing", "the vocabulary of the source")
        read_vocabulary(plain["source"], "source")
        languages = plain.get("languages")
        if not (isinstance(languages, list) and len(languages) == 2 and {*map(type, languages)} == {str}):
            raise Misfit("languages", repr(languages), "the names of two languages")
        return super().read_inputs(plain)

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the numbered splits; what is judged on carries what counts translations."""
        found: dict[str, Feed] = {}
        for name, split in _pairs(data).splits.items():
            feed = SentenceFeed(split, self.source, self.target)
            references = [[sentence] for sentence in split.target] if name != "train" else []
            counters = tuple(metric.prepare(references) for metric in (self.metric, *self.told) if references)
            found[name] = CountedFeed(feed, counters) if references else feed
        return found

    def facts(self) -> tuple[str, ...]:
        """Return languages, vocabularies and the search."""
        first, second = self.inputs["languages"]
        search = f"beam {self.options.beam}, length penalty {self.options.length_penalty:g}"
        if self.source == self.target:
            return f"{first} to {second}", f"one vocabulary: {self.source.facts()}", search
        return (
            f"{first} to {second}",
            f"{first}: {self.source.facts()}",
            f"{second}: {self.target.facts()}",
            search,
        )

    # What the model is

    @classmethod
    def models(cls) -> str:
        """Return the names of models for this task."""
        return "translator, rnn_search, luong_translator"

    def model_options(self) -> dict[str, object]:
        """Return the sizes of both vocabularies."""
        return {"classes": len(self.target), "source_words": len(self.source)}

    def example(self, items: int = 2) -> tuple[Tensor, Tensor]:
        """Return sentences (B, 5) and the words fed to the decoder (B, 4)."""
        words = torch.full((items, 4), FIRST)
        words[:, 0] = START
        return torch.full((items, 5), FIRST), words

    def given(self, items: SentenceBatch) -> tuple[Tensor, ...]:
        """Return the sentences."""
        return (items.source,)

    def wanted(self, items: SentenceBatch) -> Tensor:
        """Return the translations."""
        return items.target

    def limits(self, items: SentenceBatch) -> list[int]:
        """Return twice the length of each sentence, and some words more."""
        return (2 * (items.source != PAD).sum(dim=1) + _SPARE).tolist()

    # What one sees

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Any,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return the sentences that the variants translate differently, with what each word read."""
        chosen, differ = choose({name: answers[name] for name in models})
        split = feed.feed.split
        found = {
            name: self._searched(model, [split.source[i] for i in chosen]) for name, model in models.items()
        }
        cards = []
        for place, i in enumerate(chosen):
            source = [*self.source.pieces(self.source.encode(split.source[i])), PRINTED[END]]
            subject = {"source": split.source[i], "read": source, "reference": [split.target[i]]}
            read = {name: self.read_by(of[place][0], len(source)) for name, of in found.items()}
            cards.append(text_card(i, str(feed.names[i]), subject, answers, scores, read, differ[i]))
        return cards

    # Using a trained model

    def reads(self, model: nn.Module, inputs: object) -> list[WordReading]:
        """Return what each word of a translation read, for each sentence: a text, or a sequence of texts."""
        texts = [inputs] if isinstance(inputs, str) else list(inputs)  # type: ignore[call-overload]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise ShapeError(f"look: got {quoted(inputs)}, expected a sentence, or a list of sentences")
        return [
            self._read(text, hypotheses)
            for text, hypotheses in zip(texts, self._searched(model, texts), strict=True)
        ]

    def _read(self, text: str, hypotheses: Sequence[Hypothesis]) -> WordReading:
        """Return what each word of the best translation read."""
        source = [*self.source.pieces(self.source.encode(text)), PRINTED[END]]
        return self.reading(text, hypotheses[0], len(source), read=source)

    def predict(
        self, model: nn.Module, inputs: object, *, nbest: int | None = None, **options: Any
    ) -> list[str] | list[list[Answer]]:
        """Return the translations of sentences.

        Args:
            model: Trained.
            inputs: A sentence, or a sequence of sentences.
            nbest: How many translations of each; with it come their scores.
            options: Of the search, such as ``beam`` and ``length_penalty``; those of the training if left
                out. ``sample=True`` draws translations, from ``seed`` if there is one.

        Returns:
            One text a sentence; with ``nbest`` a list of ``Answer``, best first. An empty sentence has an
            empty translation.

        Raises:
            ShapeError: Something other than text came.
            OptionError: There is no such option.
        """
        texts = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise ShapeError(
                f"predict: got {type(inputs).__name__}, expected a sentence or a list of sentences"
            )
        asked = {"nbest": 1 if nbest is None else nbest, **options}
        asked["generator"] = drawing(model, asked)
        found = [self._best(some) for some in self._translated(model, texts, asked)]
        return found if nbest is not None else [answers[0]["text"] for answers in found]

    def tell(
        self, model: nn.Module, words: Sequence[str], *, out: Path | None = None, **options: Any
    ) -> Iterator[Told]:
        """Yield the translation of every sentence: each line of a file or of standard input, or as written.

        With ``out``, draw what each word of it was read from.

        Raises:
            OptionError: The task has no such option, or nothing can be drawn.
            DataError: A file cannot be read.
        """
        nbest, asked = options.get("nbest", 1), telling(model, options, out)
        number = 0
        for name, texts in sentences_of(words):
            for first in range(0, len(texts), JUDGED):
                some = texts[first : first + JUDGED]
                for text, found in zip(some, self._translated(model, some, asked), strict=True):
                    number += 1
                    answers = self._best(found)
                    best = answers[0]["text"]
                    lines = (
                        (best,) if nbest == 1 else tuple(f"{a['score']:8.3f}  {a['text']}" for a in answers)
                    )
                    plain: dict[str, Any] = {"source": text, "from": name, "translations": answers}
                    if out is not None and found:
                        files = write_reading(self._read(text, found), out, number)
                        plain["files"] = [str(file) for file in files]
                    yield Told("" if nbest == 1 else text, lines, plain)

    def _best(self, hypotheses: Sequence[Hypothesis]) -> list[Answer]:
        """Return the best translations as plain data; one without words of a sentence without words."""
        empty: Answer = {"text": "", "score": 0.0, "log_probability": 0.0, "finished": True}
        return self.best_of(hypotheses) or [empty]

    def _translated(
        self, model: nn.Module, texts: Sequence[str], options: Mapping[str, Any]
    ) -> list[list[Hypothesis]]:
        """Return the best translations of each sentence, none of an empty one.

        Long and short ones are searched apart.
        """
        order = sorted((i for i in range(len(texts)) if texts[i].strip()), key=lambda i: len(texts[i]))
        found: list[list[Hypothesis]] = [[] for _ in texts]
        for first in range(0, len(order), JUDGED):
            some = order[first : first + JUDGED]
            answers = self._searched(model, [texts[i] for i in some], **{"keep_weights": False, **options})
            for i, hypotheses in zip(some, answers, strict=True):
                found[i] = hypotheses
        return found

    def _searched(
        self, model: nn.Module, texts: Sequence[str], *, keep_weights: bool = True, **options: Any
    ) -> list[Any]:
        if not texts:
            return []
        rows = [torch.tensor(self.source.encode(text)) for text in texts]
        source = pad_sequence(rows, batch_first=True, padding_value=PAD).to(device_of(model))
        items = SentenceBatch(source, source[:, :0], ("",) * len(texts), torch.arange(len(texts)))
        with eval_no_grad(word_model(model)):
            return self.answers(model, items, keep_weights=keep_weights, **options)


def _pairs(data: Data) -> PairData:
    return own_data(data, PairData, "pairs of sentences")
