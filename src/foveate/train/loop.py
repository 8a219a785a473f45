"""The training loop: it knows no task by name, and a killed run resumes to the same weights, bit for bit."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from foveate.data.feed import Batch, Feed
from foveate.insert.inserted_parts import openings
from foveate.recipe import TrainConfig
from foveate.running import eval_seeded
from foveate.tasks.base import Task
from foveate.tasks.part import Part
from foveate.train.best import Best
from foveate.train.budget import Budget
from foveate.train.checkpoint import Checkpoints
from foveate.train.device import build_fabric, use_channels_last
from foveate.train.ema import Average
from foveate.train.evaluate import evaluate
from foveate.train.history import Epoch
from foveate.train.lone_values import lone_values
from foveate.train.loss_guard import LossGuard
from foveate.train.optimise import build_optimizer, schedules, set_learning_rates
from foveate.train.position import Fingerprint, Position, fingerprint
from foveate.train.progress import Progress, Silent
from foveate.train.result import (
    FitResult,
    epoch_line,
    expect_at_most,
    expect_same_run,
    load_finished,
    save_result,
)
from foveate.train.seed import own_randomness, seed_step, warn_of_threads
from foveate.train.stages import fit_stages, freeze_others, stage_of, stage_recipes, stages_of
from foveate.train.state import State
from foveate.train.warm_start import start_from_plain


def fit(
    model: nn.Module,
    task: Task,
    feeds: Mapping[str, Feed],
    config: TrainConfig,
    folder: Path,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 30.0,
    start_from: Mapping[str, Tensor] | None = None,
    name: str | None = None,
    identity: Mapping[str, object] | None = None,
) -> FitResult:
    """Train ``model`` in place, or resume the run that ``folder`` holds.

    Args:
        model: With its first weights.
        task: What is learnt, and how it is judged.
        feeds: ``train``, and ``val`` if there is one, which is evaluated after every epoch.
        config: The recipe.
        folder: Where this run keeps its checkpoint, and in the end ``model.safetensors`` and ``result.json``.
        progress: Notified of every step.
        checkpoint_seconds: Seconds between two checkpoints.
        start_from: Weights of the plain model to begin with; what was inserted keeps its own start.
        name: What ``progress`` calls the run; the folder's name if None.
        identity: What decides the run beside the recipe and the layers of the model, such as a hash of the
            data: a folder with another one is rejected. JSON-able.

    Returns:
        The model, in evaluation mode, and its history. A finished run returns its saved result at once.

    Raises:
        TrainingError: The loss is not finite, or a checkpoint cannot be written.
        CheckpointError: ``folder`` holds another run, or ``start_from`` does not fit.
        DataError: A target is not one of the model's classes.
    """
    folder, progress = Path(folder), progress or Silent()
    run = fingerprint(model, task.name, config, len(feeds["train"]), identity)
    budget = Budget.of(config, len(feeds["train"]))
    done = load_finished(folder, model, run, budget.stop)
    if done is not None:
        if done.steps == budget.steps:  # it may have been killed just before it could clear up
            Checkpoints(folder).clear()
        return done
    if start_from is not None:
        start_from_plain(model, start_from)
    if stages_of(model) and stage_of(model) is None:
        return fit_stages(
            model,
            config,
            folder,
            run,
            lambda recipe, home, watcher: fit(
                model,
                task,
                feeds,
                recipe,
                home,
                progress=watcher,
                checkpoint_seconds=checkpoint_seconds,
                identity=identity,
            ),
            steps_of=lambda recipe: Budget.of(recipe, len(feeds["train"])).steps,
            progress=progress,
            name=name or folder.name,
        )
    fabric = build_fabric(config.precision)
    with own_randomness(fabric.device):
        sitting = _Sitting(model, task, feeds, config, fabric)
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
    feeds: Mapping[str, Feed],
    config: TrainConfig,
    steps: int,
) -> list[float]:
    """Take a few steps as ``fit`` would and return the seconds that each took; nothing is kept.

    What ``fit`` rejects is rejected here: see there for arguments and errors. A model that is trained in
    stages takes its steps outside of them.
    """
    if stages_of(model):
        stage_recipes(config, list(stages_of(model)))
    fabric = build_fabric(config.precision)
    with own_randomness(fabric.device), lone_values(model):
        return _Sitting(model, task, feeds, config, fabric).rehearse(steps)


class _Sitting:
    """One process's part of a run: from the start or a checkpoint to the end or an interruption."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        feeds: Mapping[str, Feed],
        config: TrainConfig,
        fabric: Fabric,
    ) -> None:
        self.task, self.feeds, self.config, self.fabric = task, feeds, config, fabric
        self.budget = Budget.of(config, len(feeds["train"]))
        self.rates = schedules(config, self.budget.steps)
        use_channels_last(model)
        self.parts = dict(task.parts(model))
        self.first = next(iter(self.parts))
        optimizers = [build_optimizer(part.module, config, part.betas) for part in self.parts.values()]
        self.model, *ready = fabric.setup(model, *optimizers)
        self.optimizers = dict(zip(self.parts, ready, strict=True))
        task.ready(self.model, feeds["train"])
        average = Average(model, config.ema) if config.ema else None
        best = Best(task.metric.higher_is_better) if config.keep_best and "val" in feeds else None
        self.state = State(model, self.optimizers, average, best, fabric, Position())

    def open(self, folder: Path, run: Fingerprint, checkpoint_seconds: float) -> None:
        """Resume from the newest checkpoint in ``folder``, if there is one."""
        self.folder, self.run, self.checkpoint_seconds = folder, run, checkpoint_seconds
        self.checkpoints = Checkpoints(folder)
        stored = self.checkpoints.load()
        if stored is not None:
            expect_same_run(run, stored[1]["run"], folder)
            self.state.restore(*stored)
            expect_at_most(self.state.at.step, self.budget.stop, folder)
            warn_of_threads(stored[1].get("threads"), str(folder))
        self.begin()

    def begin(self) -> None:
        """Start the clocks, and the guard of every part's loss."""
        at, device = self.state.at, self.fabric.device
        totals = {name: at.losses.get(name, 0.0) for name in self.parts} | {self.first: at.loss}
        self.guards = {
            name: LossGuard(self.rates["decayed"], device, total) for name, total in totals.items()
        }
        self.lap = self.saved = time.perf_counter()

    def train(self, progress: Progress) -> None:
        """Take the remaining steps."""
        at = self.state.at
        for epoch in range(len(at.history), self.config.epochs):
            last = (epoch + 1) * self.budget.per_epoch
            self._train_epoch(epoch, min(last, self.budget.stop), progress)
            if at.step < last:  # max_steps
                break
            at.history.append(self._end_epoch(epoch))
            progress.note(epoch_line(at.history[-1], self.config.epochs, self.task.metric))

    def close(self) -> FitResult:
        """Save the trained model; a run that max_steps has stopped keeps its checkpoint too."""
        at, complete = self.state.at, self.state.at.step == self.budget.steps
        if complete:
            self._look()
        else:
            self._save()
        self._count_seconds()
        self.state.model.load_state_dict(self.state.final_weights())
        speed = at.images / max(at.training_seconds, 1e-9)
        score = self.state.final_score()
        result = FitResult(self.state.model.eval(), at.history, at.step, at.seconds, speed, score)
        save_result(self.folder, result, self.run)
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
            self._look()  # waits for the device
            spans.append(time.perf_counter() - began)
        return spans

    def _train_epoch(self, epoch: int, stop: int, progress: Progress) -> None:
        at, width = self.state.at, self.config.accumulate
        first = (at.step - epoch * self.budget.per_epoch) * width
        batches = self._batches(epoch, first)
        self.model.train()
        freeze_others(self.state.model)
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
        config = self.config
        return self.feeds["train"].train(
            batch_size=config.batch_size, seed=config.seed, epoch=epoch, start=first
        )

    def _step(self, batches: Iterator[Batch], count: int) -> None:
        """Take one step on the mean gradient of ``count`` batches, part after part."""
        at = self.state.at
        seed_step(self.fabric.device, self.config.seed, at.step)
        some: Iterable[Batch] = batches if len(self.parts) == 1 else list(batches)
        for name, part in self.parts.items():
            if (at.step + 1) % part.every == 0:
                self._turn(name, part, some, count)
        if self.state.average:
            self.state.average.update(at.step)
        at.step += 1

    def _turn(self, name: str, part: Part, batches: Iterable[Batch], count: int) -> None:
        """Let one part take its step."""
        optimizer = self.optimizers[name]
        set_learning_rates(optimizer, self.rates, self.state.at.step, part.lr)
        losses = [self._gradient(batch, count, name) for batch in batches]
        norm = self._clip(optimizer)
        optimizer.step()
        for each in self.optimizers.values():  # a part's loss may have reached the others' weights
            each.zero_grad(set_to_none=True)
        self.guards[name].add(
            self.state.at.step, losses[0] if count == 1 else torch.stack(losses).sum(), norm
        )

    def _gradient(self, stored: Batch, count: int, part: str) -> Tensor:
        """Add the gradient of a batch's share of the loss; return that share."""
        batch = stored.to(self.fabric.device)
        # A part is run by itself, past the wrapper that sets the precision of the whole model.
        with self.fabric.autocast() if part else nullcontext():
            loss = self.task.loss(self.model, batch, part) / count
        self.fabric.backward(loss)
        if part == self.first:
            self.state.at.images += len(batch)
        return loss.detach()

    def _clip(self, optimizer: Optimizer) -> Tensor | None:
        """Clip the gradient; return its length, unless steps with infinite gradients are skipped anyway."""
        if self.config.clip is None:
            return None
        norm = self.fabric.clip_gradients(
            self.model, optimizer, max_norm=self.config.clip, error_if_nonfinite=False
        )
        return None if self.config.precision == "16-mixed" else norm

    def _end_epoch(self, epoch: int) -> Epoch:
        at = self.state.at
        began = time.perf_counter()
        sums = self._look()  # waits for the device, which is training time
        at.training_seconds += time.perf_counter() - began
        losses = {name: total / max(self._turns(name, epoch), 1) for name, total in sums.items()}
        for guard in self.guards.values():
            guard.restart()
        score = self._look_back(epoch)
        if self.state.best is not None and score is not None:
            self.state.best.offer(score, self.state.latest())
        self._count_seconds()
        entry = Epoch(
            epoch=epoch,
            train_loss=losses[self.first],
            val_score=score,
            lr=self.rates["decayed"](at.step - 1),
            seconds=at.epoch_seconds,
            openings=openings(self.state.model),
        )
        if len(losses) > 1:
            entry["losses"] = losses
        at.epoch_seconds = 0.0
        return entry

    def _look(self) -> dict[str, float]:
        """Return the sum of each part's losses in this epoch; raise if one is not finite."""
        return {name: guard.look() for name, guard in self.guards.items()}

    def _turns(self, name: str, epoch: int) -> int:
        """Return how many steps a part takes in an epoch."""
        every, steps = self.parts[name].every, self.budget.per_epoch
        return (epoch + 1) * steps // every - epoch * steps // every

    def _look_back(self, epoch: int) -> float | None:
        """Let the task show what the model can do, and return the mean score on the validation split.

        Both with the moving average of the weights if there is one.
        """
        with self.state.average.in_place() if self.state.average else nullcontext():
            with eval_seeded(self.state.model):
                self.task.sketch(self.state.model, self.folder, epoch)
            if "val" not in self.feeds:
                return None
            batch = self.config.batch_size
            return evaluate(self.model, self.task, self.feeds["val"], batch_size=batch).score

    def _save(self) -> None:
        at = self.state.at
        sums = self._look()  # never keep a state that is not a number
        at.loss, at.losses = sums[self.first], sums if len(sums) > 1 else {}
        self._count_seconds()
        self.checkpoints.save(at.step, *self.state.capture(self.run))
        self.saved = time.perf_counter()

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.state.at.seconds += now - self.lap
        self.state.at.epoch_seconds += now - self.lap
        self.lap = now
