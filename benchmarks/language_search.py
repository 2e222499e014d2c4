"""How well plain words find events of a sample fleet: by sentence vectors alone, by structure alone, and by both.

Precision and recall at ten; and, since rare events have few answers, R-precision: the share of right ones among the first R, R being the
number of answers. Ten places cannot all be right where there are three answers: the best possible precision at ten is printed beside it.

The answers come from the fleet's truth, not from mining: an event counts if it is the mined one of a planted event that answers the
query; what the truth calls borderline counts neither way. About half of the queries use words of the word list, the others deliberately
do not. A query without an answer in the fleet is left out.

    flywheel fleet --out F --drives 72 --seed 90210 --no-camera && flywheel ingest --root R --logs F && flywheel mine --root R
    python benchmarks/language_search.py R F/truth.json
"""

import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from flywheel.mine.language import By, actor_classes, search
from flywheel.mine.score import match
from flywheel.mine.sentences import Packaged, Remembering
from flywheel.store import Store, open_store
from flywheel.tables import read_table
from flywheel.types import Condition

Row = dict[str, Any]
TOP = 10
NS = 1_000_000_000
LEVELS = ("L1", "L2", "L3")


@dataclass(frozen=True)
class Asked:
    """A query, and which true events answer it."""

    text: str
    scenario: str
    listed: bool
    lighting: str = ""
    weather: str = ""
    unlike: str = ""
    level: str = "L1"
    after: str = ""
    actor: str = ""


def listed(text: str, scenario: str, **more: str) -> Asked:
    """A query in words of the word list."""
    return Asked(text, scenario, listed=True, **more)


def free(text: str, scenario: str, **more: str) -> Asked:
    """A query in other words."""
    return Asked(text, scenario, listed=False, **more)


QUERIES = (
    listed("pedestrian crossing", "pedestrian_crossing"),
    listed("pedestrian crossing at night", "pedestrian_crossing", lighting="night"),
    listed("pedestrian crossing in the rain", "pedestrian_crossing", weather="rain"),
    listed("critical pedestrian crossing", "pedestrian_crossing", level="L2"),
    listed("hard braking", "hard_braking"),
    listed("hard braking at night", "hard_braking", lighting="night"),
    listed("emergency braking by day", "hard_braking", lighting="day"),
    listed("hard braking without rain", "hard_braking", unlike="rain"),
    listed("red light stop after hard braking", "red_light_stop", after="hard_braking"),
    listed("cut in", "cut_in"),
    listed("a car cuts in ahead", "cut_in", actor="car"),
    listed("short time to collision", "low_ttc"),
    listed("near crash low ttc", "low_ttc", level="L3"),
    listed("stopped at a red light", "red_light_stop"),
    listed("waiting at a red light in snow", "red_light_stop", weather="snow"),
    listed("slows down for a curve", "curve_speed_adaptation"),
    listed("sensor dropout", "sensor_dropout"),
    listed("sensor dropout in fog", "sensor_dropout", weather="fog"),
    listed("night-time lane change at an intersection in low visibility", "night_intersection_lane_change"),
    listed("swerve", "swerve"),
    listed("vehicle ahead brakes", "lead_brakes"),
    listed("tailgating", "tailgater"),
    listed("speed bump or pothole", "speed_bump_pothole"),
    listed("emergency vehicle with flashing lights", "emergency_vehicle"),
    listed("ran a red light", "red_light_running"),
    listed("wrong way driver", "wrong_way_vehicle"),
    listed("cyclist crossing", "cyclist_crossing"),
    listed("dense crowd", "dense_crowd"),
    listed("gps lost", "gnss_loss"),
    listed("slippery road", "low_grip_slip"),
    free("somebody on foot in the way of our automobile", "pedestrian_crossing"),
    free("someone strolls over the street in darkness", "pedestrian_crossing", lighting="night"),
    free("we had to stop abruptly", "hard_braking"),
    free("an automobile shoves itself between us and the next one", "cut_in"),
    free("we nearly ran into the back of the other one", "low_ttc"),
    free("idle at the lights until they change", "red_light_stop"),
    free("taking it easy before the road winds", "curve_speed_adaptation"),
    free("one of the instruments stopped reporting", "sensor_dropout"),
    free("lurching around something and back again", "swerve"),
    free("the one before us hit its pedal", "lead_brakes"),
    free("somebody breathing down our neck from the rear", "tailgater"),
    free("a nasty dent in the asphalt", "speed_bump_pothole"),
    free("paramedics rushing past", "emergency_vehicle"),
    free("ignoring the signal and driving on", "red_light_running"),
    free("a motorist coming at us on our own side", "wrong_way_vehicle"),
    free("pedalling across the carriageway", "cyclist_crossing"),
    free("throng on the pavement", "dense_crowd"),
    free("navigation receiver has no idea where we are", "gnss_loss"),
    free("tyres lose traction", "low_grip_slip"),
    free("moving over into the adjacent lane at the crossing on a murky evening", "night_intersection_lane_change"),
)


class Truth:
    """The fleet's true events, the drives they are in, and which mined event each is."""

    def __init__(self, store: Store, file: Path) -> None:
        said = json.loads(file.read_text())
        self.sky = {drive["drive"]: Condition.parse(drive["condition"]) for drive in said["drives"]}
        self.events = said["events"]
        names = {row["drive_id"]: Path(row["source_name"]).stem for row in read_table(store, "DRIVES").to_pylist()}
        mined = defaultdict(list)
        for row in read_table(store, "EVENTS").to_pylist():
            mined[names[row["drive_id"]], row["scenario"]].append(row)
        self.classes = {name: kinds for (_, name), kinds in actor_classes(store, [r for rows in mined.values() for r in rows]).items()}
        self.mined_as = self._matched(self.events, mined)
        self.doubtful = set(self._matched(said["borderline"], mined).values()) - set(self.mined_as.values())

    @staticmethod
    def _matched(events: list[Row], mined: dict[tuple[str, str], list[Row]]) -> dict[int, str]:
        """True event (its index) -> the id of the mined one."""
        found = {}
        for key, rows in mined.items():
            own = [i for i, event in enumerate(events) if (event["drive"], event["scenario"]) == key]
            pairs = match([(events[i]["t0_ns"], events[i]["t1_ns"]) for i in own], [(r["t0_ns"], r["t1_ns"]) for r in rows])
            found |= {own[p]: rows[m]["event_id"] for p, m in pairs}
        return found

    def answers(self, asked: Asked) -> list[int]:
        """The true events that answer a query."""
        return [i for i, event in enumerate(self.events) if self._answers(asked, event)]

    def _answers(self, asked: Asked, event: Row) -> bool:
        sky = self.sky[event["drive"]]
        fits = event["scenario"] == asked.scenario and asked.lighting in ("", sky.lighting) and asked.weather in ("", sky.weather)
        fits = fits and asked.unlike != sky.weather and event["level"] >= asked.level
        if asked.actor:
            fits = fits and any(asked.actor in self.classes.get(name, ()) for name in event["actors"])
        return bool(
            fits and (not asked.after or any(self._before(other, event) for other in self.events if other["scenario"] == asked.after))
        )

    def _before(self, other: Row, event: Row) -> bool:
        return bool(other["drive"] == event["drive"] and other["t0_ns"] < event["t0_ns"] <= other["t1_ns"] + 10 * NS)


@dataclass(frozen=True)
class Figures:
    """What one way of searching made of one query."""

    precision: float
    recall: float
    r_precision: float
    best: float


def measured(store: Store, truth: Truth, asked: Asked, *, encoder: Any, by: By) -> Figures | None:
    """The figures of a query; None where the fleet has no answer."""
    wanted = truth.answers(asked)
    if not wanted:
        return None
    ids = {truth.mined_as[i] for i in wanted if i in truth.mined_as}
    found = search(store, asked.text, encoder=encoder, top=4 * max(TOP, len(wanted)), by=by).hits
    hits = [hit.event_id for hit in found if hit.event_id not in truth.doubtful]
    right, most = len(ids & set(hits[:TOP])), min(len(wanted), TOP)
    return Figures(right / TOP, right / most, len(ids & set(hits[: len(wanted)])) / len(wanted), most / TOP)


def main(root: str, truth_file: Path) -> None:
    """Prints a line a query, then the means of both kinds of query."""
    store = open_store(root)
    truth, encoder = Truth(store, truth_file), Remembering(Packaged(), truth_file.parent)
    ways: tuple[By, ...] = ("text", "structure", "both")
    table: dict[Asked, dict[str, Figures]] = {}
    begun = time.perf_counter()
    print("each: precision at ten, recall at ten, R-precision")
    for asked in QUERIES:
        row = {by: found for by in ways if (found := measured(store, truth, asked, encoder=encoder, by=by))}
        if row:
            table[asked] = row
            shown = "".join(f"{by} {row[by].precision:.1f} {row[by].recall:.2f} {row[by].r_precision:.2f}   " for by in ways)
            print(f"{asked.text[:70]:72}{shown}")
    print(f"\n{len(table)} of {len(QUERIES)} queries have an answer in this fleet; {time.perf_counter() - begun:.0f} s")
    for what, kept in (("in listed words", True), ("in other words", False), ("all", None)):
        rows = [row for asked, row in table.items() if kept in (None, asked.listed)]
        print(f"{what} ({len(rows)} queries, best possible precision at ten {mean(row['text'].best for row in rows):.3f})")
        for by in ways:
            figures = (mean(getattr(row[by], name) for row in rows) for name in ("precision", "recall", "r_precision"))
            print("  {:10} P@10 {:.3f}  R@10 {:.3f}  R-precision {:.3f}".format(by, *figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
