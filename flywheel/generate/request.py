"""One asked-for variation and its identity: equal requests have equal ids, on every machine and at every run."""

from collections.abc import Sequence
from typing import Any

from flywheel.generate.inserts import PlannedObject
from flywheel.generate.protocol import GeneratorInfo
from flywheel.types import Condition, Record, canonical_json, digest_of

SEED_BITS = 31


class ClipFrame(Record):
    """One frame of a clip."""

    t_ns: int
    parent_sha256: str


class VariationRequest(Record):
    """Everything needed to draw one variation again: which frame, what it shall show, who draws it and how.

    `variation_id` is the digest of the parent's hash, target, generator (name, revision, weights, parameters),
    prompts and seed, and of the inserted object and the clip's frames where there are such; `parameters` is canonical JSON.
    A clip's frames are in order of time; the request's own `t_ns` and parent are those of its key frame.
    """

    variation_id: str
    event_id: str
    scenario: str
    level: str
    drive_id: str
    root_group: str
    t_ns: int
    camera: str
    parent_sha256: str
    parent_ext: str
    source_condition: str
    target_condition: str
    generator: str
    model_revision: str
    weights_sha256: str
    parameters: str
    prompt: str
    negative_prompt: str
    seed: int
    licence: str
    digital_source_type: str
    insert: PlannedObject | None = None
    clip: tuple[ClipFrame, ...] = ()
    key: int = 0  # which of the clip's frames is its key frame
    attempt: int = 0  # 0 as planned; more where a gate turned away what `retry_of` gave
    retry_of: str | None = None

    @property
    def target(self) -> Condition:
        """The condition the output shall show."""
        return Condition.parse(self.target_condition)

    @property
    def source(self) -> Condition:
        """The condition the parent frame shows."""
        return Condition.parse(self.source_condition)

    def identity(self) -> dict[str, Any]:
        """The content that the id is the digest of."""
        return _identity(self.model_dump(mode="json"))


IDENTITY = (
    "parent_sha256", "target_condition", "generator", "model_revision", "weights_sha256", "parameters", "prompt", "negative_prompt", "seed",
)  # fmt: skip


def _identity(content: dict[str, Any]) -> dict[str, Any]:
    more = {name: content[name] for name in ("insert", "clip") if content.get(name)}
    return {name: content[name] for name in IDENTITY} | more


def request_for(
    frame: dict[str, Any], *, target: Condition, generator: GeneratorInfo, prompt: str, negative_prompt: str, salt: int = 0,
    insert: PlannedObject | None = None, clip: Sequence[ClipFrame] = (),
) -> VariationRequest:  # fmt: skip
    """The request to redraw one key frame under `target`, or to insert an object into it, or to redraw a clip around it.

    `frame` holds event_id, scenario, level, drive_id, root_group, t_ns, camera, parent_sha256, parent_ext, source_condition.
    The seed follows from the parent, the target and `salt`, never from a clock.
    """
    seed = int(digest_of([frame["parent_sha256"], target.name, salt])[:16], 16) >> (64 - SEED_BITS)
    content = {
        **frame,
        "target_condition": target.name,
        "generator": generator.name,
        "model_revision": generator.model_revision,
        "weights_sha256": generator.weights_sha256,
        "parameters": canonical_json(generator.parameters).decode(),
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "seed": seed,
        "licence": generator.licence,
        "digital_source_type": generator.digital_source_type,
        "insert": insert.model_dump(mode="json") if insert else None,
        "clip": [part.model_dump(mode="json") for part in clip],
        "key": next((at for at, part in enumerate(clip) if part.t_ns == frame["t_ns"]), 0),
    }
    return VariationRequest(variation_id=f"var-{digest_of(_identity(content))}", **content)


def retried(request: VariationRequest, *, attempt: int, retry_of: str) -> VariationRequest:
    """The request to try a planned one again, with another seed; its id follows from the planned one's and the number of the try."""
    name = digest_of([request.variation_id, "retry", attempt])
    changes = {"variation_id": f"var-{name}", "seed": int(name[:16], 16) >> (64 - SEED_BITS), "attempt": attempt, "retry_of": retry_of}
    return request.model_copy(update=changes)


def same_generator(request: VariationRequest, info: GeneratorInfo) -> bool:
    """Whether this generator, with these weights and parameters, is the one the request was made for."""
    wanted = (request.generator, request.model_revision, request.weights_sha256, request.parameters)
    return wanted == (info.name, info.model_revision, info.weights_sha256, canonical_json(info.parameters).decode())
