"""Scripts made by the place: pedestrians, the light, the intersection at night, the curve; and sensors that fall silent."""

from dataclasses import replace
from typing import Literal

import numpy as np

from flywheel.ego import FRONT_M
from flywheel.fleet.motion import Push, profile, straight
from flywheel.fleet.scene import LightState
from flywheel.fleet.stage import Dropout, NearMiss, Plan, Scripted, Stage

WALK_MPS = 1.4
# Smallest arrival time (s) and deceleration (m/s2): the ego ends sqrt-law metres before the pedestrian (see acts_traffic).
ARRIVAL = {"L1": (2.45, 2.0), "L2": (1.5, 2.5), "L3": (0.75, 7.6)}
GAP_S = {"L1": 0.9, "L2": 3.2, "L3": 6.4}


def pedestrian_crossing(stage: Stage, level: str) -> Plan:
    """A pedestrian steps out between parked cars, or onto the crosswalk against the light, and the ego stops."""
    arrival, decel = ARRIVAL[level]
    return _crossing(stage, arrival=arrival * stage.pick(0.93, 1.06), decel=decel, why=())


def near_pedestrian_crossing(stage: Stage) -> Plan:
    """A pedestrian crosses far ahead, or walks up to the kerb and waits there."""
    if stage.turn % 2:
        return _crossing(stage, arrival=4.0, decel=1.1, why=("the ego is never nearer than about 4 s while the pedestrian is in its lane",))
    return _kerb(stage)


def _walker(stage: Stage, *, s_m: float, lane_d_m: float, t_c: float, stop_d_m: float, start_d_m: float) -> Scripted:
    """A pedestrian who leaves a sidewalk at start_d, is on the line lane_d at t_c and stops at stop_d."""
    t_go, t_halt = t_c - abs(lane_d_m - start_d_m) / WALK_MPS, t_c + abs(stop_d_m - lane_d_m) / WALK_MPS
    pushes = [Push(t_go - 0.25, t_go + 0.25, WALK_MPS / 0.5), Push(t_halt - 0.25, t_halt + 0.25, -WALK_MPS / 0.5)]
    prof = profile(0.0, pushes, duration_s=stage.duration_s)
    x, y, heading = stage.road.pose(s_m, lane_d_m)
    way_c = prof.way_at(t_go) + WALK_MPS * (t_c - t_go)
    course = float(heading) + np.sign(lane_d_m - start_d_m) * np.pi / 2
    start = (float(x) - way_c * np.cos(course), float(y) - way_c * np.sin(course))
    return Scripted("walker", "pedestrian", straight(prof, x_m=start[0], y_m=start[1], heading_rad=float(course), t0_s=0.0))


def _crossing(stage: Stage, *, arrival: float, decel: float, why: tuple[str, ...]) -> Plan:
    v0, t_b, lane = stage.pick(11, 12.5), stage.pick(9, 10.5), int(stage.rng.integers(2))
    t_stop, rest = t_b + v0 / decel, arrival**2 * decel / 2
    prof = profile(v0, [Push(t_b, t_stop, -decel), Push(t_stop + 2, t_stop + 8, 1.3)], duration_s=stage.duration_s, smooth_s=0.3)
    at_crosswalk = stage.turn % 2 == 1 and not why
    s_walk = stage.network.junction_in_s_m + 2.0 if at_crosswalk else stage.pick(370, 470)
    ego = stage.ego(prof, lane=lane, at=(t_stop + 1, s_walk - rest - FRONT_M))
    t_c, side = t_stop - arrival + 0.25, 1.0 if stage.rng.random() < 0.65 else -1.0
    start_d = side * stage.place.sidewalk_d_m
    walker = _walker(stage, s_m=s_walk, lane_d_m=stage.place.lane_d_m(lane), t_c=t_c, stop_d_m=-start_d, start_d_m=start_d)
    near = tuple(NearMiss(scenario="pedestrian_crossing", t0_s=t_c - 1, t1_s=t_c + 1, why=text) for text in why)
    kind = "near_pedestrian_crossing" if why else "pedestrian_crossing"
    return replace(stage.plan(kind, ego), actors=(walker,), near=near, oncoming=False, clear_s_m=(s_walk,))


def _kerb(stage: Stage) -> Plan:
    v0, t_p, lane = stage.pick(11, 12.5), stage.pick(11, 14), int(stage.rng.integers(2))
    s_p = stage.pick(320, 380)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(t_p, s_p))
    kerb_d = -(stage.place.kerb_m + 1.2)
    start_d = stage.place.sidewalk_d_m
    walker = _walker(stage, s_m=s_p + FRONT_M + 6.0, lane_d_m=kerb_d, t_c=t_p - 2.5, stop_d_m=kerb_d, start_d_m=start_d)
    near = NearMiss(scenario="pedestrian_crossing", t0_s=t_p - 3, t1_s=t_p + 1, why="the pedestrian stops at the kerb, outside the lane")
    return replace(stage.plan("near_pedestrian_crossing", ego), actors=(walker,), near=(near,), clear_s_m=(s_p + 9.7,))


def red_light_stop(stage: Stage, level: str) -> Plan:
    """The light turns red and the ego stops at its line (firmly, every third time), then drives on at green."""
    decel = 3.6 if stage.turn % 3 == 2 else stage.pick(1.6, 1.9)
    return _light(stage, short_m=stage.pick(1.2, 3.2), crawl=0.0, why=(), decel=decel)


def near_red_light_stop(stage: Stage) -> Plan:
    """The ego stops 8 m before the line, or rolls towards it and never stands."""
    if stage.turn % 2:
        return _light(stage, short_m=8.0, crawl=0.0, why=("the ego stands 8 m before the line, over 5 m",))
    return _light(stage, short_m=4.0, crawl=1.6, why=("the ego rolls at 1.6 m/s and never stands",))


def _light(stage: Stage, *, short_m: float, crawl: float, why: tuple[str, ...], decel: float = 1.75) -> Plan:
    v0, t_b, lane = stage.pick(12, 13.5), stage.pick(5.5, 7.5), int(stage.rng.integers(stage.place.lanes))
    t_stop = t_b + (v0 - crawl) / decel
    t_go = t_stop + (1.5 if crawl else stage.pick(4, 6))
    prof = profile(v0, [Push(t_b, t_stop, -decel), Push(t_go, t_go + 6, 1.5)], duration_s=stage.duration_s)
    ego = stage.ego(prof, lane=lane, at=(t_go - 0.3, stage.network.stop_line_s_m - short_m - FRONT_M))
    lights: tuple[tuple[float, LightState], ...] = ((-1e6, "green"), (t_b - 4.5, "yellow"), (t_b - 1.5, "red"), (t_go - 0.8, "green"))
    near = tuple(NearMiss(scenario="red_light_stop", t0_s=t_stop - 1, t1_s=t_go, why=text) for text in why)
    kind = "near_red_light_stop" if why else "red_light_stop"
    fellows = tuple(f for f in stage.company(lane, speed_mps=v0))
    return replace(stage.plan(kind, ego), lights=lights, near=near, fellows=fellows)


def night_intersection_lane_change(stage: Stage, level: str) -> Plan:
    """A lane change about 18 m before the junction, by night in rain, fog or snow."""
    return _change(stage, before_m=stage.pick(16.5, 19.5), why=())


def near_night_intersection_lane_change(stage: Stage) -> Plan:
    """The same lane change 70 m before the junction, or under a clear sky or by day (the condition says which)."""
    dark = stage.condition.lighting == "night" and stage.condition.weather != "clear"
    if dark:
        return _change(stage, before_m=70.0, why=("the lane change is 70 m before the junction, over 30 m",))
    return _change(stage, before_m=18.0, why=(f"{stage.condition.name} is not dark with low visibility",))


def _change(stage: Stage, *, before_m: float, why: tuple[str, ...]) -> Plan:
    v0, t_x, lane = stage.pick(10, 11.5), stage.pick(11, 14), int(stage.rng.integers(2))
    s_x = stage.network.junction_in_s_m - FRONT_M - before_m
    half = 1.75 * v0
    by = stage.place.lane_d_m(1 - lane) - stage.place.lane_d_m(lane)
    prof = profile(v0, [], duration_s=stage.duration_s)
    ego = stage.ego(prof, lane=lane, at=(t_x, s_x), shifts=[(s_x - half, s_x + half, by)])
    scenario = "night_intersection_lane_change"
    near = tuple(NearMiss(scenario=scenario, t0_s=t_x - 2, t1_s=t_x + 2, why=text) for text in why)
    kind = f"near_{scenario}" if why else scenario
    return replace(stage.plan(kind, ego), near=near, fellows=stage.company(0, 1, speed_mps=v0)[:-1])


def curve_speed_adaptation(stage: Stage, level: str) -> Plan:
    """The driver slows for the curve and takes it at about 2.1 m/s2."""
    return _curve(stage, lateral_mps2=2.15, decel=1.1, v_in=None, why=())


def near_curve_speed_adaptation(stage: Stage) -> Plan:
    """The curve is taken slowly (1.15 m/s2), or with hardly any braking before it."""
    if stage.turn % 2:
        return _curve(stage, lateral_mps2=2.1, decel=0.28, v_in=1.3, why=("mean deceleration 0.28 m/s2, under 0.5",))
    return _curve(stage, lateral_mps2=1.1, decel=1.2, v_in=None, why=("lateral acceleration at the apex 1.1 m/s2, under 1.5",))


def bend(stage: Stage) -> Plan:
    """Nothing happens: the curve at a steady, slow speed."""
    return _curve(stage, lateral_mps2=1.05, decel=0.0, v_in=0.0, why=())


def _curve(stage: Stage, *, lateral_mps2: float, decel: float, v_in: float | None, why: tuple[str, ...]) -> Plan:
    place, lane, t_c = stage.place, int(stage.rng.integers(stage.place.lanes)), stage.pick(11, 13)
    s_mid = place.curve_s_m + place.curve_m / 2
    kappa = abs(float(stage.road.curvature(s_mid, place.lane_d_m(lane))))
    v_c = float(np.sqrt(lateral_mps2 / kappa))
    v0 = v_c + v_in if v_in is not None else max(v_c + 2.6 * decel, 16.2)
    start = t_c - ((v0 - v_c) / decel if decel else 0.0)
    arc_s = place.curve_m / v_c
    ease = 0.1 if decel else 0.0
    pushes = [Push(start, t_c, -decel), Push(t_c + 1.5, t_c + 5.5, -ease), Push(t_c + arc_s + 1, t_c + arc_s + 5, 0.9)]
    prof = profile(v0, pushes, duration_s=stage.duration_s)
    ego = stage.ego(prof, lane=lane, at=(t_c, place.curve_s_m - 2.0))
    near = tuple(NearMiss(scenario="curve_speed_adaptation", t0_s=start, t1_s=t_c + 4, why=text) for text in why)
    kind = "near_curve_speed_adaptation" if why else "curve_speed_adaptation" if decel else "quiet_bend"
    return replace(stage.plan(kind, ego), near=near)


def sensor_dropout(stage: Stage, level: str) -> Plan:
    """A quiet drive in which the IMU or the GNSS receiver falls silent."""
    t0 = round(stage.pick(8, 14), 1)
    return _silent(stage, Dropout(topic=_topic(stage), t0_s=t0, t1_s=round(t0 + GAP_S[level], 1)), ())


def near_sensor_dropout(stage: Stage) -> Plan:
    """A gap of 0.4 s: more than three periods, but shorter than half a second."""
    t0 = round(stage.pick(8, 14), 1)
    return _silent(stage, Dropout(topic=_topic(stage), t0_s=t0, t1_s=round(t0 + 0.4, 1)), ("the gap of 0.4 s is under 0.5 s",))


def _topic(stage: Stage) -> Literal["/imu", "/gnss"]:
    return "/gnss" if stage.turn % 2 else "/imu"


def _silent(stage: Stage, gap: Dropout, why: tuple[str, ...]) -> Plan:
    v0, lane = stage.pick(12, 14.5), int(stage.rng.integers(stage.place.lanes))
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(0.0, stage.pick(200, 330)))
    near = tuple(NearMiss(scenario="sensor_dropout", t0_s=gap.t0_s, t1_s=gap.t1_s, why=text) for text in why)
    kind = "near_sensor_dropout" if why else "sensor_dropout"
    return replace(stage.plan(kind, ego), dropouts=(gap,), near=near, fellows=stage.company(lane, speed_mps=v0))
