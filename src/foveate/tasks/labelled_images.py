"""What classification and diagnosis share: a score for each class of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foveate.data.images.open_image import MOST_PIXELS, Reading
from foveate.data.large.large_feed import LargeBatch
from foveate.errors import DataError, OptionError
from foveate.running import device_of, eval_no_grad
from foveate.tasks.cards.evidence import evidence
from foveate.tasks.cards.labelled_pictures import pictures
from foveate.tasks.image_task import ImageTask
from foveate.tasks.judged import Told
from foveate.tasks.large_inputs import large_files, takes_large
from foveate.tasks.picture_inputs import batches, listed, normalised, opened, reading_of, share

SHOWN = 5  # classes that are printed of a picture
_BATCH = 64
_JUDGED = 256  # images a forward pass


class LabelledImages(ImageTask):
    """A task that gives every class of an image a probability."""

    def judging_batch(self, batch_size: int) -> int:
        """Return how many images are judged at once; large ones in the batches of training."""
        return _JUDGED if self.large is None else batch_size

    def answer(self, outputs: object) -> Tensor:
        """Return the probabilities (B, K)."""
        return self.probabilities(outputs)

    def probabilities(self, outputs: object) -> Tensor:
        """Return the probability of each class (B, K), float32."""
        raise NotImplementedError

    def cards(
        self,
        models: Mapping[str, nn.Module],
        feed: Any,
        answers: Mapping[str, Any],
        scores: Mapping[str, np.ndarray],
    ) -> list[dict[str, Any]]:
        """Return the images on which the variants disagree, with maps of their attention."""
        mean, std = self.normalisation
        return pictures(
            models,
            feed.split,
            classes=self.classes,
            predictions=answers,
            targets=feed.split.targets,
            mean=mean,
            std=std,
            look=feed.look,
            evidence=evidence,
            taken=lambda model, items: feed.taken(items) if self.large and takes_large(model) else None,
        )

    def predict(
        self, model: nn.Module, inputs: object, *, max_pixels: int = MOST_PIXELS, **options: Any
    ) -> Tensor:
        """Return the probabilities of the classes for pictures, float32 (N, K).

        Args:
            model: Trained.
            inputs: See ``picture_inputs.listed``.
            max_pixels: Pixels of the largest file that is decoded.
            options: None further.
        """
        self._expect_no(options)
        found = []
        for answer in self._answers(model, listed(inputs), max_pixels):
            if isinstance(answer, DataError):
                raise answer
            found.append(answer)
        return torch.stack(found) if found else torch.zeros(0, len(self.classes))

    def tell(
        self,
        model: nn.Module,
        words: Sequence[str],
        *,
        out: Path | None = None,
        max_pixels: int = MOST_PIXELS,
        **options: Any,
    ) -> Iterator[Told]:
        """Yield the most probable classes of each picture, as soon as they are known."""
        self._expect_no(options if out is None else {"out": out, **options})
        paths = listed(list(words))
        for path, found in zip(paths, self._answers(model, paths, max_pixels), strict=True):
            name = str(path)
            if isinstance(found, DataError):
                yield Told(name, (str(found),), {"image": name, "error": str(found)}, failed=True)
                continue
            ranked = sorted(zip(self.classes, found.tolist(), strict=True), key=lambda pair: -pair[1])
            lines = tuple(share(value, label) for label, value in ranked[:SHOWN])
            yield Told(name, lines, {"image": name, "classes": dict(ranked)})

    def _answers(
        self, model: nn.Module, images: Sequence[object], max_pixels: int
    ) -> Iterator[Tensor | DataError]:
        """Yield the probabilities of each picture in turn, or what is wrong with its file."""
        how, (mean, std), device = reading_of(self.inputs, max_pixels), self.normalisation, device_of(model)
        if self.large is not None:
            yield from self._answers_in_parts(model, images, how)
            return
        for some in batches(opened(images, self.size[0], how), _BATCH):
            good = [pixels for pixels in some if not isinstance(pixels, DataError)]
            rows: Iterator[Tensor] = iter(())
            if good:
                batch = np.stack(good).transpose(0, 3, 1, 2)
                with eval_no_grad(model):
                    rows = iter(self.probabilities(model(normalised(batch, mean, std, device))).cpu())
            for pixels in some:
                yield pixels if isinstance(pixels, DataError) else next(rows)

    def _answers_in_parts(
        self, model: nn.Module, files: Sequence[object], how: Reading
    ) -> Iterator[Tensor | DataError]:
        """Yield the same for pictures that are read in parts, one after the other."""
        none = torch.zeros(1, dtype=torch.int64)
        for file in files:
            pictures = large_files([file], how, *self.normalisation).to(device_of(model))
            batch: Any = LargeBatch(pictures, none, none)
            try:
                with eval_no_grad(model):
                    found = self.probabilities(self.forward(model, batch))
                yield found[0].cpu()
            except DataError as error:
                yield error

    def _expect_no(self, options: Mapping[str, Any]) -> None:
        if options:
            name = next(iter(options)).replace("_", "-")
            raise OptionError(
                f"--{name}: this model classifies whole pictures and writes no files. Leave the option out."
            )
