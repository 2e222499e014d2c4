"""Scene dumps (a drive's world and some of its instants, as gzipped JSON) and their renders under all conditions."""

import gzip
import math
import random
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.fleet.scene import Camera, Instant, World
from flywheel.types import CONDITIONS, Record, short_id

Renders = NDArray[np.uint8]  # (13, H, W, 3), in the order of CONDITIONS
Particles = NDArray[np.uint8]  # (2, H, W): opacity of the rain's streaks and of the snow's flakes, 255 is 1
View = tuple[Renders, Particles]
Made = TypeVar("Made")


class SceneDump(Record):
    """One drive: its still world and a choice of its instants."""

    drive: str
    world: World
    instants: tuple[Instant, ...]


class RenderJob(Record):
    """One view to draw under all conditions; `jitter` 0 is the recorded view, others move the camera a little."""

    file: str
    instant: int
    jitter: int = 0


def write_dump(dump: SceneDump, folder: Path) -> Path:
    """Writes `<drive>.json.gz` (equal dumps give equal bytes) and gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{dump.drive}.json.gz"
    file.write_bytes(gzip.compress(dump.model_dump_json(exclude_defaults=True).encode(), 9, mtime=0))
    return file


@lru_cache(maxsize=256)
def read_dump(file: str) -> SceneDump:
    """The dump in a file."""
    return SceneDump.model_validate_json(gzip.decompress(Path(file).read_bytes()))


def dump_files(folder: Path, *, held_out: int) -> tuple[list[str], list[str]]:
    """(training files, held-out files): the last `held_out` drives by name are kept for evaluation."""
    files = [str(file) for file in sorted(folder.glob("*.json.gz"))]
    if len(files) <= held_out:
        raise BadData(
            f"{folder} holds {len(files)} *.json.gz scene dumps; more than {held_out} are needed (python -m generators.dump_scenes)"
        )
    return files[: len(files) - held_out], files[len(files) - held_out :]


def jobs_of(files: Iterable[str], *, views: int) -> list[RenderJob]:
    """All instants of the files, `views` views each, the recorded view first."""
    counted = [(file, len(read_dump(file).instants)) for file in files]
    return [
        RenderJob(file=file, instant=number, jitter=jitter) for jitter in range(views) for file, count in counted for number in range(count)
    ]


def training_jobs(files: Iterable[str], *, views: int, seed: int) -> list[RenderJob]:
    """The jobs of the training files in a seeded order (any beginning of it is a fair sample)."""
    jobs = jobs_of(files, views=views)
    random.Random(seed).shuffle(jobs)
    return jobs


def moved(instant: Instant, *, jitter: int) -> tuple[Instant, Camera]:
    """The instant and camera of a job: jitter 0 leaves both alone, others shift the ego sideways, turn it and change the lens."""
    if jitter == 0:
        return instant, Camera()
    draw = random.Random(short_id("view", [instant.t_ns, jitter]))
    side, turn, focal = draw.uniform(-1.0, 1.0), draw.gauss(0, 0.12), draw.uniform(200.0, 380.0)
    heading = instant.ego_heading_rad
    pose = {
        "ego_x_m": instant.ego_x_m - side * math.sin(heading),
        "ego_y_m": instant.ego_y_m + side * math.cos(heading),
        "ego_heading_rad": heading + turn,
    }
    camera = Camera(fx_px=focal, fy_px=focal, z_m=draw.uniform(1.2, 2.0), pitch_rad=draw.gauss(0.03, 0.03))
    return instant.model_copy(update=pose), camera


def render_job(job: RenderJob) -> Renders:
    """The view under all conditions."""
    return render_view(job)[0]


def render_view(job: RenderJob) -> View:
    """The view under all conditions, and the particles that fall in it when it rains and when it snows."""
    from flywheel.fleet import lighting, surface, weather

    dump = read_dump(job.file)
    instant, camera = moved(dump.instants[job.instant], jitter=job.jitter)
    seed = int(short_id("render", [dump.drive, job.instant, job.jitter]).rpartition("-")[2][:7], 16)
    base = surface.base_pass(dump.world, instant, camera, seed)
    albedo, sky_share = lighting.albedo(base)
    pictures = [weather.develop(base, condition, albedo, sky_share) for condition in CONDITIONS]
    falls = (weather.streaks(base.view.shape, weather.dice(base, 91)), weather.flakes(base.view.shape, weather.dice(base, 92)))
    return np.stack(pictures), np.stack([np.rint(np.clip(fall, 0, 1) * 255).astype(np.uint8) for fall in falls])


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def render_all(jobs: Iterable[RenderJob], *, workers: int, make: Callable[[RenderJob], Made]) -> Generator[Made]:
    """What is made of the jobs, in order, by `workers` processes a little ahead of the reader (or in this one if 0)."""
    if workers == 0:
        yield from (make(job) for job in jobs)
        return
    # Spawned: the parent has threads and, on a GPU machine, a CUDA context, which a fork would not survive.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
    try:
        ahead: list[Any] = []
        for job in jobs:
            ahead.append(pool.submit(make, job))
            if len(ahead) >= 4 * workers:
                yield ahead.pop(0).result()
        yield from (future.result() for future in ahead)
    finally:
        pool.shutdown(cancel_futures=True)
