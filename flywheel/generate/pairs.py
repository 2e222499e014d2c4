"""t-wise fill: which pairs of ODD values nothing shows yet, and which of them a variation would add. Pure functions on bit masks.

A variation changes light and weather and keeps its parent's temperature, scenery, speed and traffic. So the pairs it can add hold a
light or a weather; a pair of two values that it keeps was driven by its parent already. NIST's combinatorial coverage, as in mining.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

from flywheel.odd import UNKNOWN, Domain, attributes, parse, unseeable
from flywheel.types import CONDITIONS, WEATHERS, Condition

CHANGED = ("illumination", "weather")
KEPT = ("temperature", "scenery", "speed", "traffic")
STRENGTH = 2
Values = tuple[tuple[str, str], ...]


class Picture(NamedTuple):
    """What a variation adds to coverage: its scenario, the condition it shows, and its parent's stratum."""

    scenario: str
    condition: str
    odd: str

    @property
    def cell(self) -> tuple[str, str]:
        """The cell it lies in."""
        return self.scenario, self.condition

    @property
    def values(self) -> Values:
        """The values it shows."""
        return shown(self.odd, self.condition)


def kept(odd: str) -> dict[str, str]:
    """What a variation keeps of its parent's stratum; unknown where the stratum says nothing."""
    values = parse(odd)
    return {name: values[name] for name in KEPT}


@lru_cache(maxsize=1 << 16)
def shown(odd: str, condition: str) -> Values:
    """The values, by axis, that a picture of this stratum shows under a condition; unknown ones are left out."""
    said = Condition.parse(condition)
    values = {"illumination": said.lighting, "weather": said.weather, **kept(odd)}
    return tuple((name, value) for name, value in values.items() if value != UNKNOWN)


class Tuples:
    """All tuples of values that a variation may add, numbered: those neither impossible nor outside the domain. A set is a bit mask."""

    def __init__(self, *, domain: Domain, strength: int = STRENGTH) -> None:
        axes = {name: WEATHERS if name == "weather" else _values(name) for name in (*CHANGED, *KEPT)}
        chosen = [names for names in combinations(axes, strength) if set(names) & set(CHANGED)]
        every = (tuple(zip(names, row, strict=True)) for names in chosen for row in product(*(axes[name] for name in names)))
        allowed = [one for one in every if domain.outside(dict(one)) is None and _can_be(dict(one))]
        self.number = {one: k for k, one in enumerate(allowed)}
        self.strength = strength
        self._masks: dict[Values, int] = {}

    def __len__(self) -> int:
        return len(self.number)

    def mask(self, values: Values) -> int:
        """The tuples among the values."""
        if values not in self._masks:
            numbers = (self.number.get(one) for one in combinations(values, self.strength))
            self._masks[values] = sum(1 << k for k in numbers if k is not None)
        return self._masks[values]

    def of(self, seen: Iterable[Values]) -> int:
        """The tuples that at least one of these pictures shows."""
        found = 0
        for values in set(seen):
            found |= self.mask(values)
        return found

    def names(self, mask: int) -> list[str]:
        """The tuples of a mask in words, such as `night + junction`."""
        return [" + ".join(_said(*pair) for pair in one) for one, k in self.number.items() if mask >> k & 1]


def _values(name: str) -> tuple[str, ...]:
    return next(a.values for a in attributes() if a.name == name)


def _can_be(values: Mapping[str, str]) -> bool:
    """Whether some condition shows these values."""
    rest = {name: value for name, value in values.items() if name not in CHANGED}
    light, weather = values.get("illumination"), values.get("weather")
    fitting = (c for c in CONDITIONS if light in (None, c.lighting) and weather in (None, c.weather))
    return any(unseeable(rest, condition) is None for condition in fitting)


def _said(name: str, value: str) -> str:
    return value if name in (*CHANGED, "scenery") else f"{name} {value}"
