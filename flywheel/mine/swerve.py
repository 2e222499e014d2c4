"""The swerve (row 5): to one side and back at once, told from turns and lane changes by where the ego ends up."""

import numpy as np

from flywheel.mine.catalogue import Scenario
from flywheel.mine.ego_motion import lateral
from flywheel.mine.hits import Detector, Hit, together
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints, Reals, Spans, hysteresis, runs
from flywheel.mine.signals import Ego


def swerve(drive: Drive, entry: Scenario) -> list[Hit]:
    """Steering to one side and back, by lateral acceleration or by heading, that is neither a turn nor a lane change."""
    ego = drive.ego
    stretches = together(_reversals(ego, entry) + _excursions(ego, entry), merge_s=entry.merge_s)
    long = [hit for hit in stretches if hit.t1_ns - hit.t0_ns >= entry.min_duration_s * NS]
    return [hit for hit in (_judged(hit, ego, entry) for hit in long) if hit is not None]


def _hits(spans: Spans, clock: Clock) -> list[Hit]:
    times = zip(clock.start_ns(spans).tolist(), clock.end_ns(spans).tolist(), strict=True)
    return [Hit(t0, t1, t0, 0.0, 1) for t0, t1 in times]


def _reversals(ego: Ego, entry: Scenario) -> list[Hit]:
    """Stretches of strong lateral acceleration that are followed soon by one to the other side, or follow one."""
    limit, clock, ay = entry.limit("L1", "lateral"), ego.clock, lateral(ego)
    left, right = (runs(side, clock) for side in (ay >= limit, ay <= -limit))
    first, last = (np.concatenate(pair) for pair in ((left.first, right.first), (left.last, right.last)))
    side, order = np.repeat([1, -1], [len(left), len(right)]), np.argsort(first)
    first, last, side = first[order], last[order], side[order]
    soon = (clock.t_ns[first[1:]] - clock.t_ns[last[:-1]] <= entry.settings["reverses_s"] * NS) & (side[1:] != side[:-1])
    paired = np.concatenate([soon, [False]]) | np.concatenate([[False], soon])
    enter = np.zeros(len(ay), bool)
    enter[first[paired[: len(first)]]] = True
    return _hits(hysteresis(enter, np.abs(ay) >= limit * entry.exit_ratio, clock), clock) if enter.any() else []


def _excursions(ego: Ego, entry: Scenario) -> list[Hit]:
    """Stretches in which the heading is off, to one side, both what it was shortly before and what it is shortly after."""
    lag_ns, clock, heading = int(entry.settings["return_s"] * NS), ego.coarse.clock, ego.turned_rad
    step = max(1, round(lag_ns / max(clock.period_ns, 1)))
    off = np.zeros(len(heading))
    if len(heading) > 2 * step:
        before, after = heading[step:-step] - heading[: -2 * step], heading[step:-step] - heading[2 * step :]
        whole = clock.t_ns[2 * step :] - clock.t_ns[: -2 * step] <= 2.2 * lag_ns
        off[step:-step] = np.where(whole & (before * after > 0), np.minimum(np.abs(before), np.abs(after)), 0.0)
    limit, fast = np.radians(entry.settings["excursion_deg"]), ego.speed[ego.coarse.rows] >= entry.settings["least_speed_mps"]
    return _hits(hysteresis((off >= limit) & fast, (off >= limit * entry.exit_ratio) & fast, clock), clock)


def _judged(hit: Hit, ego: Ego, entry: Scenario) -> Hit | None:
    """The hit with its distance from the ego's line, or None where it is a turn, a lane change or too little."""
    rules, margin, coarse = entry.settings, int(entry.settings["return_s"] * NS), ego.coarse
    at = slice(*np.searchsorted(coarse.clock.t_ns, [hit.t0_ns - margin, hit.t1_ns + margin]))
    heading, t_ns, speed = ego.turned_rad[at], coarse.clock.t_ns[at], ego.speed[coarse.rows[at]]
    if len(t_ns) < 3:
        return None
    turned = heading[-1] - heading[0]
    side = _beside(heading - heading[0] - turned * (t_ns - t_ns[0]) / (t_ns[-1] - t_ns[0]), speed, t_ns)
    if abs(turned) >= np.radians(rules["turn_deg"]) or abs(side[-1]) >= rules["lane_change_m"] or np.abs(side).max() < rules["offset_m"]:
        return None
    furthest = int(np.abs(side).argmax())
    return Hit(hit.t0_ns, hit.t1_ns, int(np.clip(t_ns[furthest], hit.t0_ns, hit.t1_ns)), float(abs(side[furthest])), 1)


def _beside(off_rad: Reals, speed: Reals, t_ns: Ints) -> Reals:
    """Metres to the left of a line, from the heading against it."""
    step = np.diff(t_ns) / NS
    sideways = speed * np.sin(off_rad)
    return np.concatenate([[0.0], np.cumsum(step * (sideways[1:] + sideways[:-1]) / 2)])


DETECTORS: dict[str, Detector] = {"swerve": swerve}
