"""What the vehicle says of itself, on hand-built drives whose SIGNALS get the columns they need."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from mined_drives import Build, at_ns, ramp

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.hits import Hit
from flywheel.mine.prepare import Drive
from flywheel.tables import conform, rows_table

Course = Callable[[np.ndarray], np.ndarray]
VEHICLE = ("wheel_speed_mps", "engaged", "driver_override", "fcw", "aeb", "abs", "esc")
STRAIGHT = Build(lanes=False)


def flag(*spans: tuple[float, float]) -> Course:
    return lambda t: np.any([(t >= a - 1e-6) & (t < b - 1e-6) for a, b in spans], axis=0).astype(float)


def drive(built: Build, **columns: Course | None) -> Drive:
    """The drive with these columns; what the vehicle says comes at 20 Hz, the rest at 100 Hz; None takes a column away."""
    tables, t = built.tables(), built.t
    signals = tables.signals
    quiet: dict[str, Course | None] = dict.fromkeys(VEHICLE[1:], np.zeros_like)
    for name, course in ({"wheel_speed_mps": built.speed} | quiet | columns).items():
        values = np.full(len(t), np.nan) if course is None else course(t).astype(float)
        values[(np.arange(len(t)) % 5 != 0) & (name in VEHICLE)] = np.nan
        at = signals.column_names.index(name)
        signals = signals.set_column(at, name, pa.array(values, pa.float64(), from_pandas=True))
    return Drive(dataclasses.replace(tables, signals=conform("SIGNALS", signals)))


def hits(name: str, found: Drive) -> list[Hit]:
    return detectors()[name](found, scenario(name))


def braking(decel: float, since: float = 8.0) -> Build:
    return Build(lanes=False, speed=ramp((0, 16), (since, 16), (since + 1.5, 16 - 1.5 * decel), (30, 16 - 1.5 * decel)))


@pytest.mark.parametrize(("decel", "level"), [(0.7, []), (1.4, [1]), (3.6, [2])])
def test_a_takeover_needs_a_change_of_acceleration(decel: float, level: list[int]) -> None:
    found = hits("disengagement", drive(braking(decel, 8.3), engaged=flag((0, 8)), driver_override=flag((7.8, 9))))
    assert [hit.level for hit in found] == level and all((hit.t0_ns, hit.t1_ns) == (at_ns(7.8), at_ns(13)) for hit in found)


def test_overriding_while_engaged_is_a_takeover_and_one_with_switching_off() -> None:
    stays = drive(braking(2.0, 8.3), engaged=flag((0, 30)), driver_override=flag((8, 9)))
    both = drive(braking(2.0, 8.3), engaged=flag((0, 9)), driver_override=flag((8, 9.5)))
    assert [(hit.t0_ns, hit.t1_ns) for hit in hits("disengagement", stays)] == [(at_ns(8), at_ns(13))]
    assert [(hit.t0_ns, hit.t1_ns) for hit in hits("disengagement", both)] == [(at_ns(8), at_ns(14))]


def test_a_driver_who_acted_long_before_did_not_switch_off() -> None:
    assert hits("disengagement", drive(braking(2.0), engaged=flag((4, 8)), driver_override=flag((2, 3)))) == []


def test_a_takeover_needs_the_driver_unless_overrides_are_not_logged() -> None:
    assert hits("disengagement", drive(braking(2.0), engaged=flag((0, 8)))) == []
    assert len(hits("disengagement", drive(braking(2.0), engaged=flag((0, 8)), driver_override=None))) == 1
    assert hits("disengagement", drive(braking(2.0), driver_override=flag((8, 9)))) == []  # by hand all along


@pytest.mark.parametrize(
    ("flags", "decel", "level", "actors"),
    [
        ({"fcw": flag((8, 9))}, 2.0, [1], ("fcw",)),
        ({"fcw": flag((8, 8.05))}, 2.0, [], ()),  # one message
        ({"fcw": flag((7, 9)), "aeb": flag((8, 9.2))}, 4.0, [2], ("aeb", "fcw")),
        ({"aeb": flag((8, 9.4))}, 6.0, [3], ("aeb",)),
        ({"esc": flag((8, 8.5))}, 0.0, [2], ("esc",)),
        ({"abs": flag((8, 8.5))}, 6.0, [], ()),
    ],
)
def test_assistance_by_stages(flags: dict[str, Course], decel: float, level: list[int], actors: tuple[str, ...]) -> None:
    found = hits("assist_intervention", drive(braking(decel), **flags))
    assert [hit.level for hit in found] == level and all(hit.actors == actors for hit in found)
    if level == [1]:
        assert (found[0].t0_ns, found[0].t1_ns) == (at_ns(8), at_ns(9))


def fixes(jump_m: float = 0.0, since: float = 8.0, until: float = 9.0) -> Course:
    """Latitudes of a drive due north at 12 m/s that jump for a while."""
    return lambda t: np.where(
        np.arange(len(t)) % 10 == 0, 48.0 + (12.0 * t + jump_m * ((t >= since) & (t < until))) / 111_195, np.nan
    )  # fmt: skip


@pytest.mark.parametrize(("gap_s", "found"), [(1.5, 0), (2.5, 1)])
def test_gnss_gaps_count_while_moving(gap_s: float, found: int) -> None:
    silent = lambda t: np.where((t > 8) & (t < 8 + gap_s - 1e-6), np.nan, fixes()(t))  # noqa: E731
    lon = lambda t: np.where(np.isfinite(silent(t)), 11.0, np.nan)  # noqa: E731
    got = hits("gnss_loss", drive(STRAIGHT, lat_deg=silent, lon_deg=lon))
    assert [(hit.t0_ns, hit.t1_ns, hit.actors) for hit in got] == [(at_ns(8), at_ns(8 + gap_s), ("gap",))] * found
    parked = Build(lanes=False, speed=ramp((0, 12), (6, 12), (8, 0), (20, 0)))
    assert hits("gnss_loss", drive(parked, lat_deg=lambda t: silent(t) * 0 + 48.0, lon_deg=lon)) == []


@pytest.mark.parametrize(("jump_m", "found"), [(4.0, 0), (7.0, 1)])
def test_gnss_jumps_there_and_back_are_one_loss(jump_m: float, found: int) -> None:
    lon = lambda t: np.where(np.isfinite(fixes()(t)), 11.0, np.nan)  # noqa: E731
    got = hits("gnss_loss", drive(STRAIGHT, lat_deg=fixes(jump_m), lon_deg=lon))
    assert [hit.actors for hit in got] == [("jump",)] * found and all(hit.t0_ns == at_ns(7.9) for hit in got)
    assert all(hit.peak == pytest.approx(jump_m, abs=0.2) for hit in got)


def jolts(peak: float, width_s: float, *at_s: float) -> Course:
    return lambda t: 9.81 + sum(peak * np.sin(np.clip((t - at) / width_s, 0, 1) * np.pi) for at in at_s)


@pytest.mark.parametrize(("peak", "found"), [(2.2, 0), (3.2, 1), (-3.2, 1)])
def test_both_axles_of_a_bump_are_one_event(peak: float, found: int) -> None:
    got = hits("speed_bump_pothole", drive(STRAIGHT, imu_az_mps2=jolts(peak, 0.3, 8.0, 8.4)))
    assert [hit.actors for hit in got] == [("bump",)] * found
    assert all(abs(hit.t0_ns - at_ns(8.09)) < 3e7 and abs(hit.t1_ns - at_ns(8.62)) < 6e7 for hit in got)


@pytest.mark.parametrize(("width_s", "roll", "kind"), [(0.12, 0.3, "pothole"), (0.12, 0.05, "bump"), (0.4, 0.3, "bump")])
def test_a_pothole_is_short_and_rolls_the_car(width_s: float, roll: float, kind: str) -> None:
    found = drive(STRAIGHT, imu_az_mps2=jolts(-7.0, width_s, 8.0), roll_rate_radps=lambda t: roll * ((t >= 8) & (t < 8.1)))
    assert [hit.actors for hit in hits("speed_bump_pothole", found)] == [(kind,)]
    plain = drive(STRAIGHT, imu_az_mps2=jolts(-7.0, 0.12, 8.0))
    assert [hit.actors for hit in hits("speed_bump_pothole", plain)] == [("bump",)]


def test_a_jolt_while_standing_is_none() -> None:
    parked = Build(lanes=False, speed=np.zeros_like)
    assert hits("speed_bump_pothole", drive(parked, imu_az_mps2=jolts(5.0, 0.3, 8.0))) == []


def test_a_slow_imu_cannot_tell() -> None:
    slow = lambda t: np.where(np.arange(len(t)) % 5 == 0, 9.81, np.nan)  # noqa: E731
    with pytest.raises(NotEvaluable, match="50 Hz"):
        hits("speed_bump_pothole", drive(STRAIGHT, imu_az_mps2=slow))


@pytest.mark.parametrize(("share", "found"), [(0.92, 0), (0.87, 1), (1.14, 1)])
def test_slip_of_a_tenth(share: float, found: int) -> None:
    got = hits("low_grip_slip", drive(STRAIGHT, wheel_speed_mps=lambda t: 12.0 * np.where((t >= 8) & (t < 8.6), share, 1.0)))
    assert [hit.actors for hit in got] == [("slip",)] * found and all(hit.t0_ns == at_ns(8) and hit.t1_ns == at_ns(8.6) for hit in got)


def test_slip_is_not_looked_for_at_walking_pace_nor_for_an_instant() -> None:
    creeping = Build(lanes=False, speed=lambda t: np.full_like(t, 2.0))
    assert hits("low_grip_slip", drive(creeping, wheel_speed_mps=lambda t: np.full_like(t, 2.5))) == []
    assert hits("low_grip_slip", drive(STRAIGHT, wheel_speed_mps=lambda t: 12.0 * np.where((t >= 8) & (t < 8.15), 0.8, 1.0))) == []


def test_abs_alone_is_low_grip() -> None:
    found = hits("low_grip_slip", drive(STRAIGHT, wheel_speed_mps=None, abs=flag((8, 8.6))))
    assert [(hit.actors, hit.t0_ns, hit.t1_ns) for hit in found] == [(("abs",), at_ns(8), at_ns(8.6))]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("disengagement", {"engaged": None}),
        ("assist_intervention", {"fcw": None, "aeb": None, "esc": None}),
        ("low_grip_slip", {"wheel_speed_mps": None, "abs": None, "esc": None}),
        ("speed_bump_pothole", {"imu_az_mps2": None}),
        ("gnss_loss", {"lat_deg": None, "lon_deg": None}),
    ],
)
def test_what_is_not_logged_is_not_a_no(name: str, columns: dict[str, None]) -> None:
    with pytest.raises(NotEvaluable):
        hits(name, drive(STRAIGHT, **columns))


def filmed(*, dropped: Callable[[int], bool]) -> Drive:
    """A drive of 20 s with a camera at 10 Hz that loses some frames."""
    frame = {"drive_id": "d", "camera": "front", "kind": "rgb", "media_sha256": "0" * 64, "ext": "jpg", "width_px": 8, "height_px": 8}
    rows = [{**frame, "t_ns": at_ns(k / 10)} for k in range(201) if not dropped(k)]
    return Drive(dataclasses.replace(STRAIGHT.tables(), frames=rows_table("FRAMES", rows)))


def test_a_camera_that_drops_more_than_a_fifth_of_its_frames() -> None:
    """Every third frame is missing from 8 to 14 s; every seventh is not enough; a silence keeps its own level."""
    found = hits("sensor_dropout", filmed(dropped=lambda k: 80 <= k < 140 and k % 3 == 0))
    assert [(hit.level, hit.actors) for hit in found] == [(1, ("camera_front",))]
    assert abs(found[0].t0_ns - at_ns(8.0)) <= 2e8 and abs(found[0].t1_ns - at_ns(13.9)) <= 2e8
    assert hits("sensor_dropout", filmed(dropped=lambda k: k % 7 == 3)) == []
    assert [hit.level for hit in hits("sensor_dropout", filmed(dropped=lambda k: 80 <= k < 105))] == [2]
