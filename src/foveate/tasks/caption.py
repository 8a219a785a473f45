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
from foveate.data.cache import cache
from foveate.data.captions.caption_data import CaptionData, CaptionSplit
from foveate.data.captions.caption_feed import CaptionBatch, caption_feeds
from foveate.data.captions.check_captions import check_captions, opening_warnings
from foveate.data.captions.looks_like_captions import looks_like_captions
from foveate.data.captions.open_captions import open_captions
from foveate.data.checks.finding import Finding
from foveate.data.feature_cache import Features, split_features
from foveate.data.feed import Data, Feed
from foveate.data.images.open_image import MOST_PIXELS
from foveate.data.open import call_opener
from foveate.data.words.build_vocabularies import Units, build_vocabulary
from foveate.data.words.special import FIRST, START
from foveate.decoding.search_options import SearchOptions
from foveate.errors import DataError, OptionError, ShapeError
from foveate.models.captioning.places import Places
from foveate.models.encoders.last_map import LastMap
from foveate.models.made_for import USUAL
from foveate.models.names import resolve
from foveate.models.normalisation import HALF, Triple, expect_normalisation, model_normalisation
from foveate.recipe import TrainConfig
from foveate.running import device_of, eval_no_grad
from foveate.tasks.base import Inputs, tasks
from foveate.tasks.cards.overlay import data_uri, shown
from foveate.tasks.cards.written_answers import choose, text_card
from foveate.tasks.counted_feed import CountedFeed
from foveate.tasks.image_task import Normalisation, example_images
from foveate.tasks.judged import Told, WordReading
from foveate.tasks.part import Network
from foveate.tasks.picture_inputs import batches, listed, normalised, opened, reading_of
from foveate.tasks.word_task import JUDGED, Answer, WordTask, search_inputs, word_model
from foveate.typed import Misfit, fitted

_USUAL = SearchOptions(max_length=30)


@tasks.register("caption")
class Caption(WordTask):
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
        size = plain.get("size")
        if not isinstance(size, int) or not 1 <= size <= 2**14:
            raise Misfit("size", repr(size), "the side of the pictures, 1 to 16384 pixels")
        stated = fitted(plain.get("normalisation"), Normalisation, "normalisation")
        if min(stated["std"]) <= 0:
            raise Misfit("normalisation.std", str(stated["std"]), "deviations above 0")
        return super().read_inputs(plain)

    def fitted(self, data: Data, network: Network) -> dict[str, Any]:
        """Return the inputs with the size and the normalisation that the model's encoder expects."""
        encoder = _last_map(network.name, network.model)
        mean, std = model_normalisation(encoder)
        name = parse_call(network.name)[1].get("encoder")
        frozen = not any(parameter.requires_grad for parameter in encoder.parameters())
        known = isinstance(name, str) and (network.pretrained or resolve(name)[0] == "import")
        own = {
            "size": network.size or (encoder.image[1] if encoder.of_timm else USUAL),
            "normalisation": {"mean": list(mean), "std": list(std)},
            "encoder": name if self.inputs["features"] and frozen and known else None,
        }
        made = type(self).of({**self.inputs, **own}, recipe=self.recipe)
        made.try_out(network.name, network.model)
        with eval_no_grad(encoder):
            places = encoder(made.example(1)[0]).shape[2:]
        return {**self.inputs, **own, "places": list(places)}

    def feeds(self, data: Data) -> dict[str, Feed]:
        """Return the splits, with features of a frozen encoder or with pictures, computed now if need be."""
        captions, (mean, std) = _captions(data), _normalisation(self.inputs)
        every, size = self.inputs["every_caption"], self.inputs["size"]
        features = self._features(captions)
        if features is not None:
            feeds = caption_feeds(captions, self.target, features=features, every_caption=every)
        else:
            images = {name: split.images for name, split in cache(captions.pictures, size=size).items()}
            feeds = caption_feeds(
                captions, self.target, images=images, every_caption=every, mean=mean, std=std
            )
        found: dict[str, Feed] = {}
        for name, feed in feeds.items():
            measures = (self.metric, *self.told) if name != "train" else ()
            counters = tuple(metric.prepare(captions.splits[name].captions) for metric in measures)
            found[name] = CountedFeed(feed, counters) if counters else feed
        return found

    def facts(self) -> tuple[str, ...]:
        """Return the vocabulary, the size of the pictures, whether features are kept, and the search."""
        size, encoder = self.inputs.get("size"), self.inputs.get("encoder")
        return (
            self.target.facts(),
            *([f"{size} px"] if size else []),
            *([f"features of {encoder}, computed once"] if encoder else []),
            f"beam {self.options.beam}, length penalty {self.options.length_penalty:g}",
        )

    def saved(self, data: Data) -> dict[str, Any]:
        """Return the inputs, and how pictures of more than eight bits are read."""
        levels = _captions(data).pictures.levels
        return {**self.inputs, "levels": None if levels is None else list(levels)}

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
        size = self.inputs.get("size") or USUAL
        return example_images((size, size), items), words

    def given(self, items: CaptionBatch) -> tuple[Tensor, ...]:
        """Return features or pictures."""
        return (items.inputs,)

    def wanted(self, items: CaptionBatch) -> Tensor:
        """Return the captions."""
        return items.captions

    def limits(self, items: CaptionBatch) -> None:
        """Return None: all captions may be equally long."""

    def ready(self, model: nn.Module, feed: Feed) -> None:
        """Raise unless features are those of the model's own encoder.

        Raises:
            OptionError: They are of another, or attention was inserted into it.
        """
        features = getattr(feed, "features", None)
        if not isinstance(features, Features):
            return
        own = _last_map(type(model).__name__, word_model(model)).state_dict()
        kept = features.encoder.network.state_dict()
        if own.keys() != kept.keys() or not all(own[name].cpu().equal(kept[name].cpu()) for name in kept):
            raise OptionError(
                f"features: those on disk are of {features.encoder.name} as it is, but this model's encoder "
                'has other weights or other layers. Write --task "caption(features=false)", which runs the '
                "encoder in every step."
            )

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

        Returns:
            One text a picture; with ``nbest`` a list of ``Answer``, best first.
        """
        found = []
        for answer in self._described(
            model, listed(inputs), max_pixels, {"nbest": 1 if nbest is None else nbest, **options}
        ):
            if isinstance(answer, DataError):
                raise answer
            found.append(answer)
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
        """Yield the caption of each picture, as soon as it is known."""
        if out is not None:
            raise OptionError("--out: captions are printed. Write: foveate predict RUN IMAGE... > CAPTIONS")
        paths = listed(list(words))
        nbest = options.get("nbest", 1)
        for path, found in zip(paths, self._described(model, paths, max_pixels, options), strict=True):
            name = str(path)
            if isinstance(found, DataError):
                yield Told(name, (str(found),), {"image": name, "error": str(found)}, failed=True)
                continue
            scored = (f"  {a['score']:8.3f}  {a['text']}" for a in found)
            lines = (f"  {found[0]['text']}",) if nbest == 1 else tuple(scored)
            yield Told(name, lines, {"image": name, "captions": found})

    def _described(
        self, model: nn.Module, pictures: Sequence[object], max_pixels: int, options: Mapping[str, Any]
    ) -> Iterator[list[Answer] | DataError]:
        """Yield the best captions of each picture in turn, or what is wrong with its file."""
        how = reading_of(self.inputs, max_pixels)
        for some in batches(opened(pictures, self.inputs["size"], how), JUDGED):
            good = [pixels for pixels in some if not isinstance(pixels, DataError)]
            rows = iter(self._searched(model, good, **options))
            for pixels in some:
                yield pixels if isinstance(pixels, DataError) else self.best_of(next(rows))

    def _searched(self, model: nn.Module, pixels: Sequence[Any], **options: Any) -> list[Any]:
        if not pixels:
            return []
        mean, std = _normalisation(self.inputs)
        images = normalised(np.stack(pixels).transpose(0, 3, 1, 2), mean, std, device_of(model))
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

    def _features(self, captions: CaptionData) -> dict[str, Features] | None:
        """Return the features of each split, computed now if they were not before; None for pictures."""
        name = self.inputs.get("encoder")
        if name is None:
            return None
        return split_features(captions.pictures, encoder=name, size=self.inputs["size"])


def _normalisation(inputs: Inputs) -> tuple[Triple, Triple]:
    stated = inputs.get("normalisation", {"mean": HALF, "std": HALF})
    return expect_normalisation(tuple(stated["mean"]), tuple(stated["std"]))


def _encoder(model: nn.Module) -> Places:
    return cast(Places, model.encoder)


def _last_map(name: str, model: nn.Module) -> LastMap:
    """Return the encoder of a captioner.

    Raises:
        ShapeError: It has none, or is not a captioner.
    """
    places = getattr(model, "encoder", None)
    if not isinstance(places, Places) or places.last_map is None:
        raise ShapeError(
            f"{name}: has no encoder of pictures. Write {parse_call(name)[0]}(encoder=timm/NAME), such as "
            "timm/resnet18, and --pretrained."
        )
    return places.last_map


def _captions(data: Data) -> CaptionData:
    if not isinstance(data, CaptionData):
        raise DataError(
            f"{data.name}: got {type(data).__name__}, expected pictures with captions. Write --task "
            f"{data.task}."
        )
    return data
