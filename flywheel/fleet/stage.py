"""What a scripted drive is (`Plan`) and the helper that places vehicles on the road (`Stage`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M
from flywheel.fleet.motion import Motion, Profile, along, lateral
from flywheel.fleet.network import Network, network_of
from flywheel.fleet.road import Place, Road, road_of
from flywheel.fleet.scene import ActorClass, LightState
from flywheel.types import Condition, Record

SIZES: dict[ActorClass, tuple[float, float, float]] = {
    "car": (4.6, 1.85, 1.5), "truck": (9.0, 2.5, 3.3), "bus": (12.0, 2.55, 3.1),
    "pedestrian": (0.5, 0.55, 1.75), "cyclist": (1.8, 0.6, 1.7), "other": (0.4, 0.4, 0.7),
}  # fmt: skip
GREEN: tuple[tuple[float, LightState], ...] = ((-1e6, "green"),)
Shifts = Sequence[tuple[float, float, float]]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scripted:
    """One actor whose motion is exact; its reference point is the centre of its box."""

    actor_id: str
    cls: ActorClass
    motion: Motion
    size_m: tuple[float, float, float] = (0.0, 0.0, 0.0)  # length, width, height; its class's usual size if zero
    subclass: str | None = None
    flashing: bool = False
    in_traffic: bool = True  # a vehicle that SUMO's cars see and react to
    opens: tuple[float, float, float] | None = None  # its left door is open from, to (s), and widens the box by so many metres

    def __post_init__(self) -> None:
        if not any(self.size_m):
            object.__setattr__(self, "size_m", SIZES[self.cls])


class NearMiss(Record):
    """Something that stays just under a scenario's definition, with the reason in words."""

    scenario: str
    t0_s: float
    t1_s: float
    why: str


class Dropout(Record):
    """Messages of a topic left out strictly between two times."""

    topic: Literal["/imu", "/gnss"]
    t0_s: float
    t1_s: float


@dataclass(frozen=True)
class Overlay:
    """Changes one column of a sensor's messages between two times: `values(t_s, before)` gives what is sent instead."""

    topic: Literal["/ego/state", "/imu", "/gnss", "/environment", "/vehicle"]
    column: str
    t0_s: float
    t1_s: float
    values: Callable[[Array, Array], Array]


class Fellow(Record):
    """A SUMO car put on an ego-direction lane ahead of (or behind) the ego at -2 s."""

    lane: int
    ahead_m: float
    speed_mps: float
    cls: ActorClass = "car"


@dataclass(frozen=True)
class Plan:
    """Everything fixed before traffic is simulated."""

    kind: str
    place: Place
    condition: Condition
    duration_s: float
    ego: Motion
    actors: tuple[Scripted, ...] = ()
    lights: tuple[tuple[float, LightState], ...] = GREEN
    dropouts: tuple[Dropout, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    near: tuple[NearMiss, ...] = ()
    fellows: tuple[Fellow, ...] = ()
    oncoming: bool = True
    clear_s_m: tuple[float, ...] = ()
    control: Literal["light", "stop"] = "light"  # what rules the ego's stop line
    lane_ends_s_m: float | None = None  # where the ego's rightmost lane ends
    crossing_traffic: bool = True
    cyclists: bool = True


@dataclass(frozen=True)
class Stage:
    """A place, a condition and a random stream for one drive."""

    place: Place
    condition: Condition
    duration_s: float
    rng: np.random.Generator
    turn: int

    @property
    def road(self) -> Road:
        """The place's road."""
        return road_of(self.place)

    @property
    def network(self) -> Network:
        """The place's compiled network."""
        return network_of(self.place)

    def plan(self, kind: str, ego: Motion) -> Plan:
        """The plan of a drive on which nobody else is scripted."""
        return Plan(kind, self.place, self.condition, self.duration_s, ego)

    def pick(self, low: float, high: float) -> float:
        """A uniform draw."""
        return float(self.rng.uniform(low, high))

    def ego(self, prof: Profile, *, lane: int, at: tuple[float, float], shifts: Shifts = ()) -> Motion:
        """The ego (rear axle) along a lane, at s at a time; shifts are lateral moves along s."""
        d_of_s = lateral(self.place.lane_d_m(lane), shifts, wander_m=0.06, phase=self.pick(0, 6))
        return along(self.road, prof, s0_m=at[1], d_of_s=d_of_s, t0_s=at[0])

    def vehicle(
        self, actor_id: str, prof: Profile, *, lane: int, at: tuple[float, float], shifts: Shifts = (), cls: ActorClass = "car"
    ) -> Scripted:
        """A scripted vehicle (box centre) along a lane of the ego's direction."""
        d_of_s = lateral(self.place.lane_d_m(lane), shifts, wander_m=0.05, phase=self.pick(0, 6))
        return Scripted(actor_id, cls, along(self.road, prof, s0_m=at[1], d_of_s=d_of_s, t0_s=at[0]))

    def ahead(self, ego_s_m: float, gap_m: float, *, cls: ActorClass = "car") -> float:
        """Centre of a vehicle whose rear bumper is `gap_m` before the front bumper of an ego at s."""
        return ego_s_m + FRONT_M + gap_m + SIZES[cls][0] / 2

    def other_lanes(self, *used: int) -> list[int]:
        """Driving lanes of the ego's direction that the script does not use."""
        return [lane for lane in range(self.place.lanes) if lane not in used]

    def company(self, *used: int, speed_mps: float) -> tuple[Fellow, ...]:
        """SUMO cars on the unused lanes, ahead and behind, about as fast as the ego, and one far behind it."""
        cars = [
            Fellow(lane=lane, ahead_m=self.pick(18, 50), speed_mps=speed_mps * self.pick(0.95, 1.05)) for lane in self.other_lanes(*used)
        ]
        cars += [Fellow(lane=lane, ahead_m=self.pick(-40, -18), speed_mps=speed_mps, cls="truck") for lane in self.other_lanes(*used)[:1]]
        return tuple(cars) + tuple(Fellow(lane=lane, ahead_m=-self.pick(35, 50), speed_mps=speed_mps) for lane in used[:1])
