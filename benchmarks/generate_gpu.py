"""Images a second on a GPU, from stored frame to stored, hashed, marked image: the plain diffusers loop and `run_plan`, in one run.

    python -m benchmarks.generate_gpu [--images 768] [--plain 24] [--batch 64] [--gpus 1] [--dtype float16] [--out report.json]

A Stable-Diffusion-1.5-sized pipeline on random weights (UNet 859.5 million parameters) redraws 1024x1024 JPEG frames at 512x512: 20
steps at strength 0.6 (12 denoising steps), guidance 7.5, DDIM, one precision for both. The plain loop is what a script does: open and
resize a frame, call the pipeline, save a PNG. Ours reads, draws, scores, marks, hashes and stores, once with the gates and once
without. With `--gpus N` the plan is then drawn by N processes. Compiling (minutes, once) and loading are printed, not in the rates.
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
from flywheel.generate import gates, record
from flywheel.generate.images import downsized, encode_png, read_rgb
from flywheel.generate.plan import Plan
from flywheel.generate.processes import run_processes
from flywheel.generate.protocol import GenerateInput
from flywheel.generate.provenance import mark_png, read_marking
from flywheel.generate.run import GenerateReport, run_plan
from flywheel.store import Store, media_key, open_store
from flywheel.tables import read_table
from flywheel.types import CONDITIONS, sha256_hex
from generators.diffusion import DiffusersGenerator
from generators.resident import Compiled

SETTINGS: dict[str, Any] = {"strength": 0.6, "num_inference_steps": 20, "guidance_scale": 7.5}
TFLOP_AN_IMAGE = 22.9  # counted for this work: 12 steps of two UNet passes, VAE encode and decode
Report = dict[str, Any]
started = time.perf_counter()


def say(*words: Any) -> None:
    """Prints at once, with the seconds since the start."""
    print(f"[{time.perf_counter() - started:6.1f}]", *words, flush=True)


def synchronized() -> float:
    """The time once the device has done everything asked for."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(work: Callable[[], Any], *, times: int = 1) -> float:
    """Median seconds of the work, the device's included."""
    found = []
    for _ in range(times):
        began = synchronized()
        work()
        found.append(synchronized() - began)
    return float(np.median(found))


def matmul_tflops(dtype: str, *, side: int = 8192) -> float:
    """Measured rate of a square matrix product on random data."""
    import torch

    one, two = (torch.randn(side, side, device="cuda", dtype=getattr(torch, dtype)) for _ in range(2))
    once = partial(torch.matmul, one, two)
    seconds_of(lambda: [once() for _ in range(300)])
    return 2 * side**3 / (seconds_of(lambda: [once() for _ in range(20)], times=5) / 20) / 1e12


def plain_loop(folder: Path, store: Store, plan: Plan, out: Path, *, device: str, dtype: str, count: int, size_px: int) -> Report:
    """The loop a script would write, over the same frames, prompts and seeds."""
    import diffusers
    import torch
    from PIL import Image

    pipe = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(str(folder), dtype=getattr(torch, dtype), local_files_only=True).to(
        device
    )
    pipe.set_progress_bar_config(disable=True)
    out.mkdir()
    inside = 0.0

    def draw(k: int) -> None:
        nonlocal inside
        request = plan.requests[k]
        with store.path(media_key(request.parent_sha256, request.parent_ext)) as file:
            picture = Image.open(file).convert("RGB").resize((size_px, size_px))
        began = time.perf_counter()
        drawn = pipe(
            prompt=request.prompt, negative_prompt=request.negative_prompt, image=picture,
            generator=torch.Generator("cpu").manual_seed(request.seed), **SETTINGS,
        ).images[0]  # fmt: skip
        inside += time.perf_counter() - began
        drawn.save(out / f"{k}.png")

    for k in range(2):
        draw(k)
    inside = 0.0
    wall = seconds_of(lambda: [draw(k) for k in range(count)])
    return {"images": count, "seconds": wall, "images_per_s": count / wall, "in_pipeline_s_an_image": inside / count}


def made(folder: Path, *, batch: int, dtype: str, size_px: int, compiled: Compiled) -> DiffusersGenerator:
    """Our generator over the same folder."""
    return DiffusersGenerator(
        folder, dtype=dtype, batch=batch, resident=True, compiled=compiled, width_px=size_px, licence="Apache-2.0", **SETTINGS
    )


def warmed(folder: Path, barrier: Any = None, **options: Any) -> DiffusersGenerator:
    """Our generator, compiled and warmed up on one batch; then it waits for the other processes, if there are any."""
    generator = made(folder, **options)
    picture = frame(0, options["size_px"])
    one = GenerateInput(rgb=picture, source=CONDITIONS[0], target=CONDITIONS[1], prompt="a street", negative_prompt="blurry", seed=1)
    for _ in range(2):
        generator.generate([one])
    gates.score_batch([gates.Sample(picture, picture, CONDITIONS[0], CONDITIONS[1], [])])
    if barrier is not None:
        barrier.wait()
    return generator


def device_stages(generator: DiffusersGenerator, *, size_px: int) -> dict[str, float]:
    """Milliseconds an image of each part of the drawing, one full batch, each waited for."""
    import torch

    engine = generator._engine
    assert engine is not None
    with torch.inference_mode():
        pixels = engine._upload(np.stack([frame(k, size_px) for k in range(engine.batch)]))
        noise = engine._noise(range(engine.batch), pixels.shape)
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
    return found


def ours(store: Store, plan: Plan, generator: DiffusersGenerator, *, gated: bool) -> Report:
    """`run_plan` over a fresh plan; without gates every score is left empty."""
    judge = record.score_batch
    if not gated:
        record.score_batch = lambda samples, **_: [gates.Scores(integrity=None, structure=None, condition=None, change=None)] * len(samples)
    try:
        report = run_plan(store, plan, generator)
    finally:
        record.score_batch = judge
    return summary(store, plan, report)


def summary(store: Store, plan: Plan, report: GenerateReport) -> Report:
    """The run's figures, after a look at what it left: every row done, hashes and markings right."""
    rows = read_table(store, "VARIATIONS", batch_id=plan.batch_id).to_pylist()
    if report.done != len(plan.requests) or len(rows) != report.done:
        raise SystemExit(f"{report.done} of {len(plan.requests)} were drawn, {len(rows)} rows: {report.reasons}")
    for row in rows[:: max(len(rows) // 32, 1)]:
        data = store.get(media_key(row["output_sha256"], row["output_ext"]))
        if sha256_hex(data) != row["output_sha256"] or read_marking(data)["variation_id"] != row["variation_id"]:
            raise SystemExit(f"{row['variation_id']} is not what its row says")
    return {
        "images": report.done, "seconds": report.seconds, "images_per_s": report.done / report.seconds,
        "stage_seconds": report.stage_seconds, "digest": sha256_hex("".join(sorted(row["output_sha256"] for row in rows)).encode()),
    }  # fmt: skip


def unlike(store: Store, plan: Plan, plain: Path, *, count: int) -> dict[str, float]:
    """How far our pictures are from the plain loop's, in levels of 255."""
    import cv2

    outputs = {row["variation_id"]: row for row in read_table(store, "VARIATIONS", batch_id=plan.batch_id).to_pylist()}
    mean = []
    for k in range(count):
        row = outputs[plan.requests[k].variation_id]
        theirs = cv2.cvtColor(cv2.imread(str(plain / f"{k}.png")), cv2.COLOR_BGR2RGB)
        mean.append(np.abs(read_rgb(store, row["output_sha256"], row["output_ext"]).astype(int) - theirs).mean())
    return {"mean_levels": float(np.mean(mean)), "worst_image_mean_levels": float(np.max(mean))}


def several(root: str, plan: Plan, make: Callable[..., Any], *, gpus: int) -> Report:
    """The plan drawn by one process a GPU; they start together once all are loaded and warm."""
    import multiprocessing

    barrier = multiprocessing.get_context("spawn").Barrier(gpus)
    report = run_processes(root, plan, partial(make, barrier=barrier), devices=[str(k) for k in range(gpus)])
    return summary(open_store(root), plan, report)


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
    if given.eager:
        eager = made(folder, **options, compiled="no")
        eager.generate([])
        found["eager_ms_an_image"] = device_stages(eager, size_px=size_px)
        say("not compiled", found["eager_ms_an_image"])
        del eager
    info = made(folder, **options, compiled="no").info
    batch = partial(put_batch, store, shas=shas, size_px=2 * size_px, info=info)
    plans = {name: batch(batch_id=f"b-{name}") for name in ("gated", "ungated", "shared")}
    plain = partial(plain_loop, folder, store, plans["gated"], work / "plain", device=device, dtype=given.dtype, size_px=size_px)
    found["plain"] = plain(count=given.plain)
    say("plain", found["plain"])
    began = time.perf_counter()
    generator = warmed(folder, **options, compiled=given.compiled)
    found["load_and_compile_s"] = time.perf_counter() - began
    say("loaded, compiled, warm after", found["load_and_compile_s"])
    found["device_ms_an_image"] = device_stages(generator, size_px=size_px)
    say("device", found["device_ms_an_image"])
    for name in ("gated", "ungated"):
        found[name] = ours(store, plans[name], generator, gated=name == "gated")
        say(name, found[name])
    found["host_ms_an_image"] = host_stages(store, plans["gated"], size_px=size_px)
    again = run_plan(store, plans["gated"], generator)
    found["drawn_again"] = again.done
    found["unlike_plain"] = unlike(store, plans["gated"], work / "plain", count=given.plain)
    if device == "cuda":
        found["peak_gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    found["peak_rss_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    del generator
    if device == "cuda":
        torch.cuda.empty_cache()
    if given.gpus > 1:
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
    rows = [("plain diffusers loop", plain), ("ours, with gates", gated), ("ours, without gates", found["ungated"]["images_per_s"])]
    if "shared" in found:
        rows.append((f"ours, {found['gpus']} GPUs", found["shared"]["images_per_s"]))
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
    print(f"peak GPU memory {found.get('peak_gpu_gib', 0):.1f} GiB, peak RSS {found['peak_rss_gib']:.1f} GiB")
    if "eager_ms_an_image" in found:
        print("not compiled, ms an image:", found["eager_ms_an_image"])
    print(f"drawn again by a second run: {found['drawn_again']}; unlike the plain loop: {found['unlike_plain']}")


def main() -> None:
    """Measures and prints; with --out also writes everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=768)
    parser.add_argument("--plain", type=int, default=24)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--compiled", choices=["no", "fast", "tuned"], default="fast")
    parser.add_argument("--tiny", action="store_true", help="a tiny pipeline at 64x64, to try the benchmark itself")
    parser.add_argument("--eager", action="store_true", help="also time the device's stages without the compiler")
    parser.add_argument("--out", help="write the figures here as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measured(given, Path(work))
    table(found)
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
