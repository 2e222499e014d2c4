"""Scripts of what the vehicle reports: takeovers, assistance at work, GNSS that fails, bumps and potholes, wheels that slip."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from flywheel.ego import WHEELBASE_M
from flywheel.fleet.acts_ego import Planted
from flywheel.fleet.motion import Array, Push, profile
from flywheel.fleet.stage import Dropout, NearMiss, Overlay, Plan, Stage
from flywheel.types import Condition

EARTH_M_PER_DEG = 111_320.0
TAKEOVER_MPS2 = {"L1": 1.7, "L2": 3.8}
BRAKE_MPS2 = {"L1": 2.0, "L2": 4.1, "L3": 6.3}


def _flag(column: str, t0_s: float, t1_s: float) -> Overlay:
    """A flag of the vehicle that is up between two times."""
    return Overlay("/vehicle", column, t0_s, t1_s, lambda t, before: np.ones_like(before))


def _drive(
    stage: Stage, scenario: str, pushes: Sequence[Push], overlays: Sequence[Overlay], why: str, span: tuple[float, float],
    *, v0: float | None = None, dropouts: tuple[Dropout, ...] = (), smooth_s: float = 0.4,
) -> Plan:  # fmt: skip
    """A drive on a straight lane with these accelerations and reports; a near miss if a reason is given."""
    v0, lane = v0 or stage.pick(13, 15), int(stage.rng.integers(stage.place.lanes))
    ego = stage.ego(profile(v0, pushes, duration_s=stage.duration_s, smooth_s=smooth_s), lane=lane, at=(span[0], stage.pick(260, 330)))
    near = (NearMiss(scenario=scenario, t0_s=span[0], t1_s=span[1], why=why),) if why else ()
    plan = stage.plan(f"near_{scenario}" if why else scenario, ego)
    return replace(plan, near=near, overlays=tuple(overlays), dropouts=dropouts, fellows=stage.company(lane, speed_mps=v0)[:-1])


def disengagement(stage: Stage, level: str) -> Plan:
    """The driver brakes the automation off, or (every other time) pushes through it while it stays on."""
    return _takeover(stage, TAKEOVER_MPS2[level] * stage.pick(0.97, 1.04), "")


def near_disengagement(stage: Stage) -> Plan:
    """A routine cancel: the car goes on as it did."""
    return _takeover(stage, 0.5, "the acceleration changes by 0.5 m/s2 after the automation was switched off, under 1")


def _takeover(stage: Stage, change: float, why: str) -> Plan:
    t = round(stage.pick(8, 13), 2)
    stays = stage.turn % 2 == 1 and not why and change < 3.0
    accel = change if stays else -change
    flags = [_flag("engaged", 0.0, stage.duration_s + 1 if stays else t), _flag("driver_override", t - 0.2, t + 1.2)]
    return _drive(stage, "disengagement", [Push(t + 0.3, t + 2.0, accel)], flags, why, (t, t + 5), v0=stage.pick(10, 12))


def assist_intervention(stage: Stage, level: str) -> Plan:
    """A collision warning (L1), emergency braking or stability control (L2), emergency braking with 6 m/s2 (L3)."""
    t, brake = round(stage.pick(9, 13), 2), BRAKE_MPS2[level] * stage.pick(0.97, 1.04)
    flags = [_flag("fcw", t - 0.8, t + 0.6)]
    if level == "L2" and stage.turn % 2:
        return _drive(stage, "assist_intervention", [Push(t, t + 1.0, -1.5)], [_flag("esc", t, t + 0.9)], "", (t, t + 1))
    flags += [_flag("aeb", t, t + 1.3)] if level != "L1" else []
    return _drive(stage, "assist_intervention", [Push(t, t + 1.3, -brake)], flags, "", (t - 0.8, t + 1.3), smooth_s=0.3)


def near_assist_intervention(stage: Stage) -> Plan:
    """The driver brakes before anything warns, and the warning flickers for a single message."""
    t = round(round(stage.pick(9, 13) * 20) / 20, 2)  # a message of the vehicle's 20 Hz
    why = "the driver brakes; the warning is up for one message of 0.05 s, under 0.1 s"
    return _drive(stage, "assist_intervention", [Push(t, t + 1.5, -2.2)], [_flag("fcw", t - 0.51, t - 0.47)], why, (t - 1, t + 2))


def gnss_loss(stage: Stage, level: str) -> Plan:
    """The receiver falls silent for 3 s, or its fixes jump by 8 m for a second."""
    t = round(stage.pick(8, 13), 1)
    if stage.turn % 2:
        return _drive(stage, "gnss_loss", [], _jump(stage, t, stage.pick(9, 12)), "", (t, t + 1.2))
    gap = Dropout(topic="/gnss", t0_s=t, t1_s=round(t + stage.pick(2.6, 4.0), 1))
    return _drive(stage, "gnss_loss", [], [], "", (gap.t0_s, gap.t1_s), dropouts=(gap,))


def near_gnss_loss(stage: Stage) -> Plan:
    """A silence of 1.5 s; every other time a long one while the ego stands."""
    t = round(stage.pick(8, 10), 1)
    if stage.turn // 4 % 2:
        gap = Dropout(topic="/gnss", t0_s=round(t + 7, 1), t1_s=round(t + 10.5, 1))
        pushes = [Push(t, t + 6.0, -2.0), Push(t + 12, t + 15, 1.5)]
        return _drive(stage, "gnss_loss", pushes, [], "the ego stands", (gap.t0_s, gap.t1_s), v0=10.5, dropouts=(gap,))
    gap = Dropout(topic="/gnss", t0_s=t, t1_s=round(t + 1.6, 1))
    return _drive(stage, "gnss_loss", [], [], "no fix for 1.6 s, under 2 s", (gap.t0_s, gap.t1_s), dropouts=(gap,))


def _jump(stage: Stage, t_s: float, metres: float) -> list[Overlay]:
    """Fixes that lie some metres to the north-east for 1.2 s."""
    lat = metres * 0.7071 / EARTH_M_PER_DEG
    lon = lat / float(np.cos(np.radians(stage.place.lat_deg)))
    shifts = (("lat_deg", lat), ("lon_deg", lon))
    return [Overlay("/gnss", name, t_s - 0.05, t_s + 1.15, lambda t, before, by=by: before + by) for name, by in shifts]  # type: ignore[misc]


def speed_bump_pothole(stage: Stage, level: str) -> Plan:
    """A speed bump after slowing down, or (every other time) a pothole under the wheels of one side."""
    return _jolt(stage, 5.5 if stage.turn % 2 == 0 else 8.0, "", hole=stage.turn % 2 == 1)


def near_speed_bump_pothole(stage: Stage) -> Plan:
    """A worn bump: 2.0 m/s2."""
    return _jolt(stage, 2.0, "the vertical acceleration of 2.0 m/s2 stays under 2.5", hole=False)


def _jolt(stage: Stage, peak: float, why: str, *, hole: bool) -> Plan:
    t, v = round(stage.pick(10, 13), 2), stage.pick(9, 11) if hole else stage.pick(5, 6.5)
    slow = [] if hole else [Push(t - 5, t - 1, -1.4), Push(t + 2, t + 6, 1.0)]
    width = 0.11 if hole else 0.34
    lays = [Overlay("/imu", "az_mps2", at, at + width, _pulse(at, width, peak, hole)) for at in (t, round(t + WHEELBASE_M / v, 2))]
    lays += [Overlay("/imu", "roll_rate_radps", t, t + 0.2, lambda s, b: b + 0.4 * np.sin((s - t) / 0.2 * 2 * np.pi))] if hole else []
    return _drive(stage, "speed_bump_pothole", slow, lays, why, (t, t + 1), v0=v + (0.0 if hole else 5.6))


def _pulse(at_s: float, width_s: float, peak: float, hole: bool) -> Callable[[Array, Array], Array]:
    """Up and down over a bump; down into a hole and less far up."""

    def shaken(t: Array, before: Array) -> Array:
        u = (t - at_s) / width_s
        wave = np.where(u < 0.7, -np.sin(np.pi * u / 0.7), 0.4 * np.sin(np.pi * (u - 0.7) / 0.3)) if hole else np.sin(2 * np.pi * u)
        return np.asarray(before + peak * wave)

    return shaken


def low_grip_slip(stage: Stage, level: str) -> Plan:
    """Wheels that spin or lock on a wet or white road; every third time ABS says so."""
    share = (0.83, 1.22, 0.93)[stage.turn % 3]
    return _slip(stage, share, "", abs_=stage.turn % 3 == 2)


def near_low_grip_slip(stage: Stage) -> Plan:
    """Six per cent of slip."""
    return _slip(stage, 0.93, "the slip of 7 % stays under 10 %", abs_=False)


def _slip(stage: Stage, share: float, why: str, *, abs_: bool) -> Plan:
    t, last = round(stage.pick(9, 13), 2), stage.pick(0.6, 1.1)
    lays = [Overlay("/vehicle", "wheel_speed_mps", t, t + last, lambda s, before: before * share)]
    lays += [_flag("abs", t, t + last)] if abs_ else []
    return _drive(stage, "low_grip_slip", [Push(t, t + last, 1.2 if share > 1 else -2.0)], lays, why, (t, t + last))


def slippery(turn: int, near: bool) -> Condition:
    """Rain or snow by day."""
    return Condition(lighting="day", weather="snow" if turn % 2 else "rain")


PLANTED: dict[str, Planted] = {
    "disengagement": (disengagement, ("L1", "L1", "L2")), "assist_intervention": (assist_intervention, ("L1", "L3", "L2", "L2")),
    "gnss_loss": (gnss_loss, ("L1",)), "speed_bump_pothole": (speed_bump_pothole, ("L1",)), "low_grip_slip": (low_grip_slip, ("L1",)),
}  # fmt: skip
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "disengagement": near_disengagement, "assist_intervention": near_assist_intervention, "gnss_loss": near_gnss_loss,
    "speed_bump_pothole": near_speed_bump_pothole, "low_grip_slip": near_low_grip_slip,
}  # fmt: skip
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {"low_grip_slip": slippery}
