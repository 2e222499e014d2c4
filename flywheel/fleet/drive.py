"""One simulated drive: the script, everyone's exact motion, and the scene records made from them."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.ambient import LIGHT, Environment, environment, shown
from flywheel.fleet.motion import RATE_HZ, Motion
from flywheel.fleet.network import Network, network_of
from flywheel.fleet.road import Place, Road, road_of
from flywheel.fleet.scene import Actor, Instant, LightState, World
from flywheel.fleet.script import Slot, plan_of, slot_of
from flywheel.fleet.simulate import Mover, simulate
from flywheel.fleet.stage import Plan
from flywheel.fleet.town import BACK_LIGHT, MAIN_LIGHT, NORTH_LIGHT, SOUTH_LIGHT, parked_cars, world_of
from flywheel.types import Condition

Array = NDArray[np.float64]
TRACK_HZ, RANGE_M = 10, 120.0
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Drive:
    """Everything about one drive, exact; `ego` and `movers` are sampled at 100 Hz from t = 0."""

    seed: int
    slot: Slot
    plan: Plan
    ego: Motion
    movers: tuple[Mover, ...]
    parked: tuple[Actor, ...]
    environment: Environment

    @property
    def stem(self) -> str:
        """Name of the drive's log without its ending."""
        return f"drive-{self.slot.index:04d}"

    @cached_property
    def t0_ns(self) -> int:
        """Start in ns UTC: the day, an hour that suits the light, ten minutes a drive."""
        start = datetime.fromisoformat(self.slot.day).replace(tzinfo=UTC).timestamp()
        return int(start + LIGHT[self.plan.condition.lighting][2] * 3600 + self.slot.index % 2 * 600) * SECOND_NS

    @property
    def place(self) -> Place:
        """Where it takes place."""
        return self.plan.place

    @property
    def road(self) -> Road:
        """The main road."""
        return road_of(self.plan.place)

    @property
    def network(self) -> Network:
        """The compiled network."""
        return network_of(self.plan.place)

    def t_ns(self, sample: int) -> int:
        """Time of a 100 Hz sample."""
        return self.t0_ns + sample * (SECOND_NS // RATE_HZ)

    def condition_at(self, t_s: float) -> Condition:
        """What a camera shows at a time: the script's condition, unless the script changes the environment then."""
        air = self.environment
        for lay in self.plan.overlays:
            if lay.topic == "/environment" and lay.t0_s <= t_s < lay.t1_s:
                value = lay.values(np.array([t_s]), np.array([getattr(air, lay.column)]))
                air = air.model_copy(update={lay.column: float(value[0])})
        return self.plan.condition if air == self.environment else shown(air, self.plan.condition)

    def light_at(self, t_s: float) -> LightState:
        """State of the ego's light."""
        return [state for start, state in self.plan.lights if start <= t_s][-1]


def drive_of(*, seed: int, index: int, attempt: int = 0) -> Drive:
    """A drive of a fleet, simulated; the same seed, index and attempt give the same drive."""
    slot = slot_of(index, seed=seed)
    plan = plan_of(slot, seed=seed, attempt=attempt)
    own = int.from_bytes(hashlib.sha256(f"{seed}/{index}/{attempt}".encode()).digest()[:4], "big")
    movers = simulate(plan, seed=own, label=f"flywheel-{seed}-{index}-{attempt}")
    parked = parked_cars(plan.place, road_of(plan.place), seed=own, clear_s_m=plan.clear_s_m)
    return Drive(seed, slot, plan, plan.ego.since_start(), movers, parked, environment(plan.condition, seed=own))


def world(drive: Drive) -> World:
    """The still part of the drive's place, as far as the drive goes; without lights where a stop sign rules the junction."""
    s, _ = drive.road.project(drive.ego.x_m[::RATE_HZ], drive.ego.y_m[::RATE_HZ])
    place = world_of(drive.place, drive.road, drive.network, s0_m=float(s.min()), s1_m=float(s.max()))
    return place if drive.plan.control == "light" else place.model_copy(update={"signals": ()})


def instants(drive: Drive) -> list[Instant]:
    """The moving part at 10 Hz, with everyone within 120 m of the ego."""
    return [_instant(drive, i) for i in range(0, len(drive.ego.t_s), RATE_HZ // TRACK_HZ)]


def _instant(drive: Drive, i: int) -> Instant:
    ego, t = drive.ego, i / RATE_HZ
    x, y = float(ego.x_m[i]), float(ego.y_m[i])
    moving = [_actor(mover, i) for mover in drive.movers if np.hypot(mover.x_m[i] - x, mover.y_m[i] - y) < RANGE_M]
    standing = [car for car in drive.parked if np.hypot(car.x_m - x, car.y_m - y) < RANGE_M]
    return Instant(
        t_ns=drive.t_ns(i), ego_x_m=x, ego_y_m=y, ego_heading_rad=float(ego.heading_rad[i]), ego_speed_mps=float(ego.speed_mps[i]),
        actors=(*moving, *standing), lights=_lights(drive, t),
    )  # fmt: skip


def _actor(mover: Mover, i: int) -> Actor:
    length, width, height = mover.size_m
    door, heading = mover.open_m(i / RATE_HZ), float(mover.heading_rad[i])
    x, y = float(mover.x_m[i]) - door / 2 * np.sin(heading), float(mover.y_m[i]) + door / 2 * np.cos(heading)
    return Actor(
        actor_id=mover.actor_id, cls=mover.cls, x_m=float(x), y_m=float(y), heading_rad=heading,
        length_m=length, width_m=width + door, height_m=height, speed_mps=max(float(mover.speed_mps[i]), 0.0),
        braking=bool(mover.accel_mps2[i] < -0.8), seed=int.from_bytes(hashlib.sha256(mover.actor_id.encode()).digest()[:4], "big") >> 1,
        subclass=mover.subclass, flashing=mover.flashing,
    )  # fmt: skip


def _lights(drive: Drive, t_s: float) -> dict[str, LightState]:
    main = drive.light_at(t_s)
    coming = [start for start, state in drive.plan.lights if start > t_s and state == "green"]
    rest = coming[0] - t_s if coming else 1e6
    side: LightState = "red" if main != "red" or rest < 3.0 else "yellow" if rest < 7.0 else "green"
    return {MAIN_LIGHT: main, BACK_LIGHT: main, NORTH_LIGHT: side, SOUTH_LIGHT: side}
