"""``foveate cost``: parameters, multiply-adds, memory and time of a model, with and without attention."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from torch import Tensor, nn

EXAMPLE = """
    $ foveate cost resnet18 -a se@blocks -a cbam@stage4
    model        parameters  MACs per image   weights
    ──────────────────────────────────────────────────
    plain            11.7 M          1.81 G  44.6 MiB
    se@blocks        11.8 M          1.81 G    45 MiB
    cbam@stage4      11.7 M          1.81 G  44.8 MiB

    Input 1×3×224×224. A multiply-add counts once; fused attention is counted.
"""


def cost(
    model: str,
    /,
    *,
    attention: Annotated[list[str] | None, Parameter(alias="-a")] = None,
    size: int | None = None,
    batch_size: int = 1,
    measure: bool = False,
    json: bool = False,
) -> None:
    """Print what a model costs, and what it costs with attention in it.

    Args:
        model: A model's name; see `foveate list models`.
        attention: A spec such as se@blocks; may be given several times, for one line each.
        size: Side of the images in pixels; the model's own by default.
        batch_size: Images in a batch, for --measure.
        measure: Measure latency and peak memory as well, the models taking turns.
        json: Print JSON.
    """
    from foveate.cli import output
    from foveate.cli.model import model_and_example
    from foveate.insert.surgery import insert

    plain, example = model_and_example(model, size=size, images=batch_size)
    models = {"plain": plain} | {spec: insert(plain, spec, example=example) for spec in attention or []}
    rows = _rows(models, example, measure)
    if json:
        output.machine({"model": model, "input": list(example.shape), "variants": rows})
    else:
        _print(rows, tuple(example.shape))


def _rows(models: dict[str, nn.Module], example: Tensor, measured: bool) -> list[dict[str, Any]]:
    from foveate.cost.count import cost as count
    from foveate.cost.latency import measure
    from foveate.cost.memory import peak_memory

    rows: list[dict[str, Any]] = [{"name": name, **asdict(count(m, example))} for name, m in models.items()]
    if measured:
        latencies = measure(models, example)
        for row, (name, model) in zip(rows, models.items(), strict=True):
            row["latency"] = asdict(latencies[name])
            row["memory"] = {
                kind: peak_memory(model, example, training=kind == "training")
                for kind in ("inference", "training")
            }
    return rows


def _print(rows: list[dict[str, Any]], shape: tuple[int, ...]) -> None:
    from foveate.cli.output import bytes_short, say, table
    from foveate.quantities import short

    columns = ["model", "parameters", "MACs per image", "weights"]
    cells = [(r["name"], short(r["parameters"]), short(r["macs"]), bytes_short(r["bytes"])) for r in rows]
    table(columns, cells, right=columns[1:])
    if "latency" in rows[0]:
        columns = ["model", "ms per batch", "10 to 90 %", "peak forward", "peak training"]
        table(columns, [_measured(row) for row in rows], right=columns[1:])
    say(f"Input {'×'.join(map(str, shape))}. A multiply-add counts once; fused attention is counted.")


def _measured(row: dict[str, Any]) -> tuple[str, ...]:
    from foveate.cli.output import bytes_short

    time, memory = row["latency"], row["memory"]
    spread = f"{time['low']:.3g} to {time['high']:.3g}"
    peaks = (bytes_short(memory[kind]) for kind in ("inference", "training"))
    return row["name"], f"{time['median']:.3g}", spread, *peaks
