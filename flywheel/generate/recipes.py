"""Recipes: functions that return a whole generation setting. A new one is a function and its name in `RECIPES`."""

from collections.abc import Callable

from pydantic import Field, model_validator

from flywheel.errors import BadData
from flywheel.generate.inserts import KINDS
from flywheel.types import CONDITIONS, Condition, Record


class Recipe(Record):
    """Which targets, how many variations in a batch and of each key frame, clips or frames, and which objects are inserted.

    A recipe with `inserts` (kinds of `inserts.KINDS`) draws objects into frames instead of redrawing them: its targets do not count,
    each frame keeps its condition. `clip_frames` above 1 makes each request a clip of so many frames, `clip_spacing_ms` apart.
    """

    name: str
    what: str = ""
    targets: tuple[Condition, ...] = CONDITIONS
    budget: int = Field(24, ge=1)
    per_event: int = Field(2, ge=1)
    clip_frames: int = Field(1, ge=1, le=64)
    clip_spacing_ms: int = Field(100, ge=1)
    inserts: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _insertable(self) -> "Recipe":
        if unknown := set(self.inserts) - set(KINDS):
            raise ValueError(f"no kinds {sorted(unknown)} to insert; there are {', '.join(KINDS)}")
        if self.inserts and self.clip_frames > 1:
            raise ValueError("objects are inserted into single frames: where they would be in a clip's next frame is not planned")
        return self


NIGHT_RAIN = (Condition(lighting="night", weather="rain"),)


def thin_cells_v1() -> Recipe:
    """Every condition, thinnest scenario x condition cells first."""
    return Recipe(name="thin_cells_v1", what="every condition, thinnest cells first")


def night_rain_v1() -> Recipe:
    """Rain at night only: the condition where cameras lose most."""
    return Recipe(name="night_rain_v1", what="rain at night only", targets=NIGHT_RAIN)


def adverse_weather_v1() -> Recipe:
    """Fog, rain and snow by day, at dusk and at night."""
    wet = tuple(c for c in CONDITIONS if c.weather != "clear")
    return Recipe(name="adverse_weather_v1", what="fog, rain and snow in any light", targets=wet)


def night_rain_clips_v1() -> Recipe:
    """Clips of eight frames, 0.1 s apart, as rain at night."""
    return Recipe(
        name="night_rain_clips_v1", what="clips of 8 frames as rain at night", targets=NIGHT_RAIN, budget=8, per_event=1, clip_frames=8
    )


def vulnerable_inserts_v1() -> Recipe:
    """A pedestrian or a cyclist where there was none."""
    kinds = ("pedestrian", "cyclist")
    return Recipe(name="vulnerable_inserts_v1", what="a pedestrian or a cyclist drawn in, with its label", inserts=kinds)


def obstacle_inserts_v1() -> Recipe:
    """Debris, a cone, an animal or a stopped car in the ego's way."""
    kinds = ("debris", "cone", "animal", "car")
    return Recipe(name="obstacle_inserts_v1", what="an obstacle drawn in, with its label", inserts=kinds)


RECIPES: dict[str, Callable[[], Recipe]] = {
    made.__name__: made
    for made in (thin_cells_v1, night_rain_v1, adverse_weather_v1, night_rain_clips_v1, vulnerable_inserts_v1, obstacle_inserts_v1)
}


def recipe_named(name: str) -> Recipe:
    """A recipe by name; BadData naming those there are."""
    if name not in RECIPES:
        raise BadData(f"no generation recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()
