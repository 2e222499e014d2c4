"""The language of the operational design domain: eight attributes after ISO 34503 with OSI's bins, strata as text, and what cannot be.

The attributes, their bins and what cannot be are data (`odd.toml`). A stratum is written in the order of that file, values parted by
bars: `night|rain:moderate|snow:none|vis:low|temp:mild|junction|30-50|traffic:light`. Mining measures strata; planning asks for them.
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flywheel.errors import BadData
from flywheel.store import Store
from flywheel.types import CONDITIONS, WEATHERS, Condition, Record, digest_of

UNKNOWN = "unknown"
DOMAIN_KEY = "odd/domain.toml"
FOG = ("dense_fog", "thick_fog", "low")


class Attribute(Record):
    """One attribute: its values in order, and the edges between them in `unit` where it is a number."""

    name: str
    group: str
    values: tuple[str, ...]
    edges: tuple[float, ...] = ()
    unit: str = ""
    prefix: str = ""
    means: str

    def code(self, value: NDArray[np.float64]) -> NDArray[np.int64]:
        """The bin of each number; one past the last where it is NaN."""
        return np.where(np.isfinite(value), np.digitize(value, self.edges), len(self.values)).astype(np.int64)

    def text(self, value: str) -> str:
        """A value as a stratum writes it."""
        return self.prefix + value


class Impossible(Record):
    """Values of two or more attributes that do not go together."""

    values: dict[str, tuple[str, ...]]
    why: str


@lru_cache(maxsize=1)
def _said() -> tuple[tuple[Attribute, ...], tuple[Impossible, ...]]:
    said = tomllib.loads((Path(__file__).parent / "odd.toml").read_text())
    attributes = tuple(Attribute(name=name, **entry) for name, entry in said["attributes"].items())
    return attributes, tuple(Impossible(why=entry.pop("why"), values=entry) for entry in said["impossible"])


def attributes() -> tuple[Attribute, ...]:
    """The attributes in the order in which a stratum names them."""
    return _said()[0]


def constraints() -> tuple[Impossible, ...]:
    """What cannot be."""
    return _said()[1]


@lru_cache(maxsize=1)
def bins_sha256() -> str:
    """The digest of the attributes and their bins: strata under another one are not the same strata."""
    return digest_of([a.model_dump(mode="json") for a in attributes()])


def possible(values: Mapping[str, str]) -> bool:
    """Whether no constraint forbids these attribute values together."""
    return forbidden(values) is None


def forbidden(values: Mapping[str, str]) -> str | None:
    """Why a constraint forbids these attribute values together; None if none does."""
    about = _about(frozenset(values))
    return next((entry.why for entry in about if all(values[name] in bad for name, bad in entry.values.items())), None)


@lru_cache(maxsize=256)
def _about(names: frozenset[str]) -> tuple[Impossible, ...]:
    """The constraints that name none but these attributes."""
    return tuple(entry for entry in constraints() if entry.values.keys() <= names)


def unseeable(values: Mapping[str, str], condition: Condition) -> str | None:
    """Why a scene with these values (temperature, scenery, scenario ...) cannot be under a condition; None if it can.

    A condition leaves open how much rain, snow or fog there is: it is ruled out only where every amount is.
    """
    return _unseeable(tuple(sorted(values.items())), condition.name)


@lru_cache(maxsize=8192)
def _unseeable(values: tuple[tuple[str, str], ...], name: str) -> str | None:
    known = dict(values)
    reasons = [forbidden(known | reading) for reading in _readings(name)]
    return None if None in reasons else reasons[0]


@lru_cache(maxsize=len(CONDITIONS))
def _readings(name: str) -> tuple[dict[str, str], ...]:
    """Light, weather, rain, snow and visibility in every amount that a condition's name leaves open."""
    condition, by_name = Condition.parse(name), {a.name: a.values for a in attributes()}
    rain = by_name["rain"][1:] if condition.weather == "rain" else by_name["rain"][:1]
    snow = by_name["snow"][1:] if condition.weather == "snow" else by_name["snow"][:1]
    sight = FOG if condition.weather == "fog" else tuple(v for v in by_name["visibility"] if v not in FOG[:2])
    said = {"illumination": condition.lighting, "weather": condition.weather}
    return tuple(said | {"rain": r, "snow": s, "visibility": v} for r, s, v in product(rain, snow, sight))


class Domain(Record):
    """Where the vehicles may drive: the values allowed of some attributes (or of `weather`). An attribute not named is free."""

    allowed: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def outside(self, values: Mapping[str, str]) -> str | None:
        """What is outside the domain about these values; None if nothing is. An unknown value is not."""
        for name, allowed in sorted(self.allowed.items()):
            if values.get(name, UNKNOWN) not in (*allowed, UNKNOWN):
                return f"outside the ODD: {name} {values[name]}"
        return None


def read_domain(store: Store) -> Domain:
    """The domain that a root declares at `odd/domain.toml` (`[domain]`, attribute = [values]); without that file all is inside.

    BadData for an attribute or a value that the language does not have.
    """
    if not store.exists(DOMAIN_KEY):
        return Domain()
    known = {a.name: a.values for a in attributes()} | {"weather": WEATHERS}
    try:
        said = tomllib.loads(store.get(DOMAIN_KEY).decode())["domain"]
        wrong = [f"{name} = {value!r}" for name, values in said.items() for value in values if value not in known.get(name, ())]
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise BadData(f"{DOMAIN_KEY}: not a [domain] table of lists: {err!r}") from err
    if wrong:
        raise BadData(f"{DOMAIN_KEY}: {', '.join(wrong)} is no value of the ODD; its attributes: {', '.join(known)}")
    return Domain(allowed={name: tuple(values) for name, values in said.items()})


def parse(odd: str) -> dict[str, str]:
    """The attribute values of a stratum; an empty text is unknown in all of them. ValueError for any other text."""
    if not odd:
        return {a.name: UNKNOWN for a in attributes()}
    parts = odd.split("|")
    return {a.name: part.removeprefix(a.prefix) for a, part in zip(attributes(), parts, strict=True)}


def written(values: Mapping[str, str]) -> str:
    """The text of some attributes' values, in the order of the file; attributes that are not named are left out."""
    return "|".join(a.text(values[a.name]) for a in attributes() if a.name in values)


def reduced(odd: str, names: Sequence[str]) -> str:
    """A stratum with only some of its attributes."""
    values = parse(odd)
    return written({name: values[name] for name in names})
