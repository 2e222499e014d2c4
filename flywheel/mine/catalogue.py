"""The scenario catalogue as data: what counts, how severe, which signals it needs, and where the numbers come from.

Ours lies in `scenarios/*.toml`, a file a family. A user's own TOML or Python files (`--scenarios`, or FLYWHEEL_SCENARIOS, paths parted
by colons) change entries or add some without touching ours. Every number a detector uses comes from an entry, so its digest names
exactly what was mined.

A TOML table is an entry; a threshold is written as `levels.L2.acceleration = "<= -4.05 m/s2"`. A table of a known name overrides what
it says and keeps the rest. A new one needs everything, and either the name of a detector (`detector = "hard_braking"`) or a composite
query (`where`, see `query`). A Python file defines SCENARIOS (a list of Scenario) and, if it brings code, DETECTORS (name -> function).
"""

import importlib.util
import os
import re
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from flywheel.errors import BadData
from flywheel.types import Level, Record

DETECTOR_VERSION = "3"
MERGE_S = 2.0
EXIT_RATIO = 0.6
OURS = Path(__file__).parent / "scenarios"
USERS = "FLYWHEEL_SCENARIOS"
# What an entry with a query need not say: its signals are those of its parts, its peak is how long it lasts.
COMPOSITE: dict[str, Any] = {
    "min_duration_s": 0.0, "signals": (), "peak": "duration", "peak_unit": "s", "source": "a query", "nearest_tag": "none"
}  # fmt: skip

Signal = Literal[
    "ego speed", "acceleration", "path", "tracks", "lanes", "lights", "environment", "streams", "imu", "gnss", "vehicle", "frames"
]
Sign = Literal["<=", ">=", "<", ">"]


class Threshold(Record):
    """One comparison: `quantity` against `value` in `unit`; all of a level's must hold."""

    quantity: str
    sign: Sign
    value: float
    unit: str


class Scenario(Record):
    """One catalogue entry; `settings` are the fixed numbers of its definition, with the unit in the name.

    `severity` ranks gaps: 1 nuisance, 2 could hurt, 3 could kill (a project default, after ISO 26262's S1 to S3).
    """

    name: str
    row: int | None = None
    definition: str
    levels: dict[Level, tuple[Threshold, ...]]
    settings: dict[str, float] = Field(default_factory=dict)
    min_duration_s: float
    merge_s: float = MERGE_S
    exit_ratio: float = EXIT_RATIO
    signals: tuple[Signal, ...]
    peak: str
    peak_unit: str
    severity: Literal[1, 2, 3] = 2
    source: str
    nearest_tag: str
    detector: str = ""
    where: dict[str, JsonValue] | None = None
    detector_version: str = DETECTOR_VERSION

    @property
    def detected_by(self) -> str:
        """The name of the detector: its own name unless it says otherwise."""
        return self.detector or self.name

    def limit(self, level: Level, quantity: str) -> float:
        """The threshold of a quantity at a level; KeyError if the level has none."""
        return {threshold.quantity: threshold.value for threshold in self.levels[level]}[quantity]

    def limits(self, quantity: str) -> tuple[float, ...]:
        """The thresholds of a quantity, mildest level first."""
        return tuple(self.limit(level, quantity) for level in sorted(self.levels))


def _threshold(quantity: str, text: Any) -> Threshold:
    """A comparison such as `<= -3 m/s2`."""
    found = re.fullmatch(r"(<=|>=|<|>)\s*([-+0-9.eE]+)\s+(\S.*)", str(text))
    if not found:
        raise BadData(f"threshold {quantity} = {text!r}: write a comparison, a number and a unit, such as '<= -3 m/s2'")
    sign, value, unit = found.groups()
    return Threshold.model_validate({"quantity": quantity, "sign": sign, "value": float(value), "unit": unit})


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Tables laid over tables; everything else is replaced."""
    deeper = {k for k, v in new.items() if isinstance(v, dict) and isinstance(old.get(k), dict) and k != "where"}
    return old | {k: _merged(old[k], v) if k in deeper else v for k, v in new.items()}


def _entry(name: str, said: dict[str, Any], source: Path) -> Scenario:
    try:
        levels = {level: tuple(_threshold(q, text) for q, text in parts.items()) for level, parts in said.get("levels", {}).items()}
        return Scenario.model_validate({**(COMPOSITE if "where" in said else {}), **said, "name": name, "levels": levels})
    except (ValidationError, ValueError, AttributeError) as err:
        raise BadData(f"{source}: scenario {name!r}: {err}") from err


def _read_toml(file: Path, known: dict[str, dict[str, Any]]) -> dict[str, Scenario]:
    try:
        tables = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise BadData(f"{file}: cannot read it as TOML: {err}") from err
    found = {}
    for name, said in tables.items():
        if not isinstance(said, dict):
            raise BadData(f"{file}: {name} = {said!r} is no scenario: write a table [{name}]")
        known[name] = _merged(known.get(name, {}), said)
        found[name] = _entry(name, known[name], file)
    return found


def user_files() -> tuple[Path, ...]:
    """The user's own catalogue files, in the order in which they apply."""
    return tuple(Path(part) for part in os.environ.get(USERS, "").split(":") if part)


@lru_cache(maxsize=8)
def _module(file: Path, stamp: int) -> Any:
    """A user's Python file, run once; `stamp` makes a changed file run again."""
    spec = importlib.util.spec_from_file_location(f"flywheel_user_{file.stem}", file)
    assert spec is not None and spec.loader is not None, file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def user_modules() -> list[Any]:
    """The user's Python files as modules."""
    try:
        return [_module(file, file.stat().st_mtime_ns) for file in user_files() if file.suffix == ".py"]
    except OSError as err:
        raise BadData(f"{USERS}: {err}") from err


@lru_cache(maxsize=4)
def _loaded(files: tuple[tuple[Path, int], ...]) -> tuple[Scenario, ...]:
    known: dict[str, dict[str, Any]] = {}
    found: dict[str, Scenario] = {}
    for file, stamp in files:
        found |= _read_toml(file, known) if file.suffix != ".py" else {entry.name: entry for entry in _module(file, stamp).SCENARIOS}
    return tuple(sorted(found.values(), key=lambda entry: (entry.row is None, entry.row or 0, entry.name)))


def catalogue() -> list[Scenario]:
    """All scenarios in the order of their catalogue rows, the user's own last; BadData for a file that makes no sense."""
    files: Iterable[Path] = (*sorted(OURS.glob("*.toml")), *user_files())
    try:
        return list(_loaded(tuple((file, file.stat().st_mtime_ns) for file in files)))
    except OSError as err:
        raise BadData(f"{USERS}: {err}") from err


def scenario(name: str) -> Scenario:
    """One entry; BadData if there is none of that name."""
    entries = catalogue()
    for entry in entries:
        if entry.name == name:
            return entry
    raise BadData(f"no scenario {name!r}: the catalogue has {', '.join(entry.name for entry in entries)}")
