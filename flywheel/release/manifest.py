"""The release record a vehicle reads before it takes a model. Needs nothing but the core."""

from typing import Any

from pydantic import Field

from flywheel.types import Record

MODEL_FILE, RELEASE_FILE, ROLLOUT_FILE = "model.safetensors", "release.json", "rollout.json"


class ReleaseManifest(Record):
    """What a release is: a counter that only grows, a model tied to its data and evaluation, and the hardware it is for."""

    release_version: int
    group: str
    hardware_ids: tuple[str, ...]
    name: str
    model_id: str
    weights_sha256: str
    dataset: str
    dataset_digest: str
    threshold: float
    config: dict[str, Any]
    code_version: str
    evaluation_status: str = "not_evaluable"
    evaluation: dict[str, float | None] = Field(default_factory=dict)
    waiver: str = ""
