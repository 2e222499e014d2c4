"""Scripts in which the ego meets other traffic: hard braking, cut-ins, low time to collision, and quiet following.

Residual gaps follow from TTC: at a constant closing deceleration `a` that would end `g` metres short of contact,
the smallest time to collision is sqrt(2 g / a), reached at a closing speed of sqrt(2 a g).
"""

from dataclasses import replace

import numpy as np

from flywheel.fleet.motion import Push, profile, quintic
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.stage import SIZES, NearMiss, Plan, Stage

BRAKE_MPS2 = {"L1": 3.5, "L2": 5.1, "L3": 7.6}
TTC_TARGET = {"L1": (2.2, 2.0, 7.0), "L2": (1.2, 5.1, 8.0), "L3": (0.72, 7.6, 8.0)}  # seconds, m/s2, closing speed m/s


def hard_braking(stage: Stage, level: str) -> Plan:
    """The driver brakes hard for nothing that the sensors see."""
    return _brake(stage, BRAKE_MPS2[level] * stage.pick(0.95, 1.06), ())


def near_hard_braking(stage: Stage) -> Plan:
    """Firm braking at 2.5 m/s2, under the 3.0 of the definition."""
    return _brake(stage, 2.5, ("peak deceleration 2.5 m/s2 stays under 3.0",))


def _brake(stage: Stage, decel: float, why: tuple[str, ...]) -> Plan:
    v0, t_b, lane = stage.pick(14.5, 16.5), stage.pick(9, 12), int(stage.rng.integers(stage.place.lanes))
    hold = 1.3 if decel > 6 else 1.5
    lost = decel * hold
    pushes = [Push(t_b, t_b + hold, -decel), Push(t_b + hold + 2, t_b + hold + 2 + lost / 1.1, 1.1)]
    prof = profile(v0, pushes, duration_s=stage.duration_s, smooth_s=0.3)
    ego = stage.ego(prof, lane=lane, at=(t_b, stage.pick(290, 380)))
    near = tuple(NearMiss(scenario="hard_braking", t0_s=t_b, t1_s=t_b + hold, why=text) for text in why)
    kind = "near_hard_braking" if why else "hard_braking"
    return replace(stage.plan(kind, ego), near=near, fellows=stage.company(lane, speed_mps=v0))


def _intrusion_share(stage: Stage, cls: ActorClass) -> float:
    """Share of a one-lane shift at which a vehicle's nearest side is 0.3 m inside the neighbouring lane."""
    u = np.linspace(0, 1, 2001)
    part = (stage.place.lane_m / 2 + 0.3 - SIZES[cls][1] / 2) / stage.place.lane_m
    return float(np.interp(part, quintic(u), u))


def cut_in(stage: Stage, level: str) -> Plan:
    """A car from the neighbouring lane comes in close ahead (L1: about 1.2 s headway) or slow and very close (L2)."""
    if level == "L1":
        v0 = stage.pick(14, 16)
        cls: ActorClass = "truck" if stage.turn % 4 == 2 else "car"
        return _cut_in(stage, v0=v0, cutter=v0 + 0.5, gap_m=stage.pick(0.9, 1.55) * v0, brake=0.0, why=(), cls=cls)
    v0 = stage.pick(16, 16.6)
    return _cut_in(stage, v0=v0, cutter=v0 - 7.5, gap_m=0.78 * (7.2 / 12 + 0.35) * 7.2 + 0.4, brake=7.6, why=())


def near_cut_in(stage: Stage) -> Plan:
    """A car comes in 2.6 s ahead, at the ego's speed."""
    v0 = stage.pick(13.5, 15)
    return _cut_in(stage, v0=v0, cutter=v0 + 0.3, gap_m=2.6 * v0, brake=0.0, why=("headway 2.6 s at the intrusion, over 2 s",))


def _cut_in(stage: Stage, *, v0: float, cutter: float, gap_m: float, brake: float, why: tuple[str, ...], cls: ActorClass = "car") -> Plan:
    t_i, lane = stage.pick(10, 13), int(stage.rng.integers(2))
    source = 1 - lane
    rest = (v0 - cutter + 1.2) / brake if brake else 0.0
    pushes = [Push(t_i - 0.05, t_i - 0.05 + rest, -brake), Push(t_i + rest + 3, t_i + rest + 5, 0.6)] if brake else []
    prof = profile(v0, pushes, duration_s=stage.duration_s, smooth_s=0.25)
    s_i = stage.pick(290, 330)
    ego = stage.ego(prof, lane=lane, at=(t_i, s_i))
    hurry = [Push(t_i + 0.3, t_i + 2.3, 0.8)] if brake else []
    shift, share = (2.5 if brake else 3.4) * cutter, _intrusion_share(stage, cls)
    centre = stage.ahead(s_i, gap_m, cls=cls)
    by = stage.place.lane_d_m(lane) - stage.place.lane_d_m(source)
    moving = profile(cutter, hurry, duration_s=stage.duration_s)
    shifts = [(centre - share * shift, centre + (1 - share) * shift, by)]
    other = stage.vehicle("cutter", moving, lane=source, at=(t_i, centre), shifts=shifts, cls=cls)
    near = tuple(NearMiss(scenario="cut_in", t0_s=t_i, t1_s=t_i + 3, why=text) for text in why)
    fellows = stage.company(0, 1, speed_mps=v0)
    kind = "near_cut_in" if why else "cut_in"
    return replace(stage.plan(kind, ego), actors=(other,), near=near, fellows=fellows)


def low_ttc(stage: Stage, level: str) -> Plan:
    """The ego comes up to a slower car or truck and brakes late."""
    ttc, decel, closing = TTC_TARGET[level]
    return _close_up(stage, ttc=ttc * stage.pick(0.93, 1.06), decel=decel, closing=closing, why=())


def near_low_ttc(stage: Stage) -> Plan:
    """The ego brakes early: the smallest time to collision stays over 3.6 s."""
    return _close_up(stage, ttc=3.9, decel=1.2, closing=6.0, why=("smallest time to collision about 3.9 s, over 3 s",))


def _close_up(stage: Stage, *, ttc: float, decel: float, closing: float, why: tuple[str, ...]) -> Plan:
    lead_v, t_b, lane, smooth = stage.pick(7.5, 8.6), stage.pick(8, 10), int(stage.rng.integers(stage.place.lanes)), 0.3
    gap = closing**2 / (2 * decel) + ttc**2 * decel / 2
    t_end = t_b + (closing + 1.0) / decel
    pushes = [Push(t_b, t_end, -decel), Push(t_end + 3, t_end + 5, 0.5)]
    prof = profile(lead_v + closing, pushes, duration_s=stage.duration_s, smooth_s=smooth)
    s_b = stage.pick(300, 340)
    cls: ActorClass = "truck" if stage.rng.random() < 0.35 else "car"
    ego = stage.ego(prof, lane=lane, at=(t_b, s_b))
    steady = profile(lead_v, [], duration_s=stage.duration_s)
    lead = stage.vehicle("lead", steady, lane=lane, at=(t_b, stage.ahead(s_b, gap, cls=cls)), cls=cls)
    near = tuple(NearMiss(scenario="low_ttc", t0_s=t_b - 1, t1_s=t_end, why=text) for text in why)
    fellows = tuple(f for f in stage.company(lane, speed_mps=lead_v + closing) if f.lane != lane)
    kind = "near_low_ttc" if why else "low_ttc"
    return replace(stage.plan(kind, ego), actors=(lead,), near=near, fellows=fellows)


def follow(stage: Stage) -> Plan:
    """Nothing happens: the ego follows a car at about 2.8 s and passes a green light."""
    v0, lane = stage.pick(12, 14), int(stage.rng.integers(stage.place.lanes))
    t_a = stage.pick(5, 9)
    pushes = [Push(t_a, t_a + 3, 0.4), Push(t_a + 6, t_a + 9, -0.4)]
    later = [Push(p.t0_s + 0.5, p.t1_s + 0.5, p.accel_mps2) for p in pushes]
    s0 = stage.pick(230, 330)
    ego = stage.ego(profile(v0, later, duration_s=stage.duration_s), lane=lane, at=(0.0, s0))
    prof = profile(v0, pushes, duration_s=stage.duration_s)
    lead = stage.vehicle("lead", prof, lane=lane, at=(0.0, stage.ahead(s0, 2.8 * v0)))
    return replace(stage.plan("quiet_follow", ego), actors=(lead,), fellows=stage.company(lane, speed_mps=v0))


def change_lane(stage: Stage) -> Plan:
    """Nothing happens: an unhurried lane change on a free road, far from the junction."""
    v0, lane, t_x = stage.pick(12, 14), int(stage.rng.integers(2)), stage.pick(8, 11)
    s_x, half = stage.pick(300, 380), 2.0 * v0
    by = stage.place.lane_d_m(1 - lane) - stage.place.lane_d_m(lane)
    prof = profile(v0, [], duration_s=stage.duration_s)
    return stage.plan("quiet_lane_change", stage.ego(prof, lane=lane, at=(t_x, s_x), shifts=[(s_x - half, s_x + half, by)]))
