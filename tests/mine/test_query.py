"""Composite queries: what is refused and why, what holds when, what nobody can know, and a user's scenarios mined like ours."""

import json
from pathlib import Path

import numpy as np
import pytest
from mined_drives import LANE_M, WALKER, Build, at_ns, ramp

from flywheel.errors import BadData, NotEvaluable
from flywheel.mine import run
from flywheel.mine.adhoc import run_query
from flywheel.mine.catalogue import catalogue, scenario
from flywheel.mine.composite import ask
from flywheel.mine.describe import described
from flywheel.mine.detectors import hits_of, seen
from flywheel.mine.prepare import Drive
from flywheel.mine.query import leaves, parse, read_query
from flywheel.mine.run import load_drive, mine_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table

SKY = {
    "sun_elevation_deg": -20.0, "sun_azimuth_rad": 0.0, "illuminance_lx": 5.0, "visibility_m": 3000.0, "rain_mmph": 4.0, "snow_mmph": 0.0,
}  # fmt: skip
BRAKES = ramp((0, 20), (5, 20), (6.5, 14), (12, 14), (13.5, 8), (20, 8))
HARD = {"scenario": "hard_braking"}
FAST = {"signal": "speed_mps", "above": 17.0}

# Row 26 as data: the lane change whose crossing of the line lies near a junction, in the dark and in low visibility.
NIGHT = """
[night_change_as_query]
definition = "Row 26 of the catalogue as a query."
min_duration_s = 1.0
where = { overlapping = [
  { relation = "changing_lanes" },
  { and = [
    { relation = "crossing_lane_line" },
    { relation = "near_intersection", within_m = 30 },
    { or = [{ signal = "sun_elevation_deg", below = -6 }, { signal = "illuminance_lx", below = 20 }] },
    { or = [{ signal = "visibility_m", below = 1000 }, { signal = "rain_mmph", at_least = 1.9 }] },
  ] },
] }
"""
GRADED = """
[b]
definition = "d"
where = { scenario = "hard_braking" }
[long]
definition = "d"
where = { signal = "speed_mps", above = 17 }
levels.L1.duration = ">= 2 s"
levels.L2.duration = ">= 5 s"
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own catalogue file, still empty."""
    file = tmp_path / "mine.toml"
    file.write_text("")
    monkeypatch.setenv("FLYWHEEL_SCENARIOS", str(file))
    return file


def spans(built: Build, query: object) -> list[tuple[float, float]]:
    """When a query surely holds, in seconds."""
    answer, _ = ask(built.drive(), parse(query), hits_of=hits_of)
    return [(round(a / 1e9, 1), round(b / 1e9, 1)) for a, b in zip(answer.sure.t0_ns, answer.sure.t1_ns, strict=True)]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("rain", "is no query: write a table with one of and, or"),
        ({}, "names no operator"),
        ({"nd": []}, "did you mean and"),
        ({"and": [], "or": []}, "has and and or"),
        ({"and": []}, "write a list of 1 or more"),
        ({"and": [HARD, {"scenario": "hard_brakng"}]}, r"where\.and\[1\]: no scenario 'hard_brakng'; did you mean hard_braking"),
        ({"not": {"relation": "near"}}, r"where\.not: no relation 'near'; did you mean near_"),
        ({"relation": "near_objects"}, "of: Field required"),
        ({"relation": "near_objects", "of": "unicorn"}, "no class 'unicorn'.*there are animal, any"),
        ({"relation": "turning", "direction": "up"}, "direction: Input should be 'left' or 'right'"),
        ({"relation": "stationary", "for_s": 3}, "for_s: Extra inputs"),
        ({"signal": "visibility"}, "did you mean visibility_m"),
        ({"signal": "visibility_m"}, "give below, at_most, above or at_least"),
        ({"then": [HARD]}, "write a list of 2 or more"),
        ({"then": [HARD, HARD]}, "within_s: Field required"),
        ({"then": [HARD, HARD], "within_s": 4000}, "less than or equal to 3600"),
        ({"near": [HARD, FAST]}, "near needs either within_s or within_m"),
        ({"during": [HARD, FAST], "within_s": 1}, "during takes neither"),
        ({"lighting": "gloomy"}, "Input should be 'day'"),
        ({"odd": {"scenery": "bridge"}}, "no scenery value 'bridge'; there are curve, junction"),
        ({"scenario": "hard_braking", "level": "L4"}, "level: Input should be 'L1'"),
    ],
)
def test_a_wrong_query_says_where_why_and_what_there_is(said: object, why: str) -> None:
    with pytest.raises(BadData, match=why):
        parse(said)


def test_queries_are_toml_or_json_text() -> None:
    node = read_query('and = [{ scenario = "hard_braking" }, { lighting = ["night", "dusk"] }]')
    assert node == read_query(json.dumps({"where": {"and": [HARD, {"lighting": ["night", "dusk"]}]}}))
    assert described(node) == "hard_braking and night or dusk" and len(list(leaves(node))) == 2
    with pytest.raises(BadData, match="neither JSON nor TOML"):
        read_query("{ and")
    some = read_query('{"some": "car", "where": {"relation": "stationary"}}')
    assert described(some) == "a car for which stationary"


def test_and_or_not_over_time() -> None:
    built = Build(speed=BRAKES, sky=SKY)
    first, second = spans(built, HARD)
    assert abs(first[0] - 5.0) < 0.2 and abs(second[0] - 12.0) < 0.2
    assert spans(built, {"and": [HARD, FAST]}) == [(first[0], pytest.approx(5.7, abs=0.15))]
    assert spans(built, {"and": [HARD, {"not": FAST}]})[-1] == second
    assert spans(built, {"or": [HARD, FAST]}) == [(0.0, first[1]), second]
    assert spans(built, {"not": {"or": [HARD, FAST]}}) == [(first[1], second[0]), (second[1], 20.0)]


def test_then_during_overlapping_near_and_lasting() -> None:
    built = Build(speed=BRAKES)
    first, second = spans(built, HARD)
    assert spans(built, {"then": [HARD, HARD], "within_s": 6}) == [(first[0], second[1])]
    assert spans(built, {"then": [HARD, HARD], "within_s": 5}) == []
    assert spans(built, {"during": [HARD, {"signal": "speed_mps", "below": 18}]}) == [second]
    assert spans(built, {"overlapping": [HARD, FAST]}) == [first]
    assert spans(built, {"near": [HARD, FAST], "within_s": 5}) == [first]
    assert spans(built, {"near": [HARD, FAST], "within_s": 7}) == [first, second]
    # From 5.75 s, when the car is slower than 17 m/s, to the second braking it drives some 88 m.
    assert spans(built, {"near": [HARD, FAST], "within_m": 80}) == [first]
    assert spans(built, {"near": [HARD, FAST], "within_m": 100}) == [first, second]
    assert spans(built, {"lasting": FAST, "min_s": 5}) and not spans(built, {"lasting": FAST, "min_s": 7})


def test_levels_filter_and_grade(user: Path) -> None:
    assert not spans(Build(speed=BRAKES), {"scenario": "hard_braking", "level": "L2"})
    hard = ramp((0, 20), (5, 20), (6.5, 12.5), (20, 12.5))
    assert len(spans(Build(speed=hard), {"scenario": "hard_braking", "level": "L2"})) == 1
    user.write_text(GRADED)
    (hit,) = hits_of(Build(speed=hard).drive(), scenario("b"))
    assert hit.level == 2 and abs(hit.t_peak_ns - at_ns(5.7)) < 0.8e9
    assert [h.level for h in hits_of(Build(speed=BRAKES).drive(), scenario("long"))] == [2]
    assert [h.level for h in hits_of(Build(speed=ramp((0, 20), (2.5, 20), (4, 14), (20, 14))).drive(), scenario("long"))] == [1]
    assert hits_of(Build(speed=ramp((0, 20), (0.5, 20), (2, 14), (20, 14))).drive(), scenario("long")) == []


def test_what_nobody_can_know_is_neither_yes_nor_no() -> None:
    blind = Build(speed=BRAKES)  # no environment
    night = {"lighting": "night"}
    for query in ({"and": [HARD, night]}, {"and": [HARD, {"not": night}]}):
        answer, reasons = ask(blind.drive(), parse(query), hits_of=hits_of)
        assert len(answer.sure) == 0 and answer.open.total_s == pytest.approx(3.3, abs=0.5) and reasons == ["no environment"]
    settled, _ = ask(blind.drive(), parse({"or": [night, {"signal": "speed_mps", "above": -1}]}), hits_of=hits_of)
    assert len(settled.open) == 0 and settled.sure.total_s == pytest.approx(20, abs=0.1)
    never, _ = ask(blind.drive(), parse({"and": [night, {"signal": "speed_mps", "above": 99}]}), hits_of=hits_of)
    assert len(never.open) == 0 and len(never.sure) == 0


def test_a_gap_in_a_signal_stays_open() -> None:
    gap = Build(drop={"ego": (8.0, 12.0)})
    answer, _ = ask(gap.drive(), parse({"not": {"signal": "speed_mps", "above": 50}}), hits_of=hits_of)
    assert answer.open.total_s == pytest.approx(4, abs=0.3) and answer.sure.total_s == pytest.approx(16, abs=0.3)


def test_some_binds_one_track() -> None:
    """One car stands near, another drives far off: no single car does both."""
    built = Build().other("near", lambda t: 12 * t + 14, lambda t: np.full_like(t, 6.0)).other("far", lambda t: 12 * t + 60, np.zeros_like)
    near = {"relation": "near_objects", "of": "ego", "within_m": 10}
    ahead = {"relation": "heading_toward", "of": "ego", "within_deg": 180, "min_mps": -50, "within_m": 80}
    assert spans(built, {"some": "car", "where": near}) == [(0.0, 20.0)]
    assert spans(built, {"some": "car", "where": {"and": [near, ahead]}}) == [(0.0, 20.0)]
    assert spans(built, {"some": "car", "where": {"not": near}, "min_number": 1}) == [(0.0, 20.0)]
    assert spans(built, {"some": "car", "where": near, "min_number": 2}) == [] == spans(built, {"some": "truck"})
    node = parse({"some": "car", "where": near})
    answer, _ = ask(built.drive(), node, hits_of=hits_of)
    assert {name for fact in answer.facts for name in fact.actors} == {"near"}


def test_some_and_a_scenario_mean_that_the_track_takes_part() -> None:
    walker = Build(speed=lambda t: np.full_like(t, 8.0)).other(
        "w", lambda t: np.full_like(t, 100.0), ramp((0, 7), (8, 7), (14, -4), (20, -4)), cls="pedestrian", box=WALKER
    )
    walker.other("c", lambda t: 8 * t + 40, lambda t: np.full_like(t, LANE_M))
    assert len(spans(walker, {"scenario": "pedestrian_crossing"})) == 1
    assert len(spans(walker, {"some": "pedestrian", "where": {"scenario": "pedestrian_crossing"}})) == 1
    assert spans(walker, {"some": "car", "where": {"scenario": "pedestrian_crossing"}}) == []


def put(tmp_path: Path, **drives: Build) -> DiskStore:
    from mining_store import put_drive

    store = DiskStore(tmp_path / "root")
    for name, built in drives.items():
        put_drive(store, name, built)
    return store


def test_a_users_scenario_is_mined_exposed_and_not_evaluable(user: Path, tmp_path: Path) -> None:
    user.write_text(
        '[dark_braking]\ndefinition = "d"\nseverity = 3\nwhere = { and = [{ scenario = "hard_braking" }, { lighting = "night" }] }\n'
    )
    store = put(
        tmp_path,
        dark=Build(speed=BRAKES, sky=SKY),
        blind=Build(speed=BRAKES),
        light=Build(speed=BRAKES, sky=SKY | {"sun_elevation_deg": 40.0}),
    )
    assert mine_batch(store, "b-1").failed == ()
    tables = (read_table(store, name).to_pylist() for name in ("EVENTS", "EXPOSURE"))
    events, exposure = ([row for row in rows if row["scenario"] == "dark_braking"] for rows in tables)
    assert [row["drive_id"] for row in events] == ["dark", "dark"]
    assert {row["params_sha256"] for row in events} == {scenario("dark_braking").digest}
    said = {row["drive_id"]: (row["status"], row["reason"]) for row in exposure}
    assert said == {"dark": ("evaluable", None), "light": ("evaluable", None), "blind": ("not_evaluable", "no environment")}
    assert sum(row["exposure_s"] for row in exposure if row["drive_id"] == "dark") == pytest.approx(20, abs=0.3)
    assert mine_batch(store, "b-1").mined == 0


def test_exposure_counts_only_what_was_decided(user: Path) -> None:
    user.write_text('[slow]\ndefinition = "d"\nwhere = { not = { signal = "speed_mps", above = 50 } }\n')
    drive = Build(drop={"ego": (8.0, 12.0)}).drive()
    assert seen(drive, scenario("slow")).sum() / 10 == pytest.approx(16, abs=0.3)


def test_a_user_overrides_a_threshold_and_keeps_the_rest(user: Path) -> None:
    before = scenario("hard_braking")
    user.write_text('[hard_braking]\nlevels.L1.acceleration = "<= -5 m/s2"\n')
    after = scenario("hard_braking")
    assert after.limits("acceleration") == (-5.0, -4.05, -6.4) and after.definition == before.definition and after.digest != before.digest
    assert [entry.name for entry in catalogue()].count("hard_braking") == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[a]\ndefinition = "d"\nwhere = { scenario = "nothing" }\n', "scenario 'a': where: no scenario 'nothing'"),
        ('[a]\ndefinition = "d"\nwhere = { scenario = "b" }\n[b]\ndefinition = "d"\nwhere = { not = { scenario = "a" } }\n', "a -> b -> a"),
        ('[a]\ndefinition = "d"\nwhere = { scenario = "a" }\n', "asks for itself: a -> a"),
        ('[a]\ndefinition = "d"\nwhere = { lighting = "night" }\nlevels.L1.speed = ">= 3 m/s"\n', "graded by duration and actors"),
    ],
)  # fmt: skip
def test_a_catalogue_that_makes_no_sense_is_refused_before_mining(user: Path, tmp_path: Path, text: str, why: str) -> None:
    user.write_text(text)
    with pytest.raises(BadData, match=why):
        mine_batch(put(tmp_path, a=Build(duration_s=2)), "b-1")


def test_an_ad_hoc_query_over_a_root(tmp_path: Path) -> None:
    store = put(tmp_path, dark=Build(speed=BRAKES, sky=SKY), blind=Build(speed=BRAKES))
    found = run_query(store, parse({"and": [HARD, {"lighting": "night"}]}))
    assert [(event.drive_id, event.condition, event.level) for event in found.events] == [("dark", "night_rain", "L1")] * 2
    assert found.not_evaluable == {"no environment": 1} and found.open_s == pytest.approx(3.3, abs=0.5) and found.drives == 2
    with pytest.raises(BadData, match="has no drives"):
        run_query(DiskStore(tmp_path / "empty"), parse(HARD))


def test_not_evaluable_names_the_part(user: Path) -> None:
    user.write_text(NIGHT)
    with pytest.raises(NotEvaluable, match=r"no lanes.*no environment"):
        hits_of(Build(lanes=False).drive(), scenario("night_change_as_query"))


def change(before_m: float, sky: dict[str, float]) -> Build:
    """A lane change whose middle lies so far before a junction."""
    return Build(speed=lambda t: np.full_like(t, 10.0), sideways=ramp((0, 0), (8, 0), (11.5, LANE_M), (30, LANE_M)), sky=sky,
                 junction_from_to_m=(98.0 + before_m, 118.0 + before_m), duration_s=18.0)  # fmt: skip


@pytest.mark.parametrize("before_m", [5.0, 20.0, 33.0, 45.0, 70.0])
@pytest.mark.parametrize("sky", [SKY, SKY | {"rain_mmph": 0.0}, SKY | {"sun_elevation_deg": 30.0, "illuminance_lx": 9000.0}])
def test_the_night_lane_change_as_a_query_agrees_by_hand(user: Path, before_m: float, sky: dict[str, float]) -> None:
    user.write_text(NIGHT)
    drive = change(before_m, sky).drive()
    ours, query = (hits_of(drive, scenario(name)) for name in ("night_intersection_lane_change", "night_change_as_query"))
    assert len(query) == len(ours) and all(
        abs(a.t0_ns - b.t0_ns) < 0.15e9 and abs(a.t1_ns - b.t1_ns) < 0.15e9 for a, b in zip(ours, query, strict=True)
    )
    assert bool(ours) == (before_m < 33 and sky is SKY)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """Drives of the sample fleet, ingested: two with the lane change at a junction by night, and one that nearly has it."""
    from flywheel.fleet.make import make_drive
    from flywheel.fleet.script import NIGHT as PLANTED
    from flywheel.fleet.script import cast
    from flywheel.ingest.land import land
    from flywheel.ingest.run import ingest_batch

    folder = tmp_path_factory.mktemp("night")
    (folder / "logs").mkdir()
    plays = {near: [i for i in range(400) if cast(i)[:2] == (PLANTED, near)] for near in (False, True)}
    for index in (*plays[False][:2], plays[True][0]):
        make_drive(folder / "logs", seed=4321, index=index, camera=False)
    store = DiskStore(folder / "root")
    ingest_batch(store, land(store, folder / "logs"))
    return store


def test_the_night_lane_change_as_a_query_agrees_on_fleet_drives(user: Path, fleet: DiskStore) -> None:
    user.write_text(NIGHT)
    found = 0
    for row in read_table(fleet, "DRIVES").to_pylist():
        drive = Drive(load_drive(fleet, row["batch_id"], row))
        ours, query = (run._events(drive, scenario(name), run.Exposures(drive, "environment").strata) for name in
                       ("night_intersection_lane_change", "night_change_as_query"))  # fmt: skip
        assert not isinstance(ours, str) and not isinstance(query, str) and len(ours) == len(query)
        for a, b in zip(ours, query, strict=True):
            assert abs(a["t0_ns"] - b["t0_ns"]) <= 2e8 and abs(a["t1_ns"] - b["t1_ns"]) <= 2e8
            assert (a["level"], a["condition"]) == (b["level"], b["condition"])
        found += len(ours)
    assert found >= 2
