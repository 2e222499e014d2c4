"""The trainers behind `flywheel generate train`: the bundled model, and adapters for large diffusers pipelines."""

from pathlib import Path
from typing import Any

from flywheel.errors import BadData, require
from flywheel.generate.training import TrainOrder, TrainReport, resolved, write_note
from flywheel.types import digest_of
from generators.training.card import save_checkpoint, write_user_card
from generators.training.lessons import Lesson, digest_of_lessons, lessons_of, split
from generators.training.rounds import learn
from generators.weights_hash import weights_sha256

SCRATCH = "scratch"


def device_of(order: TrainOrder) -> str:
    """The order's device, else the GPU where there is one."""
    return order.device or ("cuda" if require("torch", extra="generate").cuda.is_available() else "cpu")


def weights_folder(order: TrainOrder) -> Path:
    """Where the weights go: a folder in `out` of its own name, because a generator's revision is its folder's name."""
    return order.out / order.out.resolve().name


def identity_of(order: TrainOrder, lessons: list[Lesson], *, base: str, method: str) -> str:
    """What a state must have been made from to be continued: settings, pairs and the weights it started from."""
    said = order.model_dump(mode="json", exclude={"out", "pairs", "root", "keep_every", "device", "base"})
    return digest_of([method, said, base, digest_of_lessons(lessons)])


def bundled(order: TrainOrder) -> TrainReport:
    """Trains or fine-tunes the bundled model on the order's pairs; `out` then holds weights, model card, note and state."""
    from generators import bundled as drawing
    from generators.training.pair_bank import SIZE, BundledLearner, likeness, settings_of

    lessons, held = split(lessons_of(order, **SIZE))
    base = drawing.WEIGHTS if not order.base else Path(resolved(order.base, {})[1].get("weights", order.base))
    init = "" if order.base == SCRATCH else str(base)
    if init and not (base / "unet").is_dir():
        raise BadData(f"{base} holds no bundled weights to start from; take a folder that has a unet/, or --base {SCRATCH}")
    settings = settings_of(init=init, steps=order.steps, batch=order.batch, learning_rate=order.learning_rate, seed=order.seed)
    learner = BundledLearner(settings, lessons, device=device_of(order))
    identity = identity_of(order, lessons, base=weights_sha256(base) if init else SCRATCH, method="bundled")
    learnt = learn(learner, steps=order.steps, out=order.out, seed=order.seed, identity=identity, keep_every=order.keep_every)
    weights = weights_folder(order)
    save_checkpoint(learner.trainer.mean, weights)
    write_note(order.out, generator="bundled", folders={"weights": weights.name})
    report = TrainReport(
        method="bundled", out=order.out, generator="bundled", weights_sha256=weights_sha256(weights), pairs=len(lessons),
        held_out=len(held), steps=order.steps, resumed_at=learnt.resumed_at, loss_first=learnt.first, loss_last=learnt.last,
    )  # fmt: skip
    if held:
        source, after = likeness(weights, held, device=device_of(order))
        before = likeness(base, held, device=device_of(order))[1] if init else None
        report = report.model_copy(update={"ssim_source": source, "ssim_before": before, "ssim_after": after})
    write_user_card(order.out, order=order, report=report, base=base.name if init else SCRATCH, licence=drawing.LICENCE)
    return report


def lora(order: TrainOrder) -> TrainReport:
    """Learns an adapter for the diffusers pipeline `base` (folder or hub id) on the order's pairs."""
    from generators.loading import Place, Task, licence_of, load_pipeline, resolve
    from generators.training.lora import LoraLearner

    if not order.base:
        raise BadData("an adapter needs a pipeline to adapt: give --base FOLDER or a hub id (a Stable Diffusion or SDXL pipeline)")
    lessons = lessons_of(order, width_px=order.width_px, height_px=order.height_px)
    place = Place(device=order.device)
    folder = resolve(order.base, place)
    pipeline: Any = load_pipeline(folder, place, task=Task("training an adapter", (), "AutoPipelineForImage2Image"))
    learner = LoraLearner(
        pipeline, lessons, rank=order.rank, learning_rate=order.learning_rate, batch=order.batch, seed=order.seed
    )  # fmt: skip
    identity = identity_of(order, lessons, base=weights_sha256(folder), method="lora")
    learnt = learn(learner, steps=order.steps, out=order.out, seed=order.seed, identity=identity, keep_every=order.keep_every)
    weights = weights_folder(order)
    learner.save(weights)
    named = str(folder) if Path(order.base).is_dir() else order.base
    engine = "pix2pix" if "InstructPix2Pix" in type(pipeline).__name__ else "sdxl" if hasattr(pipeline, "text_encoder_2") else "diffusers"
    write_note(order.out, generator=engine, options={"pipeline": named}, folders={"lora": weights.name})
    report = TrainReport(
        method="lora", out=order.out, generator=engine, weights_sha256=weights_sha256(weights), pairs=len(lessons), held_out=0,
        steps=order.steps, resumed_at=learnt.resumed_at, loss_first=learnt.first, loss_last=learnt.last,
    )  # fmt: skip
    write_user_card(order.out, order=order, report=report, base=order.base, licence=licence_of(folder, hub_id=order.base))
    return report
