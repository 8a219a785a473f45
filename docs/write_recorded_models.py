"""Write docs/recorded-models.md: what `fv.record` sees in well-known models, and to what precision.

python docs/write_recorded_models.py [NAME ...]

Models have random weights; parts that start at zero are filled with noise, so that no output is constant.
Each runs as it is and while it is recorded; the outputs must be equal to the bit. Where its attention is
fused, it runs once more with attention written out (timm: `fused_attn = False`, transformers: `eager`,
PyTorch's modules: `need_weights=True`), and the weights are compared. With names, only those are measured.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

import foveate as fv
from foveate.explain.recording.recorded import Recorded

PAGE = Path(__file__).with_name("recorded-models.md")
SIZES = {  # pixels where the default is large, and options of the model
    "vit_small_patch14_reg4_dinov2": (112, {"img_size": 112}),
    "samvit_base_patch16": (256, {"img_size": 256}),
    "sam2_hiera_tiny": (256, {}),
    "vit_base_patch16_siglip_224": (112, {"img_size": 112}),
    "beit_base_patch16_224": (112, {"img_size": 112}),
    "naflexvit_base_patch16_gap": (112, {}),
}
TIMM = """
vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 vit_small_patch14_reg4_dinov2
vit_small_r26_s32_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_ns_224
maxvit_tiny_rw_224 coatnet_nano_rw_224 coatnet_rmlp_nano_rw_224 levit_128s edgenext_xx_small
xcit_nano_12_p16_224 cait_xxs24_224 botnet26t_256 halonet26t lambda_resnet26t mobilevit_xxs
mobilevitv2_050 eva02_tiny_patch14_224 beit_base_patch16_224 hiera_tiny_224 pvt_v2_b0 nextvit_small
efficientvit_b0 efficientvit_m0 focalnet_tiny_srf volo_d1_224 resnet50_clip coat_lite_tiny
davit_tiny twins_svt_small twins_pcpvt_small convit_tiny crossvit_tiny_240 mvitv2_tiny gcvit_xxtiny
fastvit_t8 fastvit_sa12 nest_tiny tiny_vit_5m_224 efficientformer_l1 efficientformerv2_s0
visformer_tiny tnt_s_patch16_224 caformer_s18 samvit_base_patch16 sam2_hiera_tiny
vit_relpos_small_patch16_224 mobilenetv4_hybrid_medium shvit_s1 vit_base_patch16_siglip_224
naflexvit_base_patch16_gap seresnet50 repvit_m0_9 rdnet_tiny ghostnet_100 resnest14d skresnet18
ecaresnet26t convnext_atto poolformer_s12 sequencer2d_s mixer_s32_224 gmlp_s16_224
""".split()
WITHOUT = {"convnext_atto", "poolformer_s12", "sequencer2d_s", "mixer_s32_224", "gmlp_s16_224"}
VISION = {"vit_b_16": {"image_size": 64}, "swin_t": {}, "swin_v2_t": {}, "maxvit_t": {}}

Given = dict[str, Tensor]


def toys() -> dict[str, Callable[[], tuple[nn.Module, Given]]]:
    """Return what builds each model of transformers."""
    from tests.explain.toys import HF

    return HF


@dataclass(frozen=True)
class Row:
    """What was measured for one model.

    Args:
        name: Its name.
        library: Where it is from.
        seen: What was recorded: kinds with their numbers, in words.
        places: Where the first and the last map with places look, in words.
        equal: Whether the outputs are equal to the bit.
        varies: Whether the output is not constant, so that being equal says something.
        difference: The largest difference from the weights written out; 0 if the model writes them itself.
        known: How many of the maps of queries and keys have a known geometry, and how many there are.
        left: Hooks, wrapped methods and modes that were left, besides those that the model came with.
        own: Whether the model writes all its weights out itself.
    """

    name: str
    library: str
    seen: str
    places: str
    equal: bool
    varies: bool
    difference: float
    known: tuple[int, int]
    left: int
    own: bool


def filled(model: nn.Module) -> nn.Module:
    """Add noise to what starts at zero or nearly so: heads, layer scales, biases."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim <= 1 or parameter.abs().max() < 1e-3:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def built(library: str, name: str) -> tuple[nn.Module, Given]:
    """Return a model with random weights, and an input for it."""
    torch.manual_seed(0)
    if library == "transformers":
        model, given = toys()[name]()
        return filled(model), given
    if library == "timm":
        size, options = SIZES.get(name, (0, {}))
        model = timm.create_model(name, **options)
        size = size or model.default_cfg["input_size"][-1]
    else:
        model = torchvision.models.get_model(name, **VISION[name])
        size = VISION[name].get("image_size", 224 if name == "maxvit_t" else 80)
    return filled(model), {"x": torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(2))}


def measured(library: str, name: str) -> Row:
    """Record one model, and compare."""
    model, given = built(library, name)
    own = _left(model)  # hooks that the model comes with
    with torch.no_grad():
        plain = _outputs(model, given)
        with fv.record(model) as maps:
            recorded = _outputs(model, given)
        difference = _difference(model, given, maps)
    shown = [found.geometry for found in maps.in_order if found.geometry and "×" in str(found.geometry)]
    pairs = [found for found in maps.in_order if found.pairwise]
    kinds = Counter(found.kind for found in maps.in_order)
    return Row(
        name=name,
        library=library,
        seen=", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no attention",
        places="; ".join(dict.fromkeys(str(geometry) for geometry in (*shown[:1], *shown[-1:]))),
        equal=len(plain) == len(recorded) and all(map(torch.equal, plain, recorded)),
        varies=all(float(x.float().std()) > 1e-6 for x in plain if x.numel() > 1),
        difference=difference,
        known=(sum(found.geometry is not None for found in pairs), len(pairs)),
        left=_left(model) - own,
        own=all(found.precision.startswith("the model's own") for found in maps.in_order),
    )


def _outputs(model: nn.Module, given: Given) -> list[Tensor]:
    out: Any = model(given["x"]) if "x" in given else model(**given)
    values = out.values() if isinstance(out, dict) else [out]
    return [x for x in values if isinstance(x, Tensor)]


def _difference(model: nn.Module, given: Given, maps: Recorded) -> float:
    """Return the largest difference from the weights of the same layers, written out."""
    with _written_out(model) as weights:
        with fv.record(model) as again:
            _outputs(model, given)
        expected = weights or [found.weights for found in again.in_order]
    pairs = [found for found in maps.in_order if found.pairwise or not weights]
    assert len(pairs) == len(expected), (len(pairs), len(expected))
    return max(
        (
            float((a.weights.flatten() - b.flatten()).abs().max())
            for a, b in zip(pairs, expected, strict=True)
        ),
        default=0.0,
    )


@contextmanager
def _written_out(model: nn.Module) -> Iterator[list[Tensor]]:
    """Let attention be written out inside the block; yield the weights that PyTorch's modules return."""
    returned: list[Tensor] = []
    undo: list[Callable[[], None]] = []
    for module in model.modules():
        if getattr(module, "fused_attn", False):
            module.fused_attn = False
            undo.append(lambda module=module: setattr(module, "fused_attn", True))
        if isinstance(module, nn.MultiheadAttention):
            undo.append(module.register_forward_pre_hook(_with_weights, with_kwargs=True).remove)
            undo.append(module.register_forward_hook(lambda _m, _i, out: returned.append(out[1])).remove)
    before = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if before is not None:
        model.set_attn_implementation("eager")
        undo.append(lambda: model.set_attn_implementation(before))
        returned.clear()
    try:
        yield returned if before is None else []
    finally:
        for step in undo:
            step()


def _with_weights(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args, {**kwargs, "need_weights": True, "average_attn_weights": False}


def _left(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    hooks = sum(len(getattr(part, kind)) for part in model.modules() for kind in kinds)
    wrapped = sum(name in part.__dict__ for part in model.modules() for name in ("forward", "_attn"))
    return hooks + wrapped + torch._C._len_torch_function_stack()


def models() -> list[tuple[str, str]]:
    """Return every model of the page, as library and name."""
    return (
        [("timm", n) for n in TIMM]
        + [("torchvision", n) for n in VISION]
        + [("transformers", n) for n in toys()]
    )


HEAD = """# Recorded models

What [`fv.record`](look.md#record) sees in {count} models of timm {timm}, torchvision {torchvision} and
transformers {transformers}, with fused kernels on. Generated by `python docs/write_recorded_models.py`,
with random weights; the models of transformers are toys of one or two layers.

- **Recorded**: how many maps of each kind. `softmax`: rows sum to 1; `mixed`: changed after the softmax,
  as by talking heads; `linear`: weights of linear attention; `channel`: channels that attend to channels;
  `gate`: factors of channels, positions, branches or scales.
- **Where**: the first and the last map that has places: the grid of queries and keys, prefix tokens,
  windows, shift, padding.
- **Difference**: the largest one from the same weights written out by the model itself, in float32; `own`
  where the model writes them out anyway, `recomputed` where it did not write them out for comparison. In
  bfloat16 and float16 the kernels round by themselves: expect up to 5e-3 and 1e-3.
- **Output**: whether it is the same to the bit while it is recorded.

| model | recorded | where | difference | output |
| --- | --- | --- | --- | --- |
"""


def line(row: Row) -> str:
    """Return one line of the table."""
    difference = f"{row.difference:.0e}" if row.difference else "own" if row.own else "recomputed"
    if row.seen == "no attention":
        difference = ""
    return (
        f"| {row.library} `{row.name}` | {row.seen} | {row.places} | {difference} | "
        f"{'equal' if row.equal else '**differs**'} |\n"
    )


def main(names: list[str]) -> None:
    """Measure, and write the page."""
    import transformers

    warnings.simplefilter("ignore")
    lines = []
    for library, name in models():
        if not names or name in names:
            lines.append(line(row := measured(library, name)))
            print(row, flush=True)
    if not names:
        head = HEAD.format(
            count=len(lines),
            timm=timm.__version__,
            torchvision=torchvision.__version__.split("+")[0],
            transformers=transformers.__version__,
        )
        PAGE.write_text(head + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(sys.argv[1:])
