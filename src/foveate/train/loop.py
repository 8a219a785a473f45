"""The training loop: it knows no task by name, and a killed run goes on to the same weights, bit for bit."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from foveate.data.batches import Batch
from foveate.data.cache import CachedSplit
from foveate.insert.inserted_parts import openings
from foveate.recipe import TrainConfig
from foveate.tasks.base import Task
from foveate.train.best import Best
from foveate.train.budget import Budget, Fingerprint, Position, fingerprint
from foveate.train.checkpoint import Checkpoints
from foveate.train.device import build_fabric, use_channels_last
from foveate.train.ema import Average
from foveate.train.evaluate import Triple, evaluate, to_device
from foveate.train.feed import batches_of
from foveate.train.lone_values import lone_values
from foveate.train.loss_guard import Watch
from foveate.train.optimise import build_optimizer, schedules, set_learning_rates
from foveate.train.progress import Progress, Silent
from foveate.train.result import Epoch, FitResult, described, expect_same, expect_within, finished, keep
from foveate.train.seed import own_randomness, seed_step, warn_of_threads
from foveate.train.stages import fit_stages, hold, shared, stage_of, stages_of
from foveate.train.state import State
from foveate.train.warm_start import start_from_plain


def fit(
    model: nn.Module,
    task: Task,
    splits: Mapping[str, CachedSplit],
    config: TrainConfig,
    folder: Path,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 30.0,
    start_from: Mapping[str, Tensor] | None = None,
    mean: Triple = (0.5, 0.5, 0.5),
    std: Triple = (0.5, 0.5, 0.5),
    name: str | None = None,
    identity: Mapping[str, object] | None = None,
) -> FitResult:
    """Train ``model`` in place, or go on with the run that ``folder`` holds.

    Args:
        model: With its first weights.
        task: What the outputs mean.
        splits: ``train``, and ``val`` if there is one, which is evaluated after every epoch.
        config: The recipe.
        folder: Where this run keeps its checkpoint, and in the end ``model.safetensors`` and ``result.json``.
        progress: Is told of every step.
        checkpoint_seconds: Seconds between two checkpoints.
        start_from: Weights of the plain model to begin with; what was inserted keeps its own start.
        mean: What is subtracted from each channel of images in [0, 1].
        std: What each channel is then divided by.
        name: What ``progress`` calls the run; the folder's name if None.
        identity: What decides the run beside the recipe and the layers of the model, such as a hash of the
            data: a folder with another one is refused. JSON-able.

    Returns:
        The model, in evaluation mode, and its history. A run that is done returns at once with what it left.

    Raises:
        TrainingError: The loss is not a number, or the disk does not take a checkpoint.
        CheckpointError: ``folder`` holds another run, or ``start_from`` does not fit.
        DataError: A target is not one of the model's classes.
    """
    folder, progress = Path(folder), progress or Silent()
    run = fingerprint(model, task.name, config, len(splits["train"]), identity)
    budget = Budget.of(config, len(splits["train"]))
    done = finished(folder, model, run, budget.stop)
    if done is not None:
        if done.steps == budget.steps:  # it may have been killed just before it could clear up
            Checkpoints(folder).clear()
        return done
    if start_from is not None:
        start_from_plain(model, start_from)
    if stages_of(model) and stage_of(model) is None:
        return fit_stages(
            *(model, config, folder, run),
            lambda recipe, home, told: fit(
                *(model, task, splits, recipe, home),
                progress=told,
                checkpoint_seconds=checkpoint_seconds,
                mean=mean,
                std=std,
                identity=identity,
            ),
            steps_of=lambda recipe: Budget.of(recipe, len(splits["train"])).steps,
            progress=progress,
            name=name or folder.name,
        )
    fabric = build_fabric(config.precision)
    with own_randomness(fabric.device):
        sitting = _Sitting(model, task, splits, config, fabric, (mean, std))
        sitting.open(folder, run, checkpoint_seconds)
        progress.begin(name or folder.name, budget.stop, sitting.state.at.step)
        try:
            with lone_values(model):
                sitting.train(progress)
        finally:
            progress.end()
        return sitting.close()


def rehearse(
    model: nn.Module,
    task: Task,
    splits: Mapping[str, CachedSplit],
    config: TrainConfig,
    steps: int,
    *,
    mean: Triple = (0.5, 0.5, 0.5),
    std: Triple = (0.5, 0.5, 0.5),
) -> list[float]:
    """Take a few steps as ``fit`` would and return the seconds that each took; nothing is kept.

    What ``fit`` refuses is refused here: see there for arguments and errors. A model that is trained in
    stages takes its steps outside of them.
    """
    if stages_of(model):
        shared(config, list(stages_of(model)))
    fabric = build_fabric(config.precision)
    with own_randomness(fabric.device), lone_values(model):
        return _Sitting(model, task, splits, config, fabric, (mean, std)).rehearse(steps)


class _Sitting:
    """One process's part of a run: from the start or a checkpoint to the end or to being killed."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        splits: Mapping[str, CachedSplit],
        config: TrainConfig,
        fabric: Fabric,
        normalisation: tuple[Triple, Triple],
    ) -> None:
        self.task, self.splits, self.config, self.fabric = task, splits, config, fabric
        self.mean, self.std = normalisation
        self.budget = Budget.of(config, len(splits["train"]))
        self.rates = schedules(config, self.budget.steps)
        use_channels_last(model)
        self.model, self.optimizer = fabric.setup(model, build_optimizer(model, config))
        average = Average(model, config.ema) if config.ema else None
        best = Best(task.metric.higher_is_better) if config.keep_best and "val" in splits else None
        self.state = State(model, self.optimizer, average, best, fabric, Position())
        self.checked = False

    def open(self, folder: Path, run: Fingerprint, checkpoint_seconds: float) -> None:
        """Go on from the newest checkpoint in ``folder``, if there is one."""
        self.folder, self.run, self.checkpoint_seconds = folder, run, checkpoint_seconds
        self.checkpoints = Checkpoints(folder)
        stored = self.checkpoints.load()
        if stored is not None:
            expect_same(run, stored[1]["run"], folder)
            self.state.restore(*stored)
            expect_within(self.state.at.step, self.budget.stop, folder)
            warn_of_threads(stored[1].get("threads"), str(folder))
        self.begin()

    def begin(self) -> None:
        """Start the clocks and the eye on the loss."""
        self.watch = Watch(self.rates["decayed"], self.fabric.device, self.state.at.loss)
        self.lap = self.saved = time.perf_counter()

    def train(self, progress: Progress) -> None:
        """Take the steps that are left."""
        at = self.state.at
        for epoch in range(len(at.history), self.config.epochs):
            last = (epoch + 1) * self.budget.per_epoch
            self._train_epoch(epoch, min(last, self.budget.stop), progress)
            if at.step < last:  # max_steps
                break
            at.history.append(self._end_epoch(epoch))
            progress.note(described(at.history[-1], self.config.epochs, self.task.metric))

    def close(self) -> FitResult:
        """Keep the trained model; a run that max_steps has stopped keeps its checkpoint too."""
        at, complete = self.state.at, self.state.at.step == self.budget.steps
        if complete:
            self.watch.look()
        else:
            self._save()
        self._count_seconds()
        self.state.model.load_state_dict(self.state.kept())
        speed = at.images / max(at.training_seconds, 1e-9)
        score = self.state.kept_score()
        result = FitResult(self.state.model.eval(), at.history, at.step, at.seconds, speed, score)
        keep(self.folder, result, self.run)
        if complete:
            self.checkpoints.clear()
        return result

    def rehearse(self, steps: int) -> list[float]:
        """Take a few steps of the first epoch and return the seconds that each took."""
        self.begin()
        self.model.train()
        batches = itertools.chain.from_iterable(self._batches(0, 0) for _ in itertools.count())
        spans = []
        for _ in range(steps):
            began = time.perf_counter()
            count = min(self.config.accumulate, self.budget.batches)
            self._step(itertools.islice(batches, count), count)
            self.watch.look()  # waits for the device
            spans.append(time.perf_counter() - began)
        return spans

    def _train_epoch(self, epoch: int, stop: int, progress: Progress) -> None:
        at, width = self.state.at, self.config.accumulate
        first = (at.step - epoch * self.budget.per_epoch) * width
        batches = self._batches(epoch, first)
        self.model.train()
        hold(self.state.model)
        while at.step < stop:
            began = time.perf_counter()
            count = min(width, self.budget.batches - first)
            self._step(itertools.islice(batches, count), count)
            first += count
            at.training_seconds += time.perf_counter() - began
            progress.advance(at.step)
            if time.perf_counter() - self.saved >= self.checkpoint_seconds:
                self._save()

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        train = self.splits["train"]
        return batches_of(train, self.config, epoch, start=first, mean=self.mean, std=self.std)

    def _step(self, batches: Iterator[Batch], count: int) -> None:
        """Take one step on the mean gradient of ``count`` batches."""
        at = self.state.at
        seed_step(self.fabric.device, self.config.seed, at.step)
        set_learning_rates(self.optimizer, self.rates, at.step)
        losses = [self._gradient(batch, count) for batch in batches]
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.state.average:
            self.state.average.update(at.step)
        self.watch.add(at.step, losses[0] if count == 1 else torch.stack(losses).sum(), norm)
        at.step += 1

    def _gradient(self, stored: Batch, count: int) -> Tensor:
        """Add the gradient of a batch's share of the loss; return that share."""
        batch = to_device(stored, self.fabric.device)
        outputs = self.task.forward(self.model, batch)
        if not self.checked:
            self.task.check(outputs, self.splits["train"].truth)
            self.checked = True
        loss = self.task.loss(outputs, batch, label_smoothing=self.config.label_smoothing) / count
        self.fabric.backward(loss)
        self.state.at.images += len(batch)
        return loss.detach()

    def _clip(self) -> Tensor | None:
        """Clip the gradient; return its length, unless steps with infinite gradients are skipped anyway."""
        if self.config.clip is None:
            return None
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.config.clip, error_if_nonfinite=False
        )
        return None if self.config.precision == "16-mixed" else norm

    def _end_epoch(self, epoch: int) -> Epoch:
        at = self.state.at
        began = time.perf_counter()
        loss = self.watch.look() / self.budget.per_epoch  # waits for the device, which is training time
        at.training_seconds += time.perf_counter() - began
        self.watch.restart()
        score = self._validate()
        if self.state.best is not None and score is not None:
            self.state.best.offer(score, self.state.latest())
        self._count_seconds()
        entry = Epoch(
            epoch=epoch,
            train_loss=loss,
            val_score=score,
            lr=self.rates["decayed"](at.step - 1),
            seconds=at.epoch_seconds,
            openings=openings(self.state.model),
        )
        at.epoch_seconds = 0.0
        return entry

    def _validate(self) -> float | None:
        """Return the mean score on the validation split, of the moving average if there is one."""
        if "val" not in self.splits:
            return None
        with self.state.average.in_place() if self.state.average else nullcontext():
            found = evaluate(
                self.model,
                self.task,
                self.splits["val"],
                batch_size=self.config.batch_size,
                mean=self.mean,
                std=self.std,
                size=self.config.size,
            )
        return found.score

    def _save(self) -> None:
        at = self.state.at
        at.loss = self.watch.look()  # never keep a state that is not a number
        self._count_seconds()
        self.checkpoints.save(at.step, *self.state.capture(self.run))
        self.saved = time.perf_counter()

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.state.at.seconds += now - self.lap
        self.state.at.epoch_seconds += now - self.lap
        self.lap = now
