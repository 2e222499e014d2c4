"""Seconds a clip and memory of Cosmos Transfer 2.5 (or Predict) at its published size, on random weights, through our engine.

    python -m benchmarks.cosmos_gpu [--engine transfer] [--control edges] [--frames 93] [--steps 36] [--compiled fast] [--out report.json]

Every model has the size of the published one (its configuration, not its weights): the 2-billion-parameter transformer, its ControlNet,
the Wan 2.1 autoencoder and the 7-billion-parameter Qwen2.5-VL text encoder, all in bfloat16 on one GPU. A made-up street of 93 frames
at 1280x720 goes in as frames, 93 frames of 1280x704 are drawn, and come back at 1280x720. With fewer `--steps` the clip's
seconds are projected from the steps that were drawn, and the table says so.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.cosmos_sizes import REAL, TINY, random_pipeline
from benchmarks.generate_gpu_parts import frame
from flywheel.generate.protocol import ClipPlace, Control, ControlKind, GenerateInput, Refused
from flywheel.types import CONDITIONS
from generators.cosmos import CosmosGenerator, CosmosPredictGenerator, CosmosTransferGenerator

STEPS, PUBLISHED_S = 36, 264.13
Report = dict[str, Any]
# https://github.com/nvidia-cosmos/cosmos-transfer2.5, docs/inference.md (read in November 2026)
PUBLISHED = """published: Cosmos-Transfer2.5-2B, segmentation, 93 frames of 720p, guardrails off: 264.13 s on one H100 PCIe
  (445.52 s on an H100 NVL, 92.25 s on a B200), 65.4 GB of GPU memory, NVIDIA's own code and the trained weights.
what differs here: diffusers' pipeline instead of NVIDIA's code; random weights of the same sizes (the arithmetic is the same, the
  pictures are noise); 1280x704 px, which both draw for 720p; the control is made up instead of segmented from the video, so nothing
  is spent on a segmentation model; text encoding, autoencoder and the return to 1280x720 are inside our seconds, reading and
  writing video files are not; another GPU, named above."""


class RandomTransfer(CosmosTransferGenerator):
    """The engine over random weights of the given sizes."""

    sizes: ClassVar[Report] = {}

    def loaded(self, pipeline: str | Path) -> tuple[Any, Sequence[Path]]:
        """Nothing is read from disk but the seed that the weights come from."""
        return random_pipeline("transfer", self.sizes, place=self._place, guard=self._guard), [Path(pipeline)]


class RandomPredict(CosmosPredictGenerator):
    """The engine over random weights of the given sizes."""

    sizes: ClassVar[Report] = {}

    def loaded(self, pipeline: str | Path) -> tuple[Any, Sequence[Path]]:
        """Nothing is read from disk but the seed that the weights come from."""
        return random_pipeline("predict", self.sizes, place=self._place, guard=self._guard), [Path(pipeline)]


def seeded(folder: Path) -> Path:
    """A folder that holds the seed of the random weights where weights would lie."""
    from safetensors.numpy import save_file

    folder.mkdir()
    save_file({"seed": np.zeros(1, np.int64)}, str(folder / "seed.safetensors"))
    return folder


def clip(count: int, *, kind: ControlKind, width: int, height: int) -> list[GenerateInput]:
    """A made-up street that slides by, with a control for each frame."""
    import cv2

    wide = cv2.resize(frame(0, height), (2 * width, height))
    shown = [np.ascontiguousarray(wide[:, 4 * k : 4 * k + width]) for k in range(count)]
    edges = [np.repeat(cv2.Canny(rgb, 80, 160)[:, :, None], 3, axis=2) for rgb in shown]
    made = partial(GenerateInput, source=CONDITIONS[0], target=CONDITIONS[1], prompt="a street on a rainy night", negative_prompt="")
    return [
        made(rgb=rgb, seed=1, controls=(Control(kind, edge, "made up"),), clip=ClipPlace(k, k / 16))
        for k, (rgb, edge) in enumerate(zip(shown, edges, strict=True))
    ]


def timed_parts(generator: CosmosGenerator) -> dict[str, list[float]]:
    """Seconds of every call of the pipeline's parts from now on, each waited for: text, autoencoder in and out, one denoising step."""
    import torch

    found: dict[str, list[float]] = {}
    pipe = generator._pipeline

    def watch(owner: Any, method: str, name: str) -> None:
        work = getattr(owner, method)

        def timed(*given: Any, **named: Any) -> Any:
            began = synchronized()
            done = work(*given, **named)
            found.setdefault(name, []).append(synchronized() - began)
            return done

        setattr(owner, method, timed)

    def synchronized() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    for owner, method, name in (
        (pipe, "encode_prompt", "text"), (pipe.vae, "encode", "autoencoder in"), (pipe.vae, "decode", "autoencoder out"),
        (pipe.scheduler, "step", "scheduler"), (pipe.transformer, "forward", "transformer"),
    ):  # fmt: skip
        watch(owner, method, name)
    if getattr(pipe, "controlnet", None) is not None:
        watch(pipe.controlnet, "forward", "control")
    return found


def measured(given: argparse.Namespace, folder: Path) -> Report:
    """One short clip to compile and warm up, then the clip."""
    import torch

    on_gpu = torch.cuda.is_available()
    sizes, width, height = (TINY, 96, 64) if given.tiny else (REAL, 1280, 720)
    kind = RandomTransfer if given.engine == "transfer" else RandomPredict
    kind.sizes = sizes
    options: dict[str, Any] = {"control": given.control} if given.engine == "transfer" else {}
    began = time.perf_counter()
    generator = kind(
        seeded(folder / f"random-{given.engine}"), height_px=64 if given.tiny else 704, num_inference_steps=given.steps, guardrail="off",
        compiled=given.compiled, attention=given.attention, dtype="bfloat16" if on_gpu else "float32", licence="none", **options,
    )  # fmt: skip
    pipe = generator._pipeline
    parts = ("transformer", "controlnet", "text_encoder", "vae")
    counted = {name: sum(p.numel() for p in getattr(pipe, name).parameters()) for name in parts if getattr(pipe, name, None) is not None}
    found: Report = {"device": torch.cuda.get_device_name() if on_gpu else "CPU", "torch": torch.__version__, **vars(given)}
    found |= {"parameters": counted, "attention": generator._attention, "guardrail": generator.info.parameters["guardrail"]}
    found["build_s"] = time.perf_counter() - began
    print("built", found, flush=True)
    shot = clip(given.frames, kind=given.control, width=width, height=height)
    began = time.perf_counter()
    generator._settings["num_inference_steps"] = 1
    generator.generate(shot)
    generator._settings["num_inference_steps"] = given.steps
    found["warm_up_s"] = time.perf_counter() - began
    print("warm after", found["warm_up_s"], flush=True)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    spent = timed_parts(generator)
    began = time.perf_counter()
    drawn = generator.generate(shot)
    found["clip_s"] = time.perf_counter() - began
    if any(isinstance(out, Refused) for out in drawn) or any(out.shape != shot[0].rgb.shape for out in drawn):
        raise SystemExit("the clip did not come back frame for frame")
    found["finite_spread"] = float(np.std(np.stack(drawn)))
    found["parts_s"] = {name: {"calls": len(times), "sum": sum(times), "median": float(np.median(times))} for name, times in spent.items()}
    found["peak_gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return found


def table(found: Report) -> None:
    """The report as a person reads it."""
    steps, parts = found["steps"], found["parts_s"]
    a_step = sum(parts[name]["sum"] for name in ("transformer", "control", "scheduler") if name in parts) / steps
    whole = found["clip_s"] + (STEPS - steps) * a_step
    print(
        f"\nCosmos {found['engine']} on {found['device']}, torch {found['torch']}, {found['frames']} frames, attention {found['attention']}"
    )
    print("parameters:", ", ".join(f"{name} {count / 1e9:.2f} G" for name, count in found["parameters"].items()))
    print(
        f"guardrail: {found['guardrail']}; blocks compiled: {found['compiled']}; warm-up (compiling) {found['warm_up_s']:.1f} s, left out"
    )
    for name, times in parts.items():
        print(f"  {name:16} {times['calls']:4} calls {times['median'] * 1e3:10.1f} ms each {times['sum']:8.1f} s")
    print(f"  {steps} steps of {a_step:.2f} s; everything else {found['clip_s'] - steps * a_step:.1f} s")
    how = "measured" if steps == STEPS else f"projected from {steps} steps and everything else ({found['clip_s']:.1f} s measured)"
    print(f"a clip of {STEPS} steps: {whole:.1f} s, {how}; {whole / found['frames']:.2f} s a frame")
    print(f"peak GPU memory {found['peak_gpu_gib']:.1f} GiB")
    if found["engine"] == "transfer":
        print(f"{PUBLISHED}\nours over the published 264 s: {whole / PUBLISHED_S:.2f}")


def main() -> None:
    """Measures and prints; with --out also writes everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["transfer", "predict"], default="transfer")
    parser.add_argument("--control", choices=["edges", "depth", "segmentation"], default="edges")
    parser.add_argument("--frames", type=int, default=93)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--compiled", choices=["no", "fast"], default="fast")
    parser.add_argument("--attention", help="a backend of diffusers; the engine's own choice without it")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try the benchmark itself")
    parser.add_argument("--out", help="write the figures here as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given, Path(folder))
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1))
    table(found)


if __name__ == "__main__":
    main()
