"""Frozen records and the identity rule: an id is the SHA-256 of canonical JSON."""

import hashlib
import json
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

Lighting = Literal["day", "dusk", "night", "low_sun"]
Weather = Literal["clear", "fog", "rain", "snow"]
Level = Literal["L1", "L2", "L3"]
Split = Literal["train", "val", "test"]
ScenarioName = str

LIGHTINGS: tuple[Lighting, ...] = get_args(Lighting)
WEATHERS: tuple[Weather, ...] = get_args(Weather)


class Frozen(BaseModel):
    """A frozen pydantic record: unknown fields and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Record(Frozen):
    """A frozen record that can give its own digest. (A record that *holds* a digest is a plain Frozen.)"""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the record's canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


class Condition(Record):
    """What the scene looks like: ISO 34503 illumination and weather, reduced to what a camera shows."""

    lighting: Lighting = "day"
    weather: Weather = "clear"

    @property
    def name(self) -> str:
        """Short name, for example `night_rain`; `day_clear` is the plain case."""
        return f"{self.lighting}_{self.weather}"

    @classmethod
    def parse(cls, name: str) -> "Condition":
        """The condition of a `lighting_weather` name; ValueError for any other text."""
        lighting, _, weather = name.rpartition("_")
        return cls(lighting=lighting, weather=weather)


# A low sun needs a clear sky, so those three combinations do not exist.
CONDITIONS: tuple[Condition, ...] = tuple(
    Condition(lighting=lighting, weather=weather)
    for lighting in LIGHTINGS
    for weather in WEATHERS
    if not (lighting == "low_sun" and weather != "clear")
)


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys, no spaces and no NaN: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_hex(data: bytes) -> str:
    """SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def short_id(prefix: str, value: Any) -> str:
    """A readable content id: prefix and the first 16 hex digits of the value's digest."""
    return f"{prefix}-{digest_of(value)[:16]}"
