"""Traffic around a script: Eclipse SUMO through TraCI, the scripted vehicles imposed each step. Gives exact trajectories.

SUMO runs the oncoming and crossing traffic, the cyclists, the walkers and the cars on the ego's free lanes; it sees the ego
and the scripted actors (moveToXY) and reacts to them. Its positions are sampled at 10 Hz and joined by straight lines.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.errors import BadTransport, FlywheelError, require
from flywheel.fleet.demand import DRIVERS, EGO, demand
from flywheel.fleet.motion import LEAD_S, RATE_HZ, Motion
from flywheel.fleet.network import FIRST_LANE
from flywheel.fleet.road import road_of
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.stage import SIZES, Fellow, Plan, Scripted
from flywheel.scratch import scratch

Array = NDArray[np.float64]
STEP_S, SETTLE_S, RANGE_M = 0.1, 75.0, 125.0
CLASSES: dict[str, ActorClass] = {**DRIVERS, "walk": "pedestrian"}


@dataclass(frozen=True)
class Mover:
    """One road user over the whole drive at 100 Hz: centre of its box; NaN while it is not there."""

    actor_id: str
    cls: ActorClass
    x_m: Array
    y_m: Array
    heading_rad: Array
    speed_mps: Array
    accel_mps2: Array
    every: int = 1  # the motion is a straight line between every n-th sample
    size_m: tuple[float, float, float] = (0.0, 0.0, 0.0)  # length, width, height; its class's usual size if zero
    subclass: str | None = None
    flashing: bool = False
    opens: tuple[float, float, float] | None = None  # its left door is open from, to (s), and widens the box by so many metres

    def __post_init__(self) -> None:
        if not any(self.size_m):
            object.__setattr__(self, "size_m", SIZES[self.cls])

    def open_m(self, t_s: float) -> float:
        """By how much an open door widens the box to its left."""
        return self.opens[2] if self.opens and self.opens[0] <= t_s < self.opens[1] else 0.0


def scripted_mover(actor: Scripted) -> Mover:
    """A scripted actor over the drive itself."""
    m = actor.motion.since_start()
    return Mover(
        actor.actor_id, actor.cls, m.x_m, m.y_m, m.heading_rad, m.speed_mps, m.accel_mps2,
        size_m=actor.size_m, subclass=actor.subclass, flashing=actor.flashing, opens=actor.opens,
    )  # fmt: skip


@contextmanager
def _sumo(plan: Plan, *, seed: int, label: str) -> Iterator[Any]:
    """A TraCI connection to a SUMO process on a free port; both are gone afterwards, whatever happens."""
    traci, sumo_home = require("traci", extra="fleet"), Path(require("sumo", extra="fleet").SUMO_HOME)
    from flywheel.fleet.network import network_of

    with scratch("sumo") as folder:
        routes, log = folder / "demand.rou.xml", folder / "sumo.log"
        routes.write_text(demand(plan))
        port = int(require("sumolib", extra="fleet").miscutils.getFreeSocketPort())
        command = [
            str(sumo_home / "bin" / "sumo"), "-n", network_of(plan.place).path, "-r", str(routes), "--seed", str(seed % (1 << 31)),
            "--step-length", str(STEP_S), "--remote-port", str(port), "--no-step-log", "--no-warnings", "--duration-log.disable",
            "--time-to-teleport", "-1", "--collision.action", "none", "--lanechange.duration", "2.5",
        ]  # fmt: skip
        with log.open("wb") as sink:
            process = subprocess.Popen(command, stdout=sink, stderr=sink, env={**os.environ, "SUMO_HOME": str(sumo_home)})
        try:
            connection = _connect(traci, port, process, log, label)
            try:
                yield connection
            finally:
                connection.close(wait=False)
        finally:
            process.kill()
            process.wait()


def _connect(traci: Any, port: int, process: "subprocess.Popen[bytes]", log: Path, label: str) -> Any:
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        try:
            return traci.connect(port=port, numRetries=0, proc=process, label=label)
        except (traci.exceptions.FatalTraCIError, traci.exceptions.TraCIException):
            if process.poll() is not None:
                raise FlywheelError(f"SUMO stopped before it answered: {log.read_text(errors='replace').strip()[-400:]}") from None
            time.sleep(0.02)
    raise BadTransport(f"SUMO did not open port {port} within 60 s. Is the machine overloaded?")


def _angle(heading_rad: float) -> float:
    """SUMO's angle (degrees clockwise from north) of a heading."""
    return (90.0 - float(np.degrees(heading_rad))) % 360.0


def _impose(link: Any, name: str, motion: Motion, i: int, front_m: float) -> None:
    heading = motion.heading_rad[i]
    x, y = motion.x_m[i] + front_m * np.cos(heading), motion.y_m[i] + front_m * np.sin(heading)
    link.vehicle.moveToXY(name, "", -1, float(x), float(y), angle=_angle(heading), keepRoute=2)


def _insert(link: Any, plan: Plan) -> None:
    """Puts the ego, the scripted vehicles and the fellows on the road at -2 s."""
    road = road_of(plan.place)
    s_ego = float(road.project(plan.ego.x_m[:1], plan.ego.y_m[:1])[0][0])
    link.vehicle.add(EGO, "main", typeID=EGO, departPos="0")
    for actor in plan.actors:
        if _is_traffic(actor):
            link.vehicle.add(actor.actor_id, "main", typeID={v: k for k, v in DRIVERS.items()}[actor.cls], departPos="0")
    for k, fellow in enumerate(plan.fellows):
        _insert_fellow(link, f"fellow.{k}", fellow, s_ego + FRONT_M + fellow.ahead_m, plan)


def _is_traffic(actor: Scripted) -> bool:
    """Whether SUMO's cars see it: people, things and what says otherwise they do not."""
    return actor.in_traffic and actor.cls in DRIVERS.values()


def _insert_fellow(link: Any, name: str, fellow: Fellow, s_m: float, plan: Plan) -> None:
    if not s_m > 10.0:
        return
    link.vehicle.add(name, "main", typeID=fellow.cls, departPos="0")
    x, y, heading = road_of(plan.place).pose(s_m, plan.place.lane_d_m(fellow.lane))
    edge = "main_a" if s_m < plan.place.junction_s_m else "main_b"
    link.vehicle.moveToXY(name, edge, FIRST_LANE + fellow.lane, float(x), float(y), angle=_angle(float(heading)), keepRoute=2)
    link.vehicle.setLaneChangeMode(name, 0)
    link.vehicle.setMaxSpeed(name, fellow.speed_mps)
    link.vehicle.setPreviousSpeed(name, fellow.speed_mps)


def _light_phase(plan: Plan, t_s: float) -> int:
    """Phase of the junction's program: 0 main green, 2 main yellow, 3 side green, 4 and 5 clearing before main green."""
    state = [value for start, value in plan.lights if start <= t_s][-1]
    coming = [start for start, value in plan.lights if start > t_s and value == "green"]
    if state == "red":
        return 5 if coming and coming[0] - t_s < 3.0 else 4 if coming and coming[0] - t_s < 7.0 else 3
    return {"green": 0, "yellow": 2}[state]


def _take(link: Any, rows: dict[str, Array], kinds: dict[str, ActorClass], *, k: int, steps: int, skip: set[str]) -> None:
    """Writes down what SUMO says about everyone near the ego at one step (centres of boxes)."""
    tc = require("traci", extra="fleet").constants
    for name, values in link.vehicle.getContextSubscriptionResults(EGO).items():
        if name in skip:
            continue
        cls = kinds.setdefault(name, CLASSES[values[tc.VAR_TYPE].split("@")[0]])  # "car@name" once a value was set for one car
        row = rows.setdefault(name, np.full((steps, 4), np.nan))
        heading, back = np.radians(90.0 - values[tc.VAR_ANGLE]), SIZES[cls][0] / 2
        x, y = values[tc.VAR_POSITION]
        row[k] = (x - back * np.cos(heading), y - back * np.sin(heading), heading, values[tc.VAR_SPEED])


def _run(link: Any, plan: Plan) -> tuple[dict[str, Array], dict[str, ActorClass]]:
    """Steps SUMO through the drive with the script imposed; 10 Hz rows from t = 0 on."""
    tc = require("traci", extra="fleet").constants
    link.trafficlight.setPhase("J", 0)
    link.trafficlight.setPhaseDuration("J", 1e6)
    link.simulationStep(SETTLE_S)
    _insert(link, plan)
    every, lead = round(STEP_S * RATE_HZ), round(LEAD_S / STEP_S)
    steps = round(plan.duration_s / STEP_S) + 1
    rows: dict[str, Array] = {}
    kinds: dict[str, ActorClass] = {}
    vehicles = [actor for actor in plan.actors if _is_traffic(actor)]
    skip, phase = {EGO, *(a.actor_id for a in plan.actors)}, 0
    for k in range(-lead, steps):
        wanted = _light_phase(plan, k * STEP_S)
        if wanted != phase:
            link.trafficlight.setPhase("J", wanted)
            link.trafficlight.setPhaseDuration("J", 1e6)
            phase = wanted
        _impose(link, EGO, plan.ego, (k + lead) * every, FRONT_M)
        for actor in vehicles:
            _impose(link, actor.actor_id, actor.motion, (k + lead) * every, actor.size_m[0] / 2)
        link.simulationStep()
        if k == -lead:
            for domain in (tc.CMD_GET_VEHICLE_VARIABLE, tc.CMD_GET_PERSON_VARIABLE):
                names = [tc.VAR_POSITION, tc.VAR_ANGLE, tc.VAR_SPEED, tc.VAR_TYPE]
                link.vehicle.subscribeContext(EGO, domain, RANGE_M, names)
        if k >= 0:
            _take(link, rows, kinds, k=k, steps=steps, skip=skip)
    return rows, kinds


def _fine(row: Array, samples: int) -> Array:
    """10 Hz rows at 100 Hz: straight lines between samples, NaN where a neighbour is missing."""
    row = row.copy()
    seen = ~np.isnan(row[:, 0])
    row[seen, 2] = np.unwrap(row[seen, 2])
    at = np.arange(samples) / (STEP_S * RATE_HZ)
    low = np.minimum(at.astype(int), len(row) - 1)
    high = np.minimum(low + (at > low), len(row) - 1)
    share = (at - low)[:, None]
    return np.asarray(np.where(share > 0, row[low] * (1 - share) + row[high] * share, row[low]))


def _mover(name: str, cls: ActorClass, row: Array, samples: int) -> Mover:
    accel = np.gradient(row[:, 3], STEP_S)
    fine = _fine(np.column_stack([row, accel]), samples)
    return Mover(name, cls, fine[:, 0], fine[:, 1], fine[:, 2], fine[:, 3], fine[:, 4], every=round(STEP_S * RATE_HZ))


def _strikes(ego: Motion, row: Array, cls: ActorClass) -> bool:
    """Whether a box ever lies in the ego's; rows at 10 Hz, the ego from t = 0 on."""
    at = ego.since_start()
    x, y, heading = (values[:: round(STEP_S * RATE_HZ)][: len(row)] for values in (at.x_m, at.y_m, at.heading_rad))
    dx, dy, turned = row[:, 0] - x, row[:, 1] - y, row[:, 2] - heading
    length, width, _ = SIZES[cls]
    c, s = np.abs(np.cos(turned)), np.abs(np.sin(turned))
    ahead = dx * np.cos(heading) + dy * np.sin(heading) - (FRONT_M + REAR_M) / 2
    left = dy * np.cos(heading) - dx * np.sin(heading)
    along, across = (FRONT_M - REAR_M + c * length + s * width) / 2, (WIDTH_M + s * length + c * width) / 2
    return bool(((np.abs(ahead) < along) & (np.abs(left) < across)).any())


def simulate(plan: Plan, *, seed: int, label: str) -> tuple[Mover, ...]:
    """Everyone but the ego and the parked cars, at 100 Hz from t = 0, sorted by id; scripted actors exactly.

    Whoever of SUMO's would drive into the ego, which it does not always see, is not there. Equal plans and seeds give equal motions.
    FlywheelError when SUMO stops, BadTransport when it never answers.
    """
    with _sumo(plan, seed=seed, label=label) as link:
        rows, kinds = _run(link, plan)
    samples = round(plan.duration_s * RATE_HZ) + 1
    movers = [
        _mover(name, kinds[name], row, samples)
        for name, row in rows.items()
        if not np.isnan(row[:, 0]).all() and not _strikes(plan.ego, row, kinds[name])
    ]
    movers += [scripted_mover(actor) for actor in plan.actors]
    return tuple(sorted(movers, key=lambda m: m.actor_id))
