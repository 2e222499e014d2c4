"""Plans drawn by several processes, one a GPU, each its share of the chunks: the same parts as one process would write."""

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.queues import SimpleQueue

from flywheel.errors import FlywheelError, require
from flywheel.generate.plan import Plan
from flywheel.generate.protocol import Generator
from flywheel.generate.run import GenerateReport, run_plan
from flywheel.store import open_store

Answer = tuple[GenerateReport, ...] | str
VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(count: int) -> list[str]:
    """Names of the first `count` GPUs this process may use; FlywheelError where there are not so many."""
    there = require("torch", extra="generate").cuda.device_count()
    if not 0 < count <= there:
        raise FlywheelError(f"{count} GPUs were asked for, {there} can be used here: ask for 1 to {there}, or leave it out to draw without")
    allowed = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return (allowed or [str(number) for number in range(there)])[:count]


def run_processes(
    root: str, plans: Sequence[Plan], make: Callable[[], Generator], *, devices: Sequence[str], chunk: int | None = None
) -> list[GenerateReport]:  # fmt: skip
    """Draws what is missing with one fresh process for each device, which sees that device alone; one report a plan.

    `make` builds the generator inside each process, once for all plans, so it must pickle. `seconds` is that of the slowest, its
    loading left out. FlywheelError naming what failed where, after the other processes have done their share.
    """
    fresh = multiprocessing.get_context("spawn")
    answers: SimpleQueue[Answer] = fresh.SimpleQueue()
    processes = [
        fresh.Process(target=_share, args=(root, plans, make, device, (k, len(devices)), chunk, answers))
        for k, device in enumerate(devices)
    ]
    for process in processes:
        process.start()
    found = _answers(processes, answers)
    failures = [answer for answer in found if isinstance(answer, str)]
    if failures:
        raise FlywheelError("; ".join(failures))
    return [joined(shares) for shares in zip(*(answer for answer in found if not isinstance(answer, str)), strict=True)]


def _answers(processes: Sequence[multiprocessing.process.BaseProcess], answers: "SimpleQueue[Answer]") -> list[Answer]:
    """One answer a process, or what became of it."""
    found: list[Answer] = []
    while any(process.is_alive() for process in processes) or not answers.empty():
        if answers.empty():
            time.sleep(0.05)
        else:
            found.append(answers.get())
    lost = [f"a process ended with exit code {process.exitcode}" for process in processes if process.exitcode]
    return [*found, *lost]


def _share(
    root: str, plans: Sequence[Plan], make: Callable[[], Generator], device: str, share: tuple[int, int], chunk: int | None,
    answers: "SimpleQueue[Answer]",
) -> None:  # fmt: skip
    """One process's chunks of each plan; the first chunk goes to another process with each plan, so that short ones are spread."""
    os.environ[VISIBLE] = device
    store, (number, count) = open_store(root), share
    try:
        generator = make()
        shares = [((number + k) % count, count) for k in range(len(plans))]
        answers.put(tuple(run_plan(store, plan, generator, chunk=chunk, share=mine) for plan, mine in zip(plans, shares, strict=True)))
    except Exception as err:  # noqa: BLE001 (it is raised again in the process that asked)
        answers.put(f"on device {device!r}: {type(err).__name__}: {err}")


def joined(reports: Sequence[GenerateReport]) -> GenerateReport:
    """One report of several shares of a plan: counts and stage seconds add up, the slowest share's seconds count."""
    stages: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for report in reports:
        stages.update(report.stage_seconds)
        reasons.update(report.reasons)
    counts = {name: sum(getattr(report, name) for report in reports) for name in ("planned", "done", "failed", "skipped")}
    return GenerateReport(
        batch_id=reports[0].batch_id, reasons=dict(sorted(reasons.items())), notes=reports[0].notes,
        seconds=max(report.seconds for report in reports),
        stage_seconds={name: round(value, 3) for name, value in sorted(stages.items())}, **counts,
    )  # fmt: skip
