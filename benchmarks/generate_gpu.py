"""Images a second on a GPU, from stored frame to stored, hashed, marked image: the plain diffusers loop and `run_plan`, in one run.

    python -m benchmarks.generate_gpu [--images 1024] [--ungated 256] [--plain 20] [--batch 64] [--gpus 1] [--out report.json]

A Stable-Diffusion-1.5-sized pipeline on random weights (UNet 859.5 million parameters) redraws 1024x1024 JPEG frames at 512x512: 20
steps at strength 0.6 (12 denoising steps), guidance 7.5, DDIM, one precision for both. The plain loop is what a script does: open and
resize a frame, call the pipeline, save a PNG. Ours reads, draws, scores, marks, seals, hashes and stores, once with the gates and on
fewer images without. With `--gpus N` the plan is then drawn by N processes. Compiling (minutes, once) and loading are printed, not
in the rates.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generate_gpu_parts import frame, put_batch, put_frames, save_pipeline
from benchmarks.generate_gpu_runs import (
    Report,
    forget,
    made,
    matmul_tflops,
    ours,
    plain_loop,
    seconds_of,
    several,
    unlike,
    wait_for,
    warm,
    warmed,
)
from flywheel.generate import gates
from flywheel.generate.images import downsized, encode_png, read_rgb
from flywheel.generate.papers import put_papers
from flywheel.generate.plan import Plan
from flywheel.generate.provenance import manifest_key, mark_png
from flywheel.generate.run import run_plan
from flywheel.store import Store, open_store
from flywheel.tables import read_table
from flywheel.types import sha256_hex
from generators.diffusion import DiffusersGenerator

TFLOP_AN_IMAGE = 22.9  # counted for this work: 12 steps of two UNet passes, VAE encode and decode
started = time.perf_counter()


def say(*words: Any) -> None:
    """Prints at once, with the seconds since the start."""
    print(f"[{time.perf_counter() - started:6.1f}]", *words, flush=True)


def device_stages(generator: DiffusersGenerator, *, size_px: int) -> dict[str, float]:
    """Milliseconds an image of each part of the drawing, one full batch, each waited for."""
    import torch

    engine = generator._engine
    assert engine is not None
    with torch.inference_mode():
        pixels = engine._upload(np.stack([frame(k, size_px) for k in range(engine.batch)]))
        noise = engine._noise(range(engine.batch), pixels.shape, [None] * engine.batch)
        guides = engine.guides([("a street", "blurry")] * engine.batch)
        latents = engine.latents(pixels, noise[:, 0])
        parts: dict[str, Callable[[], Any]] = {
            "VAE encode": lambda: engine.latents(pixels, noise[:, 0]),
            "12 denoising steps": lambda: engine.denoised(latents, noise[:, 1], guides),
            "VAE decode": lambda: engine.levels(latents),
        }
        return {name: seconds_of(work, times=3) / engine.batch * 1e3 for name, work in parts.items()}


def host_stages(store: Store, plan: Plan, *, size_px: int, times: int = 8) -> dict[str, float]:
    """Milliseconds an image of each part around the drawing, one after the other in one thread, on what was drawn."""
    rows = read_table(store, "VARIATIONS", batch_id=plan.batch_id).to_pylist()[:times]
    asked = {request.variation_id: request for request in plan.requests}
    found: dict[str, float] = {}

    def each(name: str, work: Callable[[int], Any]) -> list[Any]:
        began = time.perf_counter()
        done = [work(k) for k in range(len(rows))]
        found[name] = (time.perf_counter() - began) / len(rows) * 1e3
        return done

    wanted = [asked[row["variation_id"]] for row in rows]
    parents = each(
        "read, decode, resize the parent", lambda k: downsized(read_rgb(store, wanted[k].parent_sha256, "jpg"), max_width=size_px)
    )
    outputs = [read_rgb(store, row["output_sha256"], row["output_ext"]) for row in rows]
    samples = [gates.Sample(a, b, r.source, r.target, []) for a, b, r in zip(parents, outputs, wanted, strict=True)]
    each("gates, encoder included", lambda k: gates.score_batch([samples[k]]))
    images = each("encode PNG", lambda k: encode_png(outputs[k]))
    marked = each("mark", lambda k: mark_png(images[k], wanted[k]))
    each("hash", lambda k: sha256_hex(marked[k]))
    each("store, synced", lambda k: store.put(f"scratch/{k}", marked[k]))
    for row in rows:
        store.delete(manifest_key(row["output_sha256"]))
    each("seal (C2PA), record, store", lambda k: put_papers(store, marked[k], wanted[k], drawn_at={"scale": 1.0}))
    return found


def counts(given: argparse.Namespace) -> dict[str, int]:
    """How many images each run draws; a run of none is left out."""
    wanted = {"gated": given.images, "ungated": given.ungated, "shared": given.images if given.gpus > 1 else 0}
    return {name: count for name, count in wanted.items() if count}


def measured(given: argparse.Namespace, work: Path) -> Report:
    """Every figure, in the order of the docstring."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size_px, store, folder = (64 if given.tiny else 512), open_store(work / "root"), work / "pipeline"
    found: Report = {"device": torch.cuda.get_device_name() if device == "cuda" else "CPU", "torch": torch.__version__, **vars(given)}
    if device == "cuda":
        found["matmul_tflops"] = matmul_tflops(given.dtype)
        say("matmul TFLOP/s", found["matmul_tflops"])
    found["unet_parameters"] = save_pipeline(folder, device=device, dtype=given.dtype, tiny=given.tiny)
    shas = put_frames(store, given.images, size_px=2 * size_px)
    say("pipeline and frames are there; UNet parameters", found["unet_parameters"])
    options = {"batch": given.batch, "dtype": given.dtype, "size_px": size_px}
    generator = made(folder, **options, compiled=given.compiled)
    batch = partial(put_batch, store, size_px=2 * size_px, info=generator.info)
    plans = {name: batch(f"b-{name}", shas[:count]) for name, count in counts(given).items()}
    plain = partial(plain_loop, folder, store, plans["gated"], work / "plain", device=device, dtype=given.dtype, size_px=size_px)
    found["plain"] = plain(count=given.plain)
    say("plain", found["plain"])
    began = time.perf_counter()
    warm(generator, size_px=size_px)
    found["compile_s"] = time.perf_counter() - began
    say("compiled and warm after", found["compile_s"])
    found["device_ms_an_image"] = device_stages(generator, size_px=size_px)
    say("device", found["device_ms_an_image"])
    found["gated"] = ours(store, plans["gated"], generator, gated=True)
    say("gated", found["gated"])
    found["drawn_again"] = run_plan(store, plans["gated"], generator).done
    found["unlike_plain"] = unlike(store, plans["gated"], work / "plain", count=given.plain)
    found["host_ms_an_image"] = host_stages(store, plans["gated"], size_px=size_px)
    forget(store, plans["gated"])
    if "ungated" in plans:
        found["ungated"] = ours(store, plans["ungated"], generator, gated=False)
        say("ungated", found["ungated"])
        forget(store, plans["ungated"])
    if device == "cuda":
        found["peak_gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    found["peak_rss_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    del generator
    if device == "cuda":
        torch.cuda.empty_cache()
    if "shared" in plans:
        wait_for(given.wait_for)
        found["shared"] = several(
            str(work / "root"), plans["shared"], partial(warmed, folder, **options, compiled=given.compiled), gpus=given.gpus
        )
        say("processes", found["shared"])
    return found


def table(found: Report) -> None:
    """The report as a person reads it."""
    gated, plain = found["gated"]["images_per_s"], found["plain"]["images_per_s"]
    millions = found["unet_parameters"] / 1e6
    print(f"\n{found['device']}, torch {found['torch']}, {found['dtype']}, batch {found['batch']}, UNet {millions:.1f} M parameters")
    names = {"plain": "plain diffusers loop", "gated": "ours, with gates", "ungated": "ours, without gates", "shared": "ours, all GPUs"}
    rows = [(title, found[name]["images_per_s"]) for name, title in names.items() if isinstance(found.get(name), dict)]
    ceiling = found.get("matmul_tflops")
    for name, rate in rows:
        share = f"{rate * TFLOP_AN_IMAGE / ceiling:6.0%} of {ceiling:.0f} TFLOP/s" if ceiling else ""
        print(f"{name:24} {rate:7.2f} images/s {rate / plain:6.2f} x plain {rate / gated:6.2f} x one {share}")
    if "shared" in found:
        print(f"same bytes from {found['gpus']} processes as from one: {found['shared']['digest'] == found['gated']['digest']}")
    print("\nwhere the time goes, ms an image:")
    for title in ("device_ms_an_image", "host_ms_an_image"):
        for name, value in found[title].items():
            print(f"  {title.split('_')[0]:7} {name:32} {value:8.2f}")
    stages = found["gated"]["stage_seconds"]
    print("  seconds of each stage (they overlap):", ", ".join(f"{name} {value:.1f}" for name, value in stages.items()))
    alone = found["gated"]["seconds"] - stages["draw: begin"] - stages["draw: wait"]
    print(f"  seconds of the {found['gated']['seconds']:.1f} in which nothing was drawn (first read, last recording): {alone:.1f}")
    print(f"peak GPU memory {found.get('peak_gpu_gib', 0):.1f} GiB, peak RSS {found['peak_rss_gib']:.1f} GiB")
    print(f"drawn again by a second run: {found['drawn_again']}; unlike the plain loop: {found['unlike_plain']}")


def main() -> None:
    """Measures and prints; with --out also writes everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--ungated", type=int, default=256, help="images drawn without gates (0: none)")
    parser.add_argument("--plain", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--compiled", choices=["no", "fast", "tuned"], default="fast")
    parser.add_argument("--tiny", action="store_true", help="a tiny pipeline at 64x64, to try the benchmark itself")
    parser.add_argument("--wait-for", help="a file that must be there before all GPUs are used")
    parser.add_argument("--out", help="write the figures here as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measured(given, Path(work))
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1))
    table(found)


if __name__ == "__main__":
    main()
