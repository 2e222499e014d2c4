"""Every detector on hand-built drives: what counts, what only nearly does, and what cannot be known."""

import numpy as np
import pytest
from mined_drives import LANE_M, WALKER, Build, at_ns, ramp

from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.hits import Hit

NIGHT_RAIN = {
    "sun_elevation_deg": -20.0,
    "sun_azimuth_rad": 0.0,
    "illuminance_lx": 5.0,
    "visibility_m": 3000.0,
    "rain_mmph": 4.0,
    "snow_mmph": 0.0,
}


def hits(name: str, built: Build) -> list[Hit]:
    return detectors()[name](built.drive(), scenario(name))


def near(t_ns: int, seconds: float, tolerance_s: float = 0.25) -> bool:
    return abs(t_ns - at_ns(seconds)) <= tolerance_s * 1e9


@pytest.mark.parametrize(("decel", "level"), [(3.5, 1), (5.0, 2), (7.5, 3)])
def test_hard_braking_is_graded(decel: float, level: int) -> None:
    found = hits("hard_braking", Build(speed=ramp((0, 20), (5, 20), (6.5, 20 - 1.5 * decel), (20, 20 - 1.5 * decel))))
    assert [hit.level for hit in found] == [level]
    assert near(found[0].t0_ns, 5.0) and near(found[0].t1_ns, 6.5) and found[0].peak == pytest.approx(-decel, abs=0.6)


@pytest.mark.parametrize(
    "speed",
    [
        ramp((0, 20), (5, 20), (7, 14.6), (20, 14.6)),  # 2.7 m/s2
        ramp((0, 20), (5, 20), (5.12, 19.5), (20, 19.5)),  # 4 m/s2, but for 0.12 s
        ramp((0, 2.5), (5, 2.5), (5.6, 0.0), (20, 0.0)),  # 4 m/s2 from walking pace
    ],
)
def test_hard_braking_near_misses(speed: object) -> None:
    assert hits("hard_braking", Build(speed=speed)) == []  # type: ignore[arg-type]


def test_two_brakings_less_than_two_seconds_apart_are_one() -> None:
    close = ramp((0, 25), (5, 25), (6, 21), (7, 21), (8, 17), (20, 17))
    apart = ramp((0, 25), (5, 25), (6, 21), (9, 21), (10, 17), (20, 17))
    assert len(hits("hard_braking", Build(speed=close))) == 1
    assert len(hits("hard_braking", Build(speed=apart))) == 2


def entering(since: float, until: float, *, start_m: float = LANE_M) -> object:
    return ramp((0, start_m), (since, start_m), (until, 0.0), (60, 0.0))


def test_cut_in_is_found_at_the_intrusion() -> None:
    built = Build().other("b", lambda t: 25 + 11.5 * t, entering(5, 8))  # type: ignore[arg-type]
    found = hits("cut_in", built)
    assert [(hit.level, hit.actors) for hit in found] == [(1, ("b",))]
    # Its side is 0.3 m inside when its centre is 2.35 m from the lane's centre, which takes 0.99 s of the 3 s.
    assert near(found[0].t0_ns, 5.99, 0.15) and near(found[0].t1_ns, 7.57, 0.15)


def test_cut_in_with_short_ttc_is_critical() -> None:
    built = Build(duration_s=9).other("b", lambda t: 47 + 5.0 * t, entering(4, 6))  # type: ignore[arg-type]
    assert [hit.level for hit in hits("cut_in", built)] == [1]
    hard = Build(duration_s=9, speed=lambda t: np.full_like(t, 20.0)).other("b", lambda t: 85 + 5.0 * t, entering(4, 6))  # type: ignore[arg-type]
    assert [hit.level for hit in hits("cut_in", hard)] == [2]


def test_cut_in_far_ahead_is_none() -> None:
    assert hits("cut_in", Build().other("b", lambda t: 45 + 12.0 * t, entering(5, 8))) == []  # type: ignore[arg-type]


def test_cut_in_behind_another_lead_is_none() -> None:
    built = Build().other("a", lambda t: 15 + 12.0 * t, np.zeros_like).other("b", lambda t: 25 + 12.0 * t, entering(5, 8))  # type: ignore[arg-type]
    assert hits("cut_in", built) == []


def test_the_egos_own_lane_change_makes_no_cut_in() -> None:
    built = Build(sideways=ramp((0, 0), (5, 0), (9, LANE_M), (20, LANE_M))).other(
        "b", lambda t: 25 + 12.0 * t, lambda t: np.full_like(t, LANE_M)
    )
    assert hits("cut_in", built) == []


def test_drifting_to_the_line_and_back_is_no_cut_in() -> None:
    built = Build().other("b", lambda t: 25 + 12.0 * t, ramp((0, LANE_M), (5, LANE_M), (7, 2.5), (9, LANE_M), (20, LANE_M)))
    assert hits("cut_in", built) == []


@pytest.mark.parametrize(("until", "level"), [(7.4, 1), (8.0, 2), (8.6, 3)])
def test_low_ttc_is_graded(until: float, level: int) -> None:
    # Closing at 6 m/s on a gap of 55 m: contact would be after 9.2 s; the lead then speeds up.
    lead = ramp((0, 60.95), (until, 60.95 + 6 * until), (until + 10, 60.95 + 6 * until + 140))
    found = hits("low_ttc", Build(duration_s=12).other("a", lead, np.zeros_like))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("a",))]
    assert near(found[0].t0_ns, 6.17, 0.2)


def test_a_vehicle_beside_the_path_is_no_low_ttc() -> None:
    assert hits("low_ttc", Build(duration_s=12).other("a", lambda t: 60 + 0 * t, lambda t: np.full_like(t, 2.2))) == []


def test_closing_slowly_is_no_low_ttc() -> None:
    assert hits("low_ttc", Build(duration_s=15).other("a", lambda t: 9.5 + 11.2 * t, np.zeros_like)) == []


def test_low_ttc_follows_the_curve() -> None:
    radius, v = 60.0, 12.0
    built = Build(duration_s=8, yaw=lambda t: np.full_like(t, v / radius), lanes=False)
    for now in built.t10:  # parked 60 m along the arc, until passed; a second one straight ahead, off the arc
        angle = (60.0 - v * now) / radius
        for name, x, y, turn in (("on", radius * np.sin(angle), radius * (1 - np.cos(angle)), angle), ("off", 40.0, 0.0, 0.0)):
            built.tracks.append({
                "drive_id": "d", "t_ns": at_ns(now), "track_id": name, "cls": "car", "x_m": x, "y_m": y, "z_m": 0.8, "heading_rad": turn,
                "length_m": 4.5, "width_m": 1.8, "height_m": 1.5, "vx_mps": 0.0, "vy_mps": 0.0,
            })  # fmt: skip
    found = hits("low_ttc", built)
    assert len(found) == 1 and found[0].actors == ("on",)


@pytest.mark.parametrize("lanes", [True, False])
def test_the_road_goes_on_bending_where_the_drive_ends(lanes: bool) -> None:
    # A car parked outside the bend, beyond the last place the ego reached: straight ahead of it, but not on its path.
    radius, v = 60.0, 12.0
    built = Build(duration_s=6, yaw=lambda t: np.full_like(t, v / radius), lanes=lanes)
    for now in built.t10:
        built.tracks.append({
            "drive_id": "d", "t_ns": at_ns(now), "track_id": "off", "cls": "car", "x_m": 90.0 - v * now, "y_m": -1.0, "z_m": 0.8,
            "heading_rad": 0.2, "length_m": 4.5, "width_m": 1.8, "height_m": 1.5, "vx_mps": 0.0, "vy_mps": 0.0,
        })  # fmt: skip
    assert hits("low_ttc", built) == []


def test_a_crossing_pedestrian_is_no_low_ttc_but_a_crossing() -> None:
    built = Build(speed=ramp((0, 8), (6, 8), (9, 1), (20, 1)))
    built.other("p", lambda t: np.full_like(t, 70.0), ramp((0, -8), (20, 12)), cls="pedestrian", heading=np.pi / 2, box=WALKER)
    assert hits("low_ttc", built) == []
    found = hits("pedestrian_crossing", built)
    assert [hit.actors for hit in found] == [("p",)] and near(found[0].t0_ns, 6.8, 0.2) and near(found[0].t1_ns, 9.2, 0.2)


@pytest.mark.parametrize(("place_m", "level"), [(74.0, 1), (67.0, 2), (55.0, 3)])
def test_crossings_are_graded_by_arrival(place_m: float, level: int) -> None:
    # At 5 m/s; in the corridor from 8.8 s to 11.2 s.
    built = Build(speed=lambda t: np.full_like(t, 5.0))
    built.other("p", lambda t: np.full_like(t, place_m), ramp((0, -10), (20, 10)), cls="pedestrian", heading=np.pi / 2, box=WALKER)
    found = hits("pedestrian_crossing", built)
    assert [hit.level for hit in found] == [level]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (lambda t: 60 + 1.4 * t, lambda t: np.full_like(t, -0.5)),  # walks along the road
        (lambda t: np.full_like(t, 60.0), ramp((0, -8), (3, -2.0), (20, -2.0))),  # stops at the kerb
        (lambda t: np.full_like(t, 140.0), ramp((0, -4), (10, 10), (20, 10))),  # far away
    ],
)
def test_crossing_near_misses(x: object, y: object) -> None:
    built = Build(duration_s=8).other("p", x, y, cls="pedestrian", heading=np.pi / 2, box=WALKER)  # type: ignore[arg-type]
    assert hits("pedestrian_crossing", built) == []


STOPPING = ramp((0, 10), (5, 10), (9, 0), (15, 0), (18, 8), (20, 8))  # 70 m driven, then still from 9 s to 15 s


def test_red_light_stop_lasts_until_the_light_changes() -> None:
    built = Build(speed=STOPPING).light("red", 0, 14, 76.0).light("green", 14, 20, 76.0)
    found = hits("red_light_stop", built)
    assert len(found) == 1 and near(found[0].t0_ns, 8.9, 0.2) and near(found[0].t1_ns, 14.0, 0.15)


@pytest.mark.parametrize(("state", "line_m"), [("green", 76.0), ("yellow", 76.0), ("red", 82.0), ("red", 72.0)])
def test_red_light_near_misses(state: str, line_m: float) -> None:
    assert hits("red_light_stop", Build(speed=STOPPING).light(state, 0, 20, line_m)) == []


CHANGE = ramp((0, 0), (8, 0), (12, LANE_M), (20, LANE_M))


def test_night_lane_change_at_a_junction() -> None:
    found = hits("night_intersection_lane_change", Build(sideways=CHANGE, junction_from_to_m=(140, 160), sky=NIGHT_RAIN))
    assert len(found) == 1 and near(found[0].t0_ns, 8.0, 0.3) and near(found[0].t1_ns, 12.0, 0.3)


@pytest.mark.parametrize(
    ("sky", "junction", "sideways"),
    [
        ({**NIGHT_RAIN, "sun_elevation_deg": 10.0, "illuminance_lx": 9000.0}, (140, 160), CHANGE),  # by day
        ({**NIGHT_RAIN, "rain_mmph": 1.0}, (140, 160), CHANGE),  # clear enough
        (NIGHT_RAIN, (200, 220), CHANGE),  # too far before the junction
        (NIGHT_RAIN, (40, 60), CHANGE),  # too far behind it
        (NIGHT_RAIN, (140, 160), ramp((0, 0), (8, 0), (10, 1.4), (12, 0), (20, 0))),  # never leaves its lane
    ],
)
def test_night_lane_change_near_misses(sky: dict[str, float], junction: tuple[float, float], sideways: object) -> None:
    built = Build(sideways=sideways, junction_from_to_m=junction, sky=sky)  # type: ignore[arg-type]
    assert hits("night_intersection_lane_change", built) == []


SLOWS = ramp((0, 16), (4, 16), (8, 12), (20, 12))


def turn(radius_m: float, since: float) -> object:
    return ramp((0, 0), (since, 0), (since + 1.5, 12 / radius_m), (since + 4, 12 / radius_m), (since + 5.5, 0), (30, 0))


def test_slowing_for_a_curve() -> None:
    found = hits("curve_speed_adaptation", Build(speed=SLOWS, yaw=turn(60, 8.5)))  # type: ignore[arg-type]
    assert len(found) == 1 and near(found[0].t0_ns, 4.0, 0.3) and 9.5 < (found[0].t1_ns - at_ns(0)) / 1e9 < 12.8
    assert found[0].peak == pytest.approx(2.4, abs=0.15)


@pytest.mark.parametrize(
    ("speed", "yaw"),
    [
        (SLOWS, turn(40, 8.5)),  # too hard at the apex: 3.6 m/s2
        (SLOWS, turn(110, 8.5)),  # too gentle at the apex: 1.3 m/s2
        (SLOWS, turn(60, 15.0)),  # too late
        (ramp((0, 13), (4, 13), (5.5, 12), (20, 12)), turn(60, 8.5)),  # slows for 1.5 s only
        (ramp((0, 22), (4, 22), (8, 12), (20, 12)), turn(60, 8.5)),  # 2.5 m/s2
        (lambda t: np.full_like(t, 12.0), turn(60, 8.5)),  # does not slow
    ],
)
def test_curve_near_misses(speed: object, yaw: object) -> None:
    assert hits("curve_speed_adaptation", Build(speed=speed, yaw=yaw)) == []  # type: ignore[arg-type]


def test_slowing_behind_a_lead_is_no_curve_adaptation() -> None:
    built = Build(speed=SLOWS, yaw=turn(60, 8.5))  # type: ignore[arg-type]
    way = built.travelled(built.t10)
    built.other("a", lambda t: 25 + np.interp(t, built.t10, way), np.zeros_like)
    assert hits("curve_speed_adaptation", built) == []


@pytest.mark.parametrize(("stream", "seconds", "level"), [("imu", 0.8, 1), ("gnss", 3.0, 2), ("ego", 6.0, 3)])
def test_dropouts_are_graded(stream: str, seconds: float, level: int) -> None:
    found = hits("sensor_dropout", Build(drop={stream: (5.0, 5.0 + seconds)}))
    assert [(hit.level, hit.actors) for hit in found] == [(level, (stream,))]
    assert (found[0].t0_ns, found[0].t1_ns) == (at_ns(5.0), at_ns(5.0 + seconds)) and found[0].peak == pytest.approx(seconds)


def test_a_short_silence_is_no_dropout() -> None:
    assert hits("sensor_dropout", Build(drop={"imu": (5.0, 5.4)})) == []


def test_a_stream_that_stops_for_good_is_a_dropout() -> None:
    found = hits("sensor_dropout", Build(drop={"gnss": (15.0, 21.0)}))
    assert [(hit.actors, hit.t1_ns) for hit in found] == [(("gnss",), at_ns(20.0))]


@pytest.mark.parametrize(
    ("signal", "built"),
    [
        ("lanes", Build(lanes=False)),
        ("tracks", Build()),
        ("lights", Build()),
        ("environment", Build()),
        ("acceleration", Build(without=("ax_mps2", "imu_ax_mps2"))),
        ("path", Build(without=("yaw_rate_radps", "heading_rad"))),
        ("ego speed", Build(without=("speed_mps",))),
    ],
)
def test_what_is_missing_is_said(signal: str, built: Build) -> None:
    drive = built.drive()
    assert drive.missing(signal) == f"no {signal}"  # type: ignore[arg-type]
    assert drive.missing("streams") is None
