"""Images a second and peak memory of the bundled generator on this machine's CPU, beside a plain loop over its pipeline.

    python -m benchmarks.generate_cpu [--images 16] [--threads 2] [--json]

Each way runs in its own process (so that its peak memory is its own), after one image to warm up:
  plain loop      the diffusers pipeline called frame by frame, nothing else
  generate, 1     `BundledGenerator.generate` with one item a call
  generate, 8     the same with eight items a call (on a CPU they are drawn one by one, so that bytes never depend on the batch)
  pipeline, 8     the diffusers pipeline called with eight frames at once, for comparison
  run_plan        the whole stage: parents read from a store, drawn, gated, marked, written with provenance
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_scenes import street
from flywheel.generate.protocol import GenerateInput
from flywheel.types import CONDITIONS
from generators.condition_model import label_of

WAYS = ("plain loop", "generate, 1", "generate, 8", "pipeline, 8", "run_plan")


def items_of(count: int) -> list[GenerateInput]:
    """Items over all targets of one rendered street."""
    views = list(street(9000).views.values())
    kinds = len(CONDITIONS)
    pairs = [(k % kinds, (k + 1 + k // kinds) % kinds) for k in range(count)]
    return [GenerateInput(views[a], CONDITIONS[a], CONDITIONS[b], prompt="", negative_prompt="", seed=k) for k, (a, b) in enumerate(pairs)]


def pipeline_loop(items: list[GenerateInput], *, size: int) -> Callable[[list[GenerateInput]], Any]:
    """Draws items with the diffusers pipeline alone, `size` frames a call; loaded and warmed up."""
    from diffusers.utils import logging

    from generators.bundled import WEIGHTS
    from generators.bundled_pipeline import ConditionPipeline

    logging.disable_progress_bar()
    pipeline: Any = ConditionPipeline.from_pretrained(str(WEIGHTS), use_safetensors=True, local_files_only=True)  # type: ignore[no-untyped-call]
    pipeline.set_progress_bar_config(disable=True)

    def draw(part: list[GenerateInput]) -> list[NDArray[np.uint8]]:
        calls = (part[start : start + size] for start in range(0, len(part), size))
        made = (
            pipeline(np.stack([i.rgb for i in call]), [label_of(i.source, i.target) for i in call], [i.seed for i in call])
            for call in calls
        )
        return [image for images in made for image in images]

    draw(items[:1])
    return draw


def generator_loop(items: list[GenerateInput], *, size: int) -> Callable[[list[GenerateInput]], Any]:
    """Draws items with the plug-in, `size` items a call; loaded and warmed up."""
    from generators.bundled import BundledGenerator

    generator = BundledGenerator(device="cpu")
    generator.generate(items[:1])
    return lambda part: [out for start in range(0, len(part), size) for out in generator.generate(part[start : start + size])]


def plan_loop(folder: Path, *, count: int) -> tuple[Callable[[], Any], int]:
    """The stage over a plan of about `count` variations of a small sample fleet, and the exact count."""
    from flywheel.fleet.make import make_fleet
    from flywheel.generate.plan import plan_batch
    from flywheel.generate.run import run_plan
    from flywheel.ingest.land import land
    from flywheel.ingest.run import ingest_batch
    from flywheel.mine.ledger import put_ledger
    from flywheel.mine.run import mine_batch
    from flywheel.store import open_store
    from generators.bundled import BundledGenerator

    make_fleet(folder / "logs", drives=1, seed=77)
    store, generator = open_store(str(folder / "root")), BundledGenerator(device="cpu")
    batch = land(store, folder / "logs")
    ingest_batch(store, batch)
    mine_batch(store, batch)
    put_ledger(store)
    plan = plan_batch(store, batch, generator=generator.info, budget=count)
    generator.generate(items_of(1))
    return lambda: run_plan(store, plan, generator), len(plan.requests)


def timed(way: str, *, count: int, threads: int) -> dict[str, Any]:
    """One way's figures, measured in this process."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    if way == "run_plan":
        with tempfile.TemporaryDirectory() as folder:
            work, drawn = plan_loop(Path(folder), count=count)
            return measured(way, work, drawn)
    items = items_of(count)
    size = 8 if way.endswith("8") else 1
    draw = (generator_loop if way.startswith("generate") else pipeline_loop)(items, size=size)
    return measured(way, lambda: draw(items), count)


def measured(way: str, work: Callable[[], Any], count: int) -> dict[str, Any]:
    """Runs the work once: wall and CPU seconds, images a second, the process's peak memory so far."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"way": way, "images": count, "images_per_s": count / wall_s, "cpu_s_per_image": cpu_s / count, "peak_rss_mib": peak_mib}


def in_own_process(way: str, *, count: int, threads: int) -> dict[str, Any]:
    """One way's figures from a fresh interpreter."""
    words = [sys.executable, "-m", "benchmarks.generate_cpu", "--way", way, "--images", str(count), "--threads", str(threads)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measures every way and prints a table with ratios to the plain loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help="only this one, in this process, as a line of JSON")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(timed(given.way, count=given.images, threads=given.threads)))
        return
    rows = [in_own_process(way, count=given.images, threads=given.threads) for way in WAYS]
    rows = [{**row, "of_plain": row["images_per_s"] / rows[0]["images_per_s"]} for row in rows]
    if given.json:
        print(json.dumps({"threads": given.threads, "rows": rows}, indent=1))
        return
    print(f"{'way':12} {'images':>6} {'images/s':>9} {'of plain':>9} {'CPU s an image':>15} {'peak RSS MiB':>13}")
    for row in rows:
        print(
            f"{row['way']:12} {row['images']:6} {row['images_per_s']:9.2f} {row['of_plain']:9.0%} {row['cpu_s_per_image']:15.2f} "
            f"{row['peak_rss_mib']:13.0f}"
        )


if __name__ == "__main__":
    main()
