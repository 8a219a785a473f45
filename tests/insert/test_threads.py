"""One model in several threads, tasks and generators at the same time: each gets what it asked for."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from foveate.explain.record import record
from foveate.insert.holder import holders
from foveate.insert.surgery import bypass, insert
from foveate.mechanisms.base import build
from foveate.mechanisms.map_tap import MapTap
from foveate.mechanisms.switch import _uncompiled
from tests.insert.changers import resnet

SPEC = "se@blocks+csra@output"


def images(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(1, 3, 32, 32, generator=generator) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return insert(resnet(), SPEC, example=images(1)[0], start="paper").eval()


def off(model: nn.Module, x: Tensor) -> Tensor:
    with bypass(model):
        return model(x).detach()


def maps_of(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    with record(model) as maps:
        model(x)
    return dict(maps)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_threads_that_serve_switch_off_and_record_do_not_mix(model: nn.Module) -> None:
    given = images(6)
    with torch.no_grad():
        expected = [(model(x), off(model, x), maps_of(model, x)) for x in given]
        barrier = threading.Barrier(3)

        def ask(job: int) -> bool:
            number, way = divmod(job, 3)
            barrier.wait(timeout=60)  # three ways at once
            served, plain, maps = expected[number % 6]
            with torch.no_grad():
                if way == 0:
                    return torch.equal(model(given[number % 6]), served)
                if way == 1:
                    return torch.equal(off(model, given[number % 6]), plain)
                return same(maps_of(model, given[number % 6]), maps)

        with ThreadPoolExecutor(3) as pool:
            assert all(pool.map(ask, range(36)))
    assert not any(tap.recording for tap in model.modules() if isinstance(tap, MapTap))
    assert not any(holder.bypassed for holder in holders(model).values())


def test_a_thread_started_in_a_block_is_not_in_it(model: nn.Module) -> None:
    x = images(1)[0]
    found: list[Tensor] = []
    with bypass(model), record(model) as maps:
        thread = threading.Thread(target=lambda: found.append(model(x)))
        thread.start()
        thread.join()
    assert torch.equal(found[0], model(x)) and not maps


def test_generators_that_take_turns_end_what_they_began(model: nn.Module) -> None:
    x = images(1)[0]

    def plain() -> Iterator[Tensor]:
        with bypass(model):
            while True:
                yield model(x)

    weighed, expected = model(x), off(model, x)
    first, second = plain(), plain()
    assert torch.equal(next(first), expected) and torch.equal(next(second), expected)
    first.close()
    assert torch.equal(next(second), expected)
    second.close()
    assert torch.equal(model(x), weighed)
    in_thread = plain()
    next(in_thread)
    thread = threading.Thread(target=in_thread.close)
    thread.start()
    thread.join()
    assert torch.equal(model(x), weighed)


def test_recordings_in_generators_that_take_turns_do_not_mix(model: nn.Module) -> None:
    x, y = images(2)

    def looked(image: Tensor) -> Iterator[dict[str, Tensor]]:
        with record(model) as maps:
            model(image)
            yield dict(maps)
            yield dict(maps)

    expected = maps_of(model, x), maps_of(model, y)
    first, second = looked(x), looked(y)
    for _ in range(2):
        assert same(next(first), expected[0]) and same(next(second), expected[1])


def test_a_context_manager_of_ones_own_is_no_generator_that_waits(model: nn.Module) -> None:
    x = images(1)[0]

    @contextmanager
    def looked() -> Iterator[object]:
        with record(model) as outer:
            yield outer

    with looked() as outer, record(model) as inner:
        model(x)
    assert same(dict(outer), dict(inner))


def test_tasks_do_not_mix(model: nn.Module) -> None:
    x, y = images(2)

    async def looked(image: Tensor, plain: bool) -> tuple[Tensor, dict[str, Tensor]]:
        with record(model) as maps:
            await asyncio.sleep(0)
            if plain:
                with bypass(model):
                    await asyncio.sleep(0)
                    return model(image), dict(maps)
            await asyncio.sleep(0)
            return model(image), dict(maps)

    async def both() -> list[tuple[Tensor, dict[str, Tensor]]]:
        return list(await asyncio.gather(looked(x, False), looked(y, True)))

    (served, maps), (plain, none) = asyncio.run(both())
    assert torch.equal(served, model(x)) and same(maps, maps_of(model, x))
    assert torch.equal(plain, off(model, y)) and not none


def test_replicas_of_data_parallel_are_switched_and_recorded_as_the_model(model: nn.Module) -> None:
    """As ``nn.DataParallel`` does it on several GPUs: replicas, each with its share, each in a thread."""
    first, second = images(2)
    batch = torch.cat([first, second])

    def run() -> Tensor:
        copies = [_replica(model) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            return torch.cat(
                list(pool.map(lambda pair: pair[0](pair[1]), zip(copies, (first, second), strict=True)))
            )

    with torch.no_grad():
        torch.testing.assert_close(run(), model(batch))
        with bypass(model):
            torch.testing.assert_close(run(), model(batch))
        with record(model) as maps:
            for _ in range(2):
                run()
    expected = maps_of(model, batch)
    assert maps.keys() == expected.keys()
    for path, weights in expected.items():
        torch.testing.assert_close(maps[path], weights)


def _replica(module: nn.Module) -> nn.Module:
    replica = module._replicate_for_data_parallel()
    replica._parameters = dict(module._parameters)
    for name, child in module._modules.items():
        setattr(replica, name, None if child is None else _replica(child))
    return replica


def test_blocks_of_threads_share_the_state_that_torch_has_once() -> None:
    import torch._dynamo.eval_frame as frame

    attention = build("se", 8)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with record(attention):
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    with record(attention):
        thread.start()
        entered.wait(60)
    assert frame._stance.stance == "force_eager"
    leave.set()
    thread.join()
    assert frame._stance.stance == "default" and not _uncompiled.count


@pytest.mark.filterwarnings("ignore")  # torch's own, from its compiler
@pytest.mark.slow
def test_the_compiler_is_told_of_a_block_that_it_cannot_see() -> None:
    attended = insert(nn.Sequential(nn.Conv2d(3, 4, 3)), "se@0", example=images(1)[0])
    _uncompiled.count += 1  # as in a block that was entered before the compiler was imported
    try:
        with pytest.raises(Exception, match="used for the first time inside of fv"):
            torch.compile(attended, backend="eager", fullgraph=True)(images(1)[0])
    finally:
        _uncompiled.count -= 1
        torch._dynamo.reset()


class Parts(nn.Module):
    """A classifier whose encoder can be checkpointed."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU())
        self.fc, self.saves = nn.Linear(8, 4), False

    def forward(self, x: Tensor) -> Tensor:
        x = checkpoint(self.encoder, x, use_reentrant=False) if self.saves else self.encoder(x)
        return self.fc(x.mean(dim=(2, 3)))


def test_a_map_that_is_made_again_for_the_backward_pass_is_let_go() -> None:
    torch.manual_seed(0)
    model = insert(Parts(), "csra@output", example=images(1)[0], start="paper")
    x = images(1)[0]
    wires = [slot.wire for holder in holders(model).values() for slot in holder.slots if slot.wire]
    gradients = []
    for model.saves in (False, True):
        model.zero_grad()
        model(x).sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        gc.collect()
        assert wires and all(wire.value is None for wire in wires)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
