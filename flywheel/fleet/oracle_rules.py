"""The rules of the first eight scenarios; `oracle` says what each means."""

from collections.abc import Iterator

import numpy as np

from flywheel.ego import FRONT_M
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import EXIT, Array, Limits, Other, Rule, Truth, View, graded, intervals, nearest, runs, seconds
from flywheel.types import Level

LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")
APEX = 0.95  # of a curve's largest lateral acceleration
RATES_HZ = {"/imu": 100, "/gnss": 10}


def hard_braking(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 1."""
    accel = view.accel_mps2
    for span in intervals(accel <= limits.braking_mps2[0], accel <= EXIT * limits.braking_mps2[0]):
        level = graded([accel <= value for value in limits.braking_mps2], span, least_s=0.3)
        if level and view.speed_mps[span[0]] >= 3.0:
            yield Truth(scenario="hard_braking", level=level, start=span[0], end=span[1])


def low_ttc(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 10."""
    gap, closing, who = nearest(view)
    ttc = np.where(closing >= 1.0, gap / np.maximum(closing, 1.0), np.inf)
    for span in intervals(ttc <= limits.ttc_s[0], ttc <= limits.ttc_s[0] / EXIT):
        level = graded([ttc <= value for value in limits.ttc_s], span, least_s=0.2)
        if level:
            ids = {view.others[k].actor_id for k in who[span[0] : span[1] + 1] if k >= 0}
            yield Truth(scenario="low_ttc", level=level, start=span[0], end=span[1], actors=tuple(sorted(ids)))


def cut_in(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 7."""
    for other in view.others:
        if other.cls in ("pedestrian", "other"):
            continue
        offset, gap = np.abs(other.d_m - view.centre_m), other.gap_m
        inside = (offset - other.width_m / 2 < view.drive.place.lane_m / 2 - 0.3) & other.aligned & (gap > 0)
        for run in runs(inside):
            found = _intrusion(view, limits, other, run[0], gap, offset) if seconds(run) >= 0.3 else None
            if found:
                yield found


def _intrusion(view: View, limits: Limits, other: Other, i: int, gap: Array, offset: Array) -> Truth | None:
    before = slice(max(i - 4 * RATE_HZ, 0), i)
    came = offset[before][~np.isnan(offset[before])]
    if i == 0 or view.lane[i] != view.lane[i - 1] or len(came) == 0 or came.max() < 0.7 * view.drive.place.lane_m:
        return None
    if gap[i] > limits.cut_in_gap_m or not _first_in_lane(view, other, i, float(gap[i])):
        return None
    speed, closing = view.speed_mps[i], view.speed_mps[i] - other.along_mps[i]
    if speed <= 0 or gap[i] / speed > limits.headway_s:
        return None
    close = closing > 0 and gap[i] / closing < closing / 12.0 + limits.cut_in_ttc_s
    settled = np.flatnonzero(offset[i : i + 3 * RATE_HZ] < 0.5)
    end = i + int(settled[0]) if len(settled) else min(i + 3 * RATE_HZ, len(offset) - 1)
    return Truth(scenario="cut_in", level="L2" if close else "L1", start=i, end=end, actors=(other.actor_id,))


def _first_in_lane(view: View, other: Other, i: int, gap_m: float) -> bool:
    rivals = [o for o in view.others if o is not other and o.cls not in ("pedestrian", "other") and o.aligned[i]]
    reach = view.drive.place.lane_m / 2 - 0.3
    return not any(abs(o.d_m[i] - view.centre_m[i]) - o.width_m / 2 < reach and 0 < o.gap_m[i] < gap_m for o in rivals)


def pedestrian_crossing(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 15."""
    for other in view.others:
        if other.cls != "pedestrian":
            continue
        ahead = other.s_m - view.s_m - FRONT_M
        sideways = np.abs(np.gradient(other.d_m, 1 / RATE_HZ)) >= 0.2
        swept = (ahead > 0) & (ahead <= np.maximum(4.0 * view.speed_mps, 8.0))
        inside = (np.abs(other.d_m - view.centre_m) <= 1.2) & swept & sideways
        arrival = np.where(inside, ahead / np.maximum(view.speed_mps, 1e-3), np.inf)
        for run in runs(inside):
            peak = float(arrival[run[0] : run[1] + 1].min())
            held = [level for level, value in zip(LEVELS, limits.arrival_s, strict=True) if peak <= value]
            if held and seconds(run) >= 0.5:
                yield Truth(scenario="pedestrian_crossing", level=held[-1], start=run[0], end=run[1], actors=(other.actor_id,))


def red_light_stop(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 22."""
    line = view.drive.network.stop_line_s_m - view.s_m - FRONT_M
    red = np.array([view.drive.light_at(k / RATE_HZ) == "red" for k in range(len(line))])
    holds = red & (view.speed_mps < 0.3) & (line >= 0) & (line <= limits.stop_line_m)
    for run in runs(holds):
        if seconds(run) >= limits.standing_s:
            yield Truth(scenario="red_light_stop", level="L1", start=run[0], end=run[1])


def night_intersection_lane_change(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 26."""
    air, net = view.drive.environment, view.drive.network
    dark = air.sun_elevation_deg < -6.0 or air.illuminance_lx < limits.dark_lx
    if not dark or (air.visibility_m >= limits.visibility_m and air.rain_mmph < limits.rain_mmph):
        return
    front = view.s_m + FRONT_M
    near = (net.junction_in_s_m - front <= limits.junction_m) & (view.s_m <= net.junction_out_s_m)
    sideways = np.abs(view.v_lat_mps)
    changes = np.flatnonzero(np.diff(view.lane)) + 1
    for span in intervals(sideways >= 0.1, sideways >= EXIT * 0.1):
        crossed = [i for i in changes if span[0] <= i <= span[1] and near[i] and sideways[i] >= 0.1]
        if crossed and seconds(span) >= 1.0:
            yield Truth(scenario="night_intersection_lane_change", level="L1", start=span[0], end=span[1])


def curve_speed_adaptation(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 28."""
    accel, (mild, firm) = view.accel_mps2, limits.easing_mps2
    gap, _, _ = nearest(view)
    headway = gap / np.maximum(view.speed_mps, 0.1)
    bends = runs(np.abs(view.kappa_1pm) >= 1 / 200.0)
    for span in intervals(accel <= mild, accel <= EXIT * mild):
        part = slice(span[0], span[1] + 1)
        if seconds(span) < 2.0 or not firm <= accel[part].mean() <= mild or headway[part].min() < 3.0:
            continue
        ahead = [b for b in bends if b[1] > span[0] and b[0] - span[1] <= 5 * RATE_HZ]
        if not ahead:
            continue
        across = np.abs(view.lateral_mps2[ahead[0][0] : ahead[0][1] + 1])
        apex = ahead[0][0] + int(np.argmax(across >= APEX * across.max()))
        if limits.apex_mps2[0] <= across.max() <= limits.apex_mps2[1] and apex > span[0]:
            yield Truth(scenario="curve_speed_adaptation", level="L1", start=span[0], end=apex)


def sensor_dropout(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 42, from the times at which messages were sent."""
    for topic, rate in RATES_HZ.items():
        step, silent = RATE_HZ // rate, [gap for gap in view.drive.plan.dropouts if gap.topic == topic]
        times = np.arange(0, len(view.s_m), step)
        sent = np.array([t for t in times if not any(gap.t0_s < round(t / RATE_HZ, 3) < gap.t1_s for gap in silent)])
        for k in np.flatnonzero(np.diff(sent) > 3 * step):
            length = (sent[k + 1] - sent[k]) / RATE_HZ
            held = [level for level, value in zip(LEVELS, limits.gap_s, strict=True) if length >= value]
            if held:
                yield Truth(scenario="sensor_dropout", level=held[-1], start=int(sent[k]), end=int(sent[k + 1]), actors=(topic,))


RULES: dict[str, Rule] = {
    "hard_braking": hard_braking, "cut_in": cut_in, "low_ttc": low_ttc, "pedestrian_crossing": pedestrian_crossing,
    "red_light_stop": red_light_stop, "night_intersection_lane_change": night_intersection_lane_change,
    "curve_speed_adaptation": curve_speed_adaptation, "sensor_dropout": sensor_dropout,
}  # fmt: skip
