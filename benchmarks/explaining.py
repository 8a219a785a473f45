"""Class activation maps beside pytorch-grad-cam and torch-cam, integrated gradients beside captum.

    pip install foveate[bench]
    python -m benchmarks.explaining

All explain one class of the same images on one thread, and their maps are compared first, by correlation, as
peers normalise theirs. They take turns, one call each, in an order that changes from round to round; printed
is the median of our processor time divided by a peer's in the same round. Our first call, which looks for the
layer, comes before. To reach: at most 1.05 of the fastest. ``--case`` runs the cases whose names contain a
text.

Correlations below 1 have reasons: pytorch-grad-cam cuts HiResCAM at 0, leaves the sign of Eigen-CAM to chance
and adds 1e-6 to the denominator of Grad-CAM++; torch-cam's Grad-CAM++ never divides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from foveate.explain.explain import explain, explained

Call = Callable[[], Tensor]
STEPS = 20


def cases(name: str, model: nn.Module, images: Tensor, target: int) -> dict[str, dict[str, Call]]:
    """Return what is timed: for each case the calls of every package, ours first."""
    layer = explained(model, images, target=target).layers[0]
    found: dict[str, dict[str, Call]] = {}
    for ours, grad_cam, torch_cam in (
        ("grad_cam", "GradCAM", "GradCAM"),
        ("grad_cam_pp", "GradCAMPlusPlus", "GradCAMpp"),
        ("hires_cam", "HiResCAM", None),
        ("layer_cam", "LayerCAM", "LayerCAM"),
        ("x_grad_cam", "XGradCAM", "XGradCAM"),
        ("eigen_cam", "EigenCAM", None),
    ):
        calls = {"foveate": _ours(model, images, ours, target)}
        calls["grad-cam"] = _grad_cam(grad_cam, model, images, target, layer)
        if torch_cam and not name.startswith("vit"):
            calls["torch-cam"] = _torch_cam(torch_cam, model, images, target, layer)
        found[f"{ours}, {name}, {len(images)} images"] = calls
    calls = {"foveate": _ours(model, images, f"integrated_gradients(steps={STEPS})", target)}
    calls["captum"] = _captum(model, images, target)
    found[f"integrated_gradients, {name}, {len(images)} images"] = calls
    return found


def _ours(model: nn.Module, images: Tensor, method: str, target: int) -> Call:
    return lambda: explain(model, images, method, target=target)


def _grad_cam(method: str, model: nn.Module, images: Tensor, target: int, layer: str) -> Call:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    tokens = layer.endswith("norm1")

    def as_map(x: Tensor) -> Tensor:
        side = int((x.shape[1] - 1) ** 0.5)
        return x[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)

    cam = getattr(pytorch_grad_cam, method)(
        model=model,
        target_layers=[model.get_submodule(layer)],
        reshape_transform=as_map if tokens else None,
    )
    targets = [ClassifierOutputTarget(target)] * len(images)

    def call() -> Tensor:
        cam.activations_and_grads.__init__(model, cam.target_layers, cam.reshape_transform)
        try:
            return torch.from_numpy(cam(input_tensor=images, targets=targets))
        finally:
            cam.activations_and_grads.release()  # so that its hooks do not slow the others down

    cam.activations_and_grads.release()
    return call


def _torch_cam(method: str, model: nn.Module, images: Tensor, target: int, layer: str) -> Call:
    import torchcam.methods

    def call() -> Tensor:
        with getattr(torchcam.methods, method)(model, target_layer=layer) as extract:
            scores = model(images.requires_grad_())  # frozen parameters or not, as its page advises
            maps = extract([target] * len(images), scores, normalized=False)[0]
        images.requires_grad_(False)
        return torch.nn.functional.interpolate(
            maps[:, None].float(), images.shape[2:], mode="bilinear", align_corners=False
        )[:, 0]

    return call


def _captum(model: nn.Module, images: Tensor, target: int) -> Call:
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(model)
    return lambda: method.attribute(images, target=target, n_steps=STEPS).sum(dim=1).detach()


def ratios(calls: dict[str, Call], rounds: int) -> tuple[dict[str, float], float]:
    """Return the median of our time by that of each peer, and our median in milliseconds."""
    names = list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    for call in calls.values():
        call()
    for number in range(rounds):
        turn = names[number % len(names) :] + names[: number % len(names)]
        for name in turn:
            started = time.process_time()
            calls[name]()
            times[name].append(time.process_time() - started)
    own = times["foveate"]
    medians = {
        name: statistics.median(a / b for a, b in zip(own, times[name], strict=True)) for name in names[1:]
    }
    return medians, 1000 * statistics.median(own)


def agreement(calls: dict[str, Call]) -> dict[str, float]:
    """Return the correlation of each peer's maps with ours, the lowest of the images."""
    maps = {name: call().flatten(1).double() for name, call in calls.items()}
    return {
        name: min(
            float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(maps["foveate"], m, strict=True)
        )
        for name, m in maps.items()
        if name != "foveate"
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--case", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, batch in (("resnet18", 1), ("resnet18", 4), ("vit_tiny_patch16_224", 1)):
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=10).eval()
        images = torch.rand(batch, 3, 224, 224)
        started = time.perf_counter()
        explain(model, images)
        print(f"{name}: the first call, which looks for the layer, {time.perf_counter() - started:.1f} s")
        for case, calls in cases(name, model, images, 3).items():
            if options.case not in case:
                continue
            same = agreement(calls)
            found, milliseconds = ratios(calls, options.rounds)
            told = ", ".join(f"{n} {found[n]:.2f} (correlation {same[n]:.4f})" for n in found)
            print(f"{case:<46} {milliseconds:7.1f} ms; of the time of {told}", flush=True)


if __name__ == "__main__":
    main()
