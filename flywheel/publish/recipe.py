"""What a dataset is made of: a recipe is a whole configuration, diffable and typed."""

from pydantic import Field

from flywheel.errors import BadData
from flywheel.types import Record


class Recipe(Record):
    """Which samples a dataset takes. Empty `scenarios` takes all; reference frames lie outside every event."""

    name: str = "rare-driving"
    scenarios: tuple[str, ...] = ()
    include_synthetic: bool = True
    frames_per_event: int = Field(default=5, ge=1)
    reference_frames_per_drive: int = Field(default=8, ge=0)
    frame_tolerance_ms: int = Field(default=300, gt=0)
    label_tolerance_ms: int = Field(default=60, gt=0)
    event_margin_ms: int = Field(default=1000, ge=0)
    max_distance_m: float = Field(default=80.0, gt=0)

    def takes(self, scenario: str) -> bool:
        """Whether events of a scenario belong in the dataset."""
        return not self.scenarios or scenario in self.scenarios


def rare_driving() -> Recipe:
    """Every scenario, real and synthetic: the default."""
    return Recipe()


def real_only() -> Recipe:
    """Every scenario from fleet frames alone: the arm that synthetic data is compared with."""
    return Recipe(name="rare-driving-real", include_synthetic=False)


RECIPES = {recipe.name: recipe for recipe in (rare_driving(), real_only())}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name; BadData that lists the names there are."""
    if name not in RECIPES:
        raise BadData(f"no recipe {name!r}; there are: {', '.join(sorted(RECIPES))}")
    return RECIPES[name]
