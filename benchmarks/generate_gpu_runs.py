"""The runs that the GPU benchmark compares: the plain diffusers loop, `run_plan` in this process, and one process a GPU."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generate_gpu_parts import frame
from flywheel.generate import gates, record
from flywheel.generate.images import read_rgb
from flywheel.generate.plan import Plan
from flywheel.generate.processes import run_processes, visible_gpus
from flywheel.generate.protocol import GenerateInput
from flywheel.generate.provenance import manifest_key, provenance_key, read_marking
from flywheel.generate.run import GenerateReport, run_plan
from flywheel.store import Store, media_key, open_store
from flywheel.tables import read_table
from flywheel.types import CONDITIONS, sha256_hex
from generators.diffusion import DiffusersGenerator
from generators.resident import Compiled

SETTINGS: dict[str, Any] = {"strength": 0.6, "num_inference_steps": 20, "guidance_scale": 7.5}
Report = dict[str, Any]


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
    """Our generator in a process of its own, warmed up; then it waits for the other processes."""
    generator = warm(made(folder, **options), size_px=options["size_px"])
    if barrier is not None:
        barrier.wait()
    return generator


def warm(generator: DiffusersGenerator, *, size_px: int) -> DiffusersGenerator:
    """The generator, compiled and warmed up on one batch, as are the gates."""
    picture = frame(0, size_px)
    one = GenerateInput(rgb=picture, source=CONDITIONS[0], target=CONDITIONS[1], prompt="a street", negative_prompt="blurry", seed=1)
    for _ in range(2):
        generator.generate([one])
    gates.score_batch([gates.Sample(picture, picture, CONDITIONS[0], CONDITIONS[1], [])])
    return generator


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


def wait_for(file: str | None) -> None:
    """Returns once that file is there: something else on the other GPUs is done."""
    while file is not None and not Path(file).exists():
        time.sleep(0.5)


def several(root: str, plan: Plan, make: Callable[..., Any], *, gpus: int) -> Report:
    """The plan drawn by one process a GPU; they start together once all are loaded and warm."""
    import multiprocessing

    barrier = multiprocessing.get_context("spawn").Barrier(gpus)
    [report] = run_processes(root, [plan], partial(make, barrier=barrier), devices=visible_gpus(gpus))
    return summary(open_store(root), plan, report)


def forget(store: Store, plan: Plan) -> None:
    """Removes what a run stored, so that the next run over the same frames has all of it to do."""
    for row in read_table(store, "VARIATIONS", batch_id=plan.batch_id).to_pylist():
        for key in (
            media_key(row["output_sha256"], row["output_ext"]),
            manifest_key(row["output_sha256"]),
            provenance_key(row["output_sha256"]),
        ):
            store.delete(key)
