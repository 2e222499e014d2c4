"""Light and weather on hand-built drives: what counts, how severe, how long, and that an event's condition says the same."""

import dataclasses
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from mined_drives import Build, at_ns

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.hits import Hit
from flywheel.mine.prepare import Drive
from flywheel.mine.signals import CONDITION_NAMES

DAY = {
    "sun_elevation_deg": 40.0,
    "sun_azimuth_rad": 2.0,
    "illuminance_lx": 40_000.0,
    "visibility_m": 20_000.0,
    "rain_mmph": 0.0,
    "snow_mmph": 0.0,
}


def hits(name: str, drive: Drive) -> list[Hit]:
    return detectors()[name](drive, scenario(name))


def under(**sky: object) -> Drive:
    return Build(duration_s=20, sky={**DAY, **sky}).drive()  # type: ignore[dict-item]


def during(since: float, until: float, value: float, otherwise: float) -> np.ndarray:
    t = Build(duration_s=20).t
    return np.where((t >= since) & (t < until), value, otherwise)


@pytest.mark.parametrize(
    ("name", "sky", "level"),
    [
        ("rain", {"rain_mmph": 0.4}, 0), ("rain", {"rain_mmph": 0.6}, 1), ("rain", {"rain_mmph": 2.0}, 2), ("rain", {"rain_mmph": 9.0}, 3),
        ("fog", {"visibility_m": 1100.0}, 0), ("fog", {"visibility_m": 900.0}, 1), ("fog", {"visibility_m": 190.0}, 2),
        ("fog", {"visibility_m": 45.0}, 3), ("fog", {"visibility_m": 190.0, "rain_mmph": 1.0}, 0),
        ("snow", {"snow_mmph": 0.09}, 0), ("snow", {"snow_mmph": 0.2}, 1), ("snow", {"snow_mmph": 0.2, "temperature_c": 3.0}, 0),
        ("snow", {"snow_mmph": 0.2, "temperature_c": 1.0}, 1), ("rain", {"snow_mmph": 0.2, "rain_mmph": 3.0}, 0),
        ("night_dusk", {"sun_elevation_deg": 0.5}, 0), ("night_dusk", {"sun_elevation_deg": -0.5}, 1),
        ("night_dusk", {"sun_elevation_deg": -5.9}, 1), ("night_dusk", {"sun_elevation_deg": -6.1}, 2),
        ("night_dusk", {"sun_elevation_deg": np.nan, "illuminance_lx": 25.0}, 0),
        ("night_dusk", {"sun_elevation_deg": np.nan, "illuminance_lx": 15.0}, 2),
        ("low_sun_glare", {"sun_elevation_deg": 10.0, "sun_azimuth_rad": 0.5}, 1),
        ("low_sun_glare", {"sun_elevation_deg": 10.0, "sun_azimuth_rad": 0.56}, 0),
        ("low_sun_glare", {"sun_elevation_deg": 21.0, "sun_azimuth_rad": 0.0}, 0),
        ("low_sun_glare", {"sun_elevation_deg": 10.0, "sun_azimuth_rad": 0.0, "visibility_m": 500.0}, 0),
    ],
)  # fmt: skip
def test_levels(name: str, sky: dict[str, float], level: int) -> None:
    found = hits(name, under(**sky))
    assert [hit.level for hit in found] == ([level] if level else [])
    if found:
        assert (found[0].t0_ns, found[0].t1_ns) == (at_ns(0), at_ns(20))


@pytest.mark.parametrize(("since", "until", "found"), [(4, 13, 0), (4, 15, 1), (0, 20, 1), (8, 20, 1)])
def test_rain_lasts_ten_seconds(since: float, until: float, found: int) -> None:
    hit = hits("rain", under(rain_mmph=during(since, until, 3.0, 0.0)))
    assert len(hit) == found
    if hit:
        assert (hit[0].t0_ns, hit[0].t1_ns, hit[0].peak) == (at_ns(since), at_ns(until), 3.0)


def test_a_pause_under_ten_seconds_parts_no_rain() -> None:
    t = Build(duration_s=40).t
    for pause, found in ((8, 1), (12, 2)):
        sky = {**DAY, "rain_mmph": np.where((t >= 12) & (t < 12 + pause), 0.0, 3.0)}
        assert len(hits("rain", Build(duration_s=40, sky=sky).drive())) == found  # type: ignore[arg-type]


def test_glare_ends_where_the_road_bends_away() -> None:
    sky = {**DAY, "sun_elevation_deg": 10.0, "sun_azimuth_rad": 0.0}
    found = hits("low_sun_glare", Build(duration_s=20, sky=sky, yaw=lambda t: np.where(t > 8, 0.1, 0.0)).drive())
    assert len(found) == 1 and found[0].t1_ns == pytest.approx(at_ns(8 + np.radians(30) / 0.1), abs=2e8) and found[0].peak < 1


def test_the_condition_of_an_event_says_what_is_mined() -> None:
    values = product((-20.0, -3.0, 10.0, 40.0), (20_000.0, 500.0), (0.0, 0.3, 4.0), (0.0, 1.0))
    for sun, visibility, rain, snow in values:
        drive = under(sun_elevation_deg=sun, sun_azimuth_rad=0.1, visibility_m=visibility, rain_mmph=rain, snow_mmph=snow)
        lighting, _, weather = CONDITION_NAMES[int(drive.conditions(np.array([at_ns(5)]))[0])].rpartition("_")
        assert [name for name in ("fog", "rain", "snow") if hits(name, drive)] == ([weather] if weather != "clear" else [])
        assert [hit.level for hit in hits("night_dusk", drive)] == {"dusk": [1], "night": [2]}.get(lighting, [])
        assert bool(hits("low_sun_glare", drive)) == (lighting == "low_sun")


def test_a_users_threshold_moves_the_condition_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[rain]\nlevels.L1.rain = ">= 2 mm/h"\n')
    names = []
    for users in ("", str(file)):
        monkeypatch.setenv("FLYWHEEL_SCENARIOS", users)
        names.append(CONDITION_NAMES[int(under(rain_mmph=1.0).conditions(np.array([at_ns(5)]))[0])])
    assert names == ["day_rain", "day_clear"]


@pytest.mark.parametrize(("lighting", "levels"), [("night", [2]), ("day", [])])
def test_pictures_tell_night_where_nothing_else_does(lighting: str, levels: list[int]) -> None:
    assert [hit.level for hit in hits("night_dusk", Drive(Build(duration_s=20).tables(), lighting=lighting))] == levels


@pytest.mark.parametrize("name", ["rain", "snow", "fog", "night_dusk", "low_sun_glare"])
def test_what_is_not_said_is_not_evaluable(name: str) -> None:
    said = {"rain": "rain_mmph", "snow": "snow_mmph", "fog": "visibility_m", "night_dusk": "sun_elevation_deg"}.get(name, "sun_azimuth_rad")
    sky = {key: value for key, value in DAY.items() if key not in (said, "illuminance_lx")}
    with pytest.raises(NotEvaluable, match="no "):
        hits(name, Build(duration_s=20, sky=sky).drive())
    with pytest.raises(NotEvaluable, match="no "):
        hits(name, Build(duration_s=20).drive())


def test_glare_needs_a_heading() -> None:
    built = dataclasses.replace(Build(duration_s=20, sky=DAY), without=("heading_rad",))
    with pytest.raises(NotEvaluable, match="heading"):
        hits("low_sun_glare", built.drive())
