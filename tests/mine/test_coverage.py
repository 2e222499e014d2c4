"""The ledger: ODD strata, exposure by them, cells by any part of the ODD, gaps, t-wise coverage, the commands and the page."""

import json
import re
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from mined_drives import WALKER, Build, ramp
from mining_store import BRAKES, RAIN, put_drive
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.errors import BadData, FlywheelError
from flywheel.look.coverage_page import coverage_page
from flywheel.mine import workers
from flywheel.mine.catalogue import catalogue
from flywheel.mine.coverage import CoverageCell, coverage, gaps
from flywheel.mine.evidence import parsed_by, read_exposure
from flywheel.mine.odd import encounters, strata
from flywheel.mine.rarity_report import rarity_report
from flywheel.mine.rates import rates
from flywheel.mine.run import mine_batch
from flywheel.mine.twise import driven, twise
from flywheel.mine.unseen import unseen_mass
from flywheel.odd import UNKNOWN, attributes, parse, possible, reduced, written
from flywheel.store import DiskStore
from flywheel.tables import SCHEMAS, read_table, rows_table, write_table

NIGHT = RAIN | {"sun_elevation_deg": -9.0, "illuminance_lx": 3.0, "visibility_m": 300.0}
run = CliRunner().invoke


def values(built: Build, at_s: float = 10.0) -> dict[str, str]:
    """The attribute values of a drive at one time."""
    drive = built.drive()
    found = strata(drive)
    return parse(found.names[found.code[min(round(at_s * 10), len(found.code) - 1)]])


def test_a_stratum_says_all_eight_attributes() -> None:
    found = values(
        Build(sky=NIGHT | {"temperature_c": 12.0}, junction_from_to_m=(100, 140)).other("a", lambda t: 30 + 12 * t, np.zeros_like)
    )
    assert found == {
        "illumination": "night", "rain": "moderate", "snow": "none", "visibility": "low", "temperature": "mild", "scenery": "junction",
        "speed": "30-50", "traffic": "light",
    }  # fmt: skip
    assert written(found) == "night|rain:moderate|snow:none|vis:low|temp:mild|junction|30-50|traffic:light"
    assert parse(written(found)) == found and reduced(written(found), ("rain", "scenery")) == "rain:moderate|junction"


def test_what_a_drive_does_not_say_is_unknown() -> None:
    found = values(Build(lanes=False, without=("yaw_rate_radps", "heading_rad", "x_m", "y_m")))
    assert {name for name, value in found.items() if value == UNKNOWN} == {a.name for a in attributes()} - {"speed"}
    assert values(Build(drop={"ego": (8.0, 12.0)}))["speed"] == UNKNOWN
    assert set(parse("").values()) == {UNKNOWN}


@pytest.mark.parametrize(
    ("name", "column", "cases"),
    [
        (
            "rain",
            "rain_mmph",
            {0.49: "none", 0.5: "light", 1.89: "light", 1.9: "moderate", 8.1: "heavy", 33.9: "heavy", 34.0: "very_heavy"},
        ),
        ("snow", "snow_mmph", {0.0: "none", 0.1: "light", 1.9: "moderate", 8.2: "heavy"}),
        (
            "visibility",
            "visibility_m",
            {49.0: "dense_fog", 50.0: "thick_fog", 199.0: "thick_fog", 200.0: "low", 999.0: "low", 1000.0: "reduced"},
        ),
        ("illumination", "sun_elevation_deg", {-6.1: "night", -5.9: "dusk", 0.1: "day"}),
        ("temperature", "temperature_c", {4.9: "cold", 5.0: "mild", 25.0: "hot"}),
    ],
)
def test_bins_from_both_sides(name: str, column: str, cases: dict[float, str]) -> None:
    for value, expected in cases.items():
        assert values(Build(duration_s=2, sky=NIGHT | {column: value}), 1.0)[name] == expected, value


def test_curves_come_from_the_map_or_the_yaw_rate_and_speed_from_the_ego() -> None:
    bend = Build(lanes=False, yaw=lambda t: np.full_like(t, 12 / 150))
    assert (
        values(bend)["scenery"] == "curve" and values(Build(lanes=False, yaw=lambda t: np.full_like(t, 12 / 250)))["scenery"] == "straight"
    )
    assert values(Build(yaw=lambda t: np.full_like(t, 12 / 150)))["scenery"] == "straight", "the map knows better"
    for speed, expected in ((0.1, "standing"), (8.2, "0-30"), (8.5, "30-50"), (34.0, "120+")):
        assert values(Build(speed=lambda t, v=speed: np.full_like(t, v)))["speed"] == expected


def test_traffic_counts_moving_vehicles_and_encounters_count_road_users_once() -> None:
    built = Build()
    for k in range(6):
        built.other(f"parked{k}", lambda t, k=k: 200.0 + 10 * k + 0 * t, lambda t: 6.0 + 0 * t)
    assert values(built)["traffic"] == "free"
    for k in range(6):
        built.other(f"moving{k}", lambda t, k=k: 12 * t - 20 + 8 * k, lambda t: 3.5 + 0 * t)
    built.other("far", lambda t: 12 * t + 90.0, lambda t: 25.0 + 0 * t).other(
        "thing", lambda t: 60.0 + 0 * t, lambda t: 2.0 + 0 * t, cls="other"
    )
    assert values(built)["traffic"] == "dense"
    met = encounters(built.drive())
    assert met is not None and len(met) == 12, "six parked, six beside; not the far one, and no thing"
    assert encounters(Build().drive()) is None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """Drives of three vehicle-days: in the rain one that brakes and one that does not, a dark one, one with only its own motion."""
    store = DiskStore(tmp_path_factory.mktemp("ledger"))
    put_drive(store, "rich", Build(speed=BRAKES, sky=RAIN).other("a", lambda t: 90 + 12 * t, np.zeros_like))
    put_drive(store, "calm", Build(sky=RAIN).other("p", lambda t: 60 + 0 * t, ramp((0, 9), (20, 9)), cls="pedestrian", box=WALKER))
    put_drive(store, "dark", Build(sky=NIGHT, junction_from_to_m=(50, 90)))
    put_drive(store, "poor", Build(lanes=False))
    mine_batch(store, "b-1")
    return store


def test_exposure_adds_up_over_the_strata_and_every_event_lies_in_one(store: DiskStore) -> None:
    rows = [row for row in read_table(store, "EXPOSURE").to_pylist() if row["scenario"] == "hard_braking"]
    by_drive = {name: [row for row in rows if row["drive_id"] == name] for name in ("rich", "dark")}
    assert sum(row["exposure_s"] for row in by_drive["rich"]) == pytest.approx(20, abs=0.2) and len(by_drive["rich"]) > 1
    assert {parse(row["odd"])["scenery"] for row in by_drive["dark"]} == {"junction", "straight"}
    counted = {(r["drive_id"], r["odd"], r["condition"]): r["events"] for r in rows}
    (event,) = [e for e in read_table(store, "EVENTS").to_pylist() if e["scenario"] == "hard_braking"]
    assert counted[event["drive_id"], event["odd"], event["condition"]] == 1 and sum(counted.values()) == 1


def test_cells_by_any_part_add_up_to_the_same(store: DiskStore) -> None:
    def total(cells: list[CoverageCell]) -> tuple[float, int, int]:
        own = [cell for cell in cells if cell.scenario == "hard_braking"]
        return round(sum(c.exposure_h for c in own), 6), sum(c.real_events for c in own), sum(c.encounters for c in own)

    whole = total(coverage(store, by=()))
    for by in ("condition", "scenery", "illumination,scenery", "odd", "speed,traffic"):
        assert total(coverage(store, by=parsed_by(by))) == whole, by
    assert whole[1:] == (1, 2)
    with pytest.raises(BadData, match="cannot stratify by 'colour'"):
        parsed_by("colour")


def test_a_cell_has_what_a_judge_needs(store: DiskStore) -> None:
    cells = {(cell.scenario, cell.condition): cell for cell in coverage(store)}
    cell = cells["hard_braking", "day_rain"]
    assert (cell.real_events, cell.vehicles, cell.days, cell.last_day, cell.replays, cell.gap) == (1, 2, 1, "2026-11-01", 0, True)
    assert cell.upper_per_h and cell.rate_per_h and cell.upper_per_h > cell.rate_per_h
    assert cell.need == pytest.approx(cell.severity * cell.upper_per_h) and cell.rarity == pytest.approx(
        -np.log10(cell.upper_per_h), abs=1e-4
    )
    never = cells["hard_braking", "day_snow"]
    assert (never.exposure_h, never.rate_per_h, never.need, never.gap) == (0.0, None, None, True)
    assert not cells["rain", "day_clear"].possible and not cells["rain", "day_clear"].gap and cells["rain", "day_clear"].wanted == 0


def test_gaps_come_neediest_first_by_bound_and_not_by_estimate(store: DiskStore) -> None:
    ranked = gaps(coverage(store))
    needs = [cell.need for cell in ranked]
    known = [need for need in needs if need is not None]
    assert needs[: len(needs) - len(known)] == [None] * (len(needs) - len(known)) and known == sorted(known, reverse=True)
    assert any(cell.real_events == 0 and cell.need for cell in ranked), "no event is no reason to rest"
    severe = [cell.severity for cell in ranked if cell.need is None]
    assert severe == sorted(severe, reverse=True)


def test_synthetic_examples_lie_where_they_show_something_and_never_among_the_real(store: DiskStore, tmp_path: Path) -> None:
    own = DiskStore(tmp_path)
    for key in store.list("tables/"):
        own.put(key, store.get(key))
    before = coverage(own, by=("illumination", "snow", "scenery"))
    (event,) = [e for e in read_table(own, "EVENTS").to_pylist() if e["scenario"] == "hard_braking"]
    for k, verdict in enumerate(("accept", "accept", "reject")):
        row = {field.name: "x" for field in SCHEMAS["VARIATIONS"] if not field.nullable and field.type == "string"}
        row |= {"variation_id": f"v{k}", "event_id": event["event_id"], "scenario": "hard_braking", "target_condition": "night_snow"}
        rows = [row | {"t_ns": 1, "seed": 1, "run_seconds": 1.0, "status": "done"}]
        write_table(own, "VARIATIONS", rows_table("VARIATIONS", rows), batch_id="b-1", part=f"v{k}")
        said = {field.name: "x" for field in SCHEMAS["DECISIONS"] if not field.nullable and field.type == "string"}
        said |= {"decision_id": f"d{k}", "subject_id": f"v{k}", "verdict": verdict, "actor_kind": "rule", "decided_t_ns": 1}
        write_table(own, "DECISIONS", rows_table("DECISIONS", [said]), batch_id="b-1", part=f"v{k}")
    cells = {(cell.scenario, cell.odd): cell for cell in coverage(own, by=("illumination", "snow", "scenery"))}
    drawn = cells["hard_braking", "night|snow:unknown|straight"]
    assert (drawn.synthetic, drawn.judged, drawn.real_events, drawn.exposure_h) == (2, 3, 0, 0.0)
    assert drawn.pass_rate == pytest.approx(2 / 3) and drawn.pass_interval and drawn.pass_interval.low < 2 / 3 < drawn.pass_interval.high
    for cell in before:
        now = cells[cell.scenario, cell.odd]
        assert (now.real_events, now.exposure_h, now.rate_per_h) == (cell.real_events, cell.exposure_h, cell.rate_per_h)


def test_rates_per_encounter_leave_out_drives_that_saw_nobody(store: DiskStore) -> None:
    exposure = read_exposure(store)
    per = {unit: rates(exposure, per=unit, scenarios=["hard_braking"])[0] for unit in ("h", "km", "encounter")}
    assert (per["h"].events, per["encounter"].events, per["encounter"].exposure) == (1, 1, 2.0)
    assert per["h"].vehicles == 4 and per["km"].exposure == pytest.approx(1.03, rel=0.02)
    with pytest.raises(BadData, match="no rate per 'week'"):
        rates(exposure, per="week", scenarios=["hard_braking"])


def brute_force(sets: list[tuple[str, set[str]]], strength: int, enough: int) -> tuple[int, int]:
    """(possible, covered) by looking at every tuple of every drive."""
    found = covered = 0
    for chosen in combinations(attributes(), strength):
        for row in product(*(a.values for a in chosen)):
            if possible({a.name: v for a, v in zip(chosen, row, strict=True)}):
                found += 1
                has = lambda odd, row=row, chosen=chosen: all(parse(odd)[a.name] == v for a, v in zip(chosen, row, strict=True))  # noqa: E731
                covered += sum(any(has(odd) for odd in odds) for _, odds in sets) >= enough
    return found, covered


def test_t_wise_coverage_is_what_counting_by_hand_gives(store: DiskStore) -> None:
    exposure = read_exposure(store)
    drives: dict[str, set[str]] = {}
    for row in exposure.to_pylist():
        if row["exposure_s"] > 0:
            drives.setdefault(row["drive_id"], set()).add(row["odd"])
    found = twise(driven(exposure), strength=2, enough=2)
    assert (found.possible, found.covered) == brute_force(list(drives.items()), 2, 2)
    assert found.covered + len(found.gaps) == found.possible and 0 < found.share < 1 and found.weighted and found.weighted > found.share
    assert found.untold_h > 0, "the poor drive knows little of its ODD"
    assert twise(driven(exposure.slice(0, 0)), strength=3).covered == 0


def test_what_cannot_be_is_data_and_is_told_when_it_was_driven(tmp_path: Path) -> None:
    assert not possible({"snow": "light", "temperature": "hot"}) and not possible({"illumination": "low_sun", "rain": "moderate"})
    assert possible({"snow": "light", "temperature": "cold"}) and possible({"snow": "light"})
    names = {a.name: set(a.values) for a in attributes()}
    from flywheel.odd import constraints

    for entry in constraints():
        for name, bad in entry.values.items():
            assert name in ("scenario", "weather") or set(bad) <= names[name], entry
            assert name != "scenario" or set(bad) <= {e.name for e in catalogue()}, entry
    own = DiskStore(tmp_path)
    put_drive(own, "odd", Build(sky=RAIN | {"snow_mmph": 3.0, "rain_mmph": 0.0, "temperature_c": 31.0}))
    mine_batch(own, "b-1")
    against = twise(driven(read_exposure(own)), strength=2).against
    assert [tuple_.text for tuple_ in against] == ["snow:moderate|temp:hot"]


def test_unseen_mass_at_three_granularities(store: DiskStore) -> None:
    found = unseen_mass(store)
    assert [one.granularity for one in found] == ["scenario", "scenario x ODD", "scenario x level x full ODD"]
    assert all(one.drives == 4 for one in found) and found[0].kinds <= found[1].kinds <= found[2].kinds


def test_the_report_is_the_same_twice_and_says_why_there_is_no_trend(store: DiskStore) -> None:
    report = rarity_report(store, by="condition")
    assert report == rarity_report(store, by="condition")
    assert report.extremes is None and "at least 10 are needed" in (report.why_no_extremes or "")
    assert {one.scenario for one in report.stopping} == {entry.name for entry in catalogue()} and not any(s.stop for s in report.stopping)


def test_the_commands(store: DiskStore, page: str, tmp_path: Path) -> None:
    root = ["--root", str(store.folder)]
    cells = json.loads(run(app, ["coverage", "--json", *root]).output)
    old = {"scenario", "condition", "exposure_h", "exposure_km", "real_events", "synthetic", "rate_per_h", "interval_per_h", "rarity",
           "dispersion", "vehicles", "days", "drives_not_evaluable", "gap", "wanted"}  # fmt: skip
    assert len(cells) == 13 * len(catalogue()) and old <= set(cells[0])
    file = tmp_path / "new" / "ledger.html"
    shown = run(app, ["coverage", "--gaps", "5", "--html", str(file), *root])
    assert shown.exit_code == 0 and "t-wise" in shown.output and file.read_text() == page
    truth = {"scenarios": [{"scenario": "hard_braking", "planted": 100, "found": 100, "matched": 80}]}
    (tmp_path / "score.json").write_text(json.dumps(truth))
    given = ["rarity", "--scenario", "hard_braking", "--audit", str(tmp_path / "score.json"), "--json", *root]
    (rate,) = json.loads(run(app, given).output)["rates"]
    assert rate["corrected"] == pytest.approx(rate["rate"]) and rate["corrected_interval"]["high"] > 0
    assert run(app, ["rarity", *root]).exit_code == 0
    for wrong in (
        ["coverage", "--by", "colour"],
        ["rarity", "--per", "week"],
        ["rarity", "--audit", str(file)],
        ["rarity", "--scenario", "x"],
    ):
        assert run(app, [*wrong, *root]).exit_code == 1, wrong


def test_a_root_without_anything_has_a_ledger_too(tmp_path: Path) -> None:
    empty = DiskStore(tmp_path)
    assert all(cell.rate_per_h is None for cell in coverage(empty)) and rarity_report(empty).rates == ()
    assert "not mined under this catalogue yet" in coverage_page(empty)


@pytest.fixture(scope="module")
def page(store: DiskStore) -> str:
    """The page of the four drives."""
    return coverage_page(store)


def test_the_page_holds_everything_and_asks_nothing_of_the_network(page: str) -> None:
    assert "<script" not in page
    assert not re.findall(r'(?:src|href|url\()\s*=?\s*["\']?(?:https?:)?//', page)
    for words in ("neediest first", "Scenario × ODD attribute", "Good–Turing", "Pairs and triples", "May mining stop?", "Crash trend"):
        assert words in page, words
    assert all(entry.name in page for entry in catalogue())


@pytest.mark.browser
def test_a_browser_shows_the_page_wide_and_narrow(page: str, tmp_path: Path, chromium: str) -> None:
    from playwright.sync_api import sync_playwright

    file = tmp_path / "ledger.html"
    file.write_text(page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1500, "height": 900})
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(file.as_uri())
        cells = tab.locator("table.map td").count()
        tab.set_viewport_size({"width": 420, "height": 800})
        overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert cells > 13 * len(catalogue()) and overflow <= 0


def test_several_processes_give_the_same_bytes(store: DiskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FEWEST", 1)
    own = DiskStore(tmp_path)
    for key in store.list("tables/"):
        if "/EVENTS/" not in key and "/EXPOSURE/" not in key:
            own.put(key, store.get(key))
    own.put("tables/SIGNALS/batch=b-1/poor.parquet", b"not parquet")
    report = mine_batch(own, "b-1", workers=2)
    assert (report.mined, [bad.drive_id for bad in report.failed]) == (3, ["poor"]) and "Parquet" in report.failed[0].reason
    for key in own.list("tables/EXPOSURE/") + own.list("tables/EVENTS/"):
        assert own.get(key) == store.get(key), key


def test_a_worker_that_is_killed_costs_one_drive_and_one_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import os,sys\nfor line in sys.stdin:\n    os.kill(os.getpid(), 9) if 'bad' in line else print('null', flush=True)"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: popen([sys.executable, "-c", code], **more))
    found = dict(workers.mined_apart(str(tmp_path), "b", ["a", "bad", "c", "d"], workers=2))
    assert {name for name, why in found.items() if why is None} == {"a", "c", "d"} and "signal 9" in str(found["bad"])
    monkeypatch.setattr(subprocess, "Popen", lambda command, **more: popen([sys.executable, "-c", "raise SystemExit('no luck')"], **more))
    with pytest.raises(FlywheelError, match="no luck"):
        list(workers.mined_apart(str(tmp_path), "b", ["a", "b"], workers=2))
