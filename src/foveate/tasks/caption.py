"""Captioning: pictures, described in a sentence.

Batch    pictures (B, 3, H, W) or their features (B, N, D), one caption (B, T) each, and all captions as text.
Outputs  ``Decoded``: logits (B, T, V) of the words.
Loss     cross-entropy of the words of the caption, with label smoothing, and the model's own terms.
Record   what the metrics count in the caption that beam search finds: CIDEr-D, the usual one, BLEU, ROUGE-L.

A frozen encoder runs once over all pictures: its features are kept on disk, and training reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from foveate.calls import parse_call
from foveate.data.captions.caption_data import CaptionData, CaptionSplit
from foveate.data.captions.caption_feed import CaptionBatch, caption_feeds
from foveate.data.captions.captioned_sheet import captioned_sheet
from foveate.data.captions.check_captions import check_captions, opening_warnings
from foveate.data.captions.looks_like_captions import looks_like_captions
from foveate.data.captions.open_captions import open_captions
from foveate.data.checks.finding import Finding
from foveate.data.feature_cache import stored_pictures
from foveate.data.feed import Data, Feed
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.open import call_opener
from foveate.data.words.build_vocabularies import Units, build_vocabulary
from foveate.data.words.special import FIRST, START
from foveate.decoding.hypothesis import Hypothesis
from foveate.decoding.search_options import SearchOptions
from foveate.errors import DataError, ShapeError
from foveate.models.captioning.places import Places
from foveate.models.encoders.last_map import LastMap
from foveate.models.made_for import USUAL
from foveate.recipe import TrainConfig
from foveate.running import eval_no_grad
from foveate.tasks.asked_search import drawing, search_inputs, telling
from foveate.tasks.base import Inputs, tasks
from foveate.tasks.cards.overlay import data_uri, shown
from foveate.tasks.cards.written_answers import choose, text_card
from foveate.tasks.counted_feed import CountedFeed
from foveate.tasks.drawn_reading import write_reading
from foveate.tasks.judged import Told, WordReading
from foveate.tasks.own_data import own_data
from foveate.tasks.part import Network
from foveate.tasks.picture_inputs import listed, opened, reading_of
from foveate.tasks.picture_words import PictureWords, expect_pictures, last_map, unreadable
from foveate.tasks.word_task import JUDGED, Answer, WordTask, word_model

_USUAL = SearchOptions(max_length=30)


@tasks.register("caption")
class Caption(PictureWords, WordTask):
    """Pictures described in a sentence; see the module's docstring."""

    name = "caption"
    items = "images"
    usual_metric: ClassVar[str] = "cider_d"
    told_metrics: ClassVar[tuple[str, ...]] = ("bleu_4", "bleu_1", "rouge_l", "meteor_exact")
    usual: ClassVar[TrainConfig] = TrainConfig(
        lr=1e-3, batch_size=50, epochs=10, weight_decay=0.01, label_smoothing=0.1, augment="none"
    )

    # What the data is

    @classmethod
    def opens(cls, source: object) -> bool:
        """Return whether a path holds pictures with captions."""
        return looks_like_captions(source)

    @classmethod
    def open(cls, source: object, /, **options: object) -> CaptionData:
        """Open pictures with captions; see ``open_captions``."""
        return call_opener("captions", open_captions, options, source)

    @classmethod
    def check(cls, data: Data) -> list[Finding]:
        """Look for missing and broken pictures, empty captions, and pictures that two splits share."""
        return check_captions(_captions(data))

    @classmethod
    def warnings(cls, data: Data) -> list[Finding]:
        """Return what was left out when the data was opened, and why."""
        return opening_warnings(_captions(data))

    @classmethod
    def draw_alike(cls, data: Data | None, findings: Sequence[Finding], path: Path) -> str:
        """Draw the pictures that look alike side by side, and then others, all with their captions."""
        if data is None:
            return f"{path}: not written; the pictures cannot be opened"
        return captioned_sheet(_captions(data), findings, path)

    @classmethod
    def expect(cls, data: Data) -> None:
        """Raise unless these are pictures with captions."""
        _captions(data)

    @classmethod
    def inputs_of(
        cls,
        data: Data,
        *,
        units: Units = "words",
        vocabulary: int | None = None,
        min_count: int | None = None,
        lower: bool = True,
        features: bool = True,
        every_caption: bool = True,
        beam: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        unknown: bool = False,
    ) -> dict[str, Any]:
        """Return the vocabulary of the training captions, and how captions are searched.

        Args:
            data: Pictures with captions.
            units: Whole words, or parts of words (byte-pair encoding).
            vocabulary: Words of the vocabulary, the four special ones included; no limit with words if None.
            min_count: How often a word has to occur; 3 if None.
            lower: Whether capitals become small letters, as the metrics of captions do.
            features: Whether a frozen encoder runs once over all pictures and its features are kept on disk.
            every_caption: Whether an epoch has every caption once; if not, every picture once, with one of
                its captions.
            beam: Of the search; 5 if None.
            length_penalty: Of the search; 1 if None. See ``SearchOptions``.
            max_length: The greatest number of words; 30 if None.
            unknown: Whether the word for unknown words may be answered.
        """
        captions = _captions(data)
        words = build_vocabulary(
            captions.texts(),
            units=units,
            size=vocabulary,
            min_count=min_count or (3 if units == "words" else None),
            lower=lower,
        )
        asked = {"beam": beam, "length_penalty": length_penalty, "max_length": max_length}
        return {
            "target": words.plain(),
            "search": search_inputs(asked, _USUAL, unknown=unknown),
            "features": features,
            "every_caption": every_caption,
        }

    @classmethod
    def read_inputs(cls, plain: Mapping[str, Any]) -> Inputs:
        """Return what a saved model carries, checked."""
        expect_pictures(plain)
        return super().read_inputs(plain)

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the size and the normalisation that the model's encoder expects."""
        encoder = _last_map(network.name, network.model)
        size = network.size or (encoder.image[1] if encoder.of_timm else USUAL)
        own = self.fitted_pictures(network, encoder, size)
        made = type(self).of({**self.inputs, **own}, recipe=self.recipe)
        made.try_out(network.name, network.model)
        with eval_no_grad(encoder):
            places = encoder(made.example(1)[0]).shape[2:]
        return {**self.inputs, **own, "places": list(places)}

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the splits, with features of a frozen encoder or with pictures, computed now if need be."""
        captions, (mean, std) = _captions(data), self.normalisation
        feeds = caption_feeds(
            captions,
            self.target,
            every_caption=self.inputs["every_caption"],
            mean=mean,
            std=std,
            **stored_pictures(
                captions.pictures, encoder=self.inputs.get("encoder"), size=self.inputs["size"]
            ),
        )
        found: dict[str, Feed] = {}
        for name, feed in feeds.items():
            measures = (self.metric, *self.told) if name != "train" else ()
            counters = tuple(metric.prepare(captions.splits[name].captions) for metric in measures)
            found[name] = CountedFeed(feed, counters) if counters else feed
        return found

    def facts(self) -> tuple[str, ...]:
        """Return the vocabulary, the size of the pictures, whether features are kept, and the search."""
        return (
            self.target.facts(),
            *self.picture_facts(),
            f"beam {self.options.beam}, length penalty {self.options.length_penalty:g}",
        )

    # What the model is

    @classmethod
    def models(cls) -> str:
        """Return the names of models for this task."""
        return "show_attend_tell, adaptive_captioner, with encoder=timm/NAME"

    def model_options(self) -> dict[str, object]:
        """Return the size of the vocabulary."""
        return {"classes": len(self.target)}

    def example(self, items: int = 2) -> tuple[Tensor, Tensor]:
        """Return pictures (B, 3, H, W) and the words fed to the decoder (B, 4)."""
        words = torch.full((items, 4), FIRST)
        words[:, 0] = START
        return self.example_pictures(items), words

    def given(self, items: CaptionBatch) -> tuple[Tensor, ...]:
        """Return features or pictures."""
        return (items.inputs,)

    def wanted(self, items: CaptionBatch) -> Tensor:
        """Return the captions."""
        return items.captions

    def limits(self, items: CaptionBatch) -> None:
        """Return None: all captions may be equally long."""

    # What one sees

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Any,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return the pictures that the variants describe differently, with where each word looked."""
        chosen, differ = choose({name: answers[name] for name in models})
        split: CaptionSplit = feed.feed.split
        pictures, places = split.pictures, self._places(models)
        sources = [pictures.load(i) if pictures.files is None else pictures.files[i] for i in chosen]
        pixels = [cast(np.ndarray, found) for found in opened(sources, self.inputs["size"], pictures.how)]
        found = {name: self._searched(model, pixels, keep_weights=True) for name, model in models.items()}
        cards = []
        for place, i in enumerate(chosen):
            subject = {
                "image": data_uri(shown(pixels[place])),
                "places": places,
                "reference": list(split.captions[i]),
            }
            read = {name: self.read_by(of[place][0]) for name, of in found.items()}
            cards.append(text_card(i, str(feed.names[i]), subject, answers, scores, read, differ[i]))
        return cards

    # Using a trained model

    def reads(self, model: nn.Module, inputs: object) -> list[WordReading]:
        """Return where each word of a caption looked, for each picture; see ``picture_inputs.listed``."""
        given = listed(inputs)
        pixels = list(opened(given, self.inputs["size"], reading_of(self.inputs)))
        wrong = next((found for found in pixels if isinstance(found, DataError)), None)
        if wrong is not None:
            raise wrong
        sides = self._places({"": model})
        places = None if sides is None else (sides[0], sides[1])
        names = [
            str(one) if isinstance(one, str | Path) else f"picture {n}" for n, one in enumerate(given, 1)
        ]
        found = self._searched(model, pixels, keep_weights=True)
        return [
            self.reading(name, hypotheses[0], image=image, places=places)
            for name, hypotheses, image in zip(names, found, pixels, strict=True)
        ]

    def predict(
        self,
        model: nn.Module,
        inputs: object,
        *,
        nbest: int | None = None,
        max_pixels: int = MOST_PIXELS,
        **options: Any,
    ) -> list[str] | list[list[Answer]]:
        """Return the captions of pictures.

        Args:
            model: Trained.
            inputs: See ``picture_inputs.listed``.
            nbest: How many captions of each; with it come their scores.
            max_pixels: Pixels of the largest file that is decoded.
            options: Of the search, such as ``beam`` and ``length_penalty``; those of the training by default.
                ``sample=True`` draws captions, from ``seed`` if there is one.

        Returns:
            One text a picture; with ``nbest`` a list of ``Answer``, best first.
        """
        found = []
        generator = drawing(model, options)
        asked = {"nbest": 1 if nbest is None else nbest, **options, "generator": generator}
        for answer, _ in self._described(model, listed(inputs), max_pixels, asked):
            if isinstance(answer, DataError):
                raise answer
            found.append(self.best_of(answer))
        return found if nbest is not None else [answers[0]["text"] for answers in found]

    def tell(
        self,
        model: nn.Module,
        words: Sequence[str],
        *,
        out: Path | None = None,
        max_pixels: int = MOST_PIXELS,
        **options: Any,
    ) -> Iterator[Told]:
        """Yield the caption of each picture, as soon as it is known; with ``out``, where each word looked."""
        paths, nbest = listed(list(words)), options.get("nbest", 1)
        asked = telling(model, options, out)
        found = self._described(model, paths, max_pixels, asked)
        places = None if out is None else self._places({"": model})
        for number, (path, (answer, pixels)) in enumerate(zip(paths, found, strict=True), start=1):
            name = str(path)
            if isinstance(answer, DataError):
                yield unreadable(name, answer)
                continue
            best = self.best_of(answer)
            scored = (f"  {a['score']:8.3f}  {a['text']}" for a in best)
            lines = (f"  {best[0]['text']}",) if nbest == 1 else tuple(scored)
            plain: dict[str, Any] = {"image": name, "captions": best}
            if out is not None:
                read = self.reading(name, answer[0], image=pixels, places=places and (places[0], places[1]))
                plain["files"] = [str(file) for file in write_reading(read, out, number)]
                lines += tuple(f"  {file}" for file in plain["files"])
            yield Told(name, lines, plain)

    def _described(
        self, model: nn.Module, pictures: Sequence[object], max_pixels: int, options: Mapping[str, Any]
    ) -> Iterator[tuple[list[Hypothesis] | DataError, np.ndarray | None]]:
        """Yield the best captions of each picture in turn, and its pixels; or what is wrong with its file."""
        for some, good in self.opened_batches(pictures, max_pixels, JUDGED):
            rows = iter(self._searched(model, [some[n] for n in good], **options))
            for pixels in some:
                yield (pixels, None) if isinstance(pixels, DataError) else (next(rows), pixels)

    def _searched(self, model: nn.Module, pixels: Sequence[Any], **options: Any) -> list[Any]:
        if not pixels:
            return []
        images = self.as_taken(model, pixels)
        nothing = torch.zeros(len(pixels), 0, dtype=torch.int64)
        items = CaptionBatch(None, images, nothing, ((),) * len(pixels), torch.arange(len(pixels)))
        with eval_no_grad(word_model(model)):
            return self.answers(model, items, **options)

    def _places(self, models: Mapping[str, nn.Module]) -> list[int] | None:
        """Return rows and columns of what the models read, if they agree."""
        sides = {_encoder(word_model(model)).places for model in models.values()}
        if len(sides) != 1:
            return None
        side = sides.pop()
        return list(self.inputs["places"]) if side is None else [side, side]


def _encoder(model: nn.Module) -> Places:
    return cast(Places, model.encoder)


def _last_map(name: str, model: nn.Module) -> LastMap:
    """Return the encoder of a captioner.

    Raises:
        ShapeError: It has none, or is not a captioner.
    """
    found = last_map(model)
    if found is None:
        raise ShapeError(
            f"{name}: has no encoder of pictures. Write {parse_call(name)[0]}(encoder=timm/NAME), such as "
            "timm/resnet18, and --pretrained."
        )
    return found


def _captions(data: Data) -> CaptionData:
    return own_data(data, CaptionData, "pictures with captions")
