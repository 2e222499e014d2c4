"""Which frames of one drive become samples: key frames of events, reference frames, accepted variations. All pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flywheel.datasets import REFERENCE, Refused
from flywheel.geometry import nearest_instant
from flywheel.publish.recipe import Recipe

MS = 1_000_000
_SIDEWAYS = ("left", "right", "rear", "back", "cross", "side")
Rows = Sequence[Mapping[str, Any]]


class Pick(NamedTuple):
    """One real frame under one heading."""

    frame: Mapping[str, Any]
    event_id: str
    scenario: str
    level: str
    condition: str

    @property
    def key(self) -> tuple[str, str]:
        """A frame stands once under a scenario, however many of its events it shows."""
        place = self.frame.get("video_offset")
        return self.frame["media_sha256"] if place is None else f"{self.frame['media_sha256']}@{place}", self.scenario


class Child(NamedTuple):
    """One accepted variation and the pick it was made from."""

    variation: Mapping[str, Any]
    parent: tuple[str, str]


class DrivePicks(NamedTuple):
    """What one drive gives to a dataset."""

    picks: list[Pick]
    children: list[Child]
    refused: list[Refused]


def pick_drive(recipe: Recipe, *, frames: Rows, events: Rows, variations: Rows, condition: str) -> DrivePicks:
    """The samples of one drive; `condition` is what its reference frames show."""
    ahead = _front(frames)
    found, refused = _event_picks(recipe, ahead, events)
    found += [Pick(frame, "", REFERENCE, "", condition) for frame in _reference_frames(recipe, ahead, events)]
    picks: dict[tuple[str, str], Pick] = {}
    for pick in found:
        picks.setdefault(pick.key, pick)
    children = []
    for row in sorted(variations, key=lambda v: str(v["variation_id"])) if recipe.include_synthetic else ():
        if row["event_id"] and not recipe.takes(row["scenario"]):
            continue
        parent = _parent(row, frames)
        if parent is None:
            refused.append(
                Refused(subject=row["variation_id"], reason=f"its parent image {row['parent_sha256']} is not among the drive's frames")
            )
            continue
        children.append(Child(row, picks.setdefault(parent.key, parent).key))
    return DrivePicks(list(picks.values()), children, refused)


def front_camera(names: Sequence[str]) -> str | None:
    """The camera that looks ahead: a plain front view, then a tele view, any other, sideways ones last; None if there is none."""
    return min(set(names), key=_camera_rank, default=None)


def _camera_rank(name: str) -> tuple[int, str]:
    low = name.lower()
    if any(word in low for word in _SIDEWAYS):
        return 3, low
    return (int("tele" in low) if "front" in low else 2), low


def _front(frames: Rows) -> list[Mapping[str, Any]]:
    camera = front_camera([row["camera"] for row in frames])
    return sorted((row for row in frames if row["camera"] == camera), key=lambda row: int(row["t_ns"]))


def key_times(event: Mapping[str, Any], count: int) -> list[int]:
    """The peak of an event first, then evenly spaced times from its start to its end, `count` in all."""
    spread = np.linspace(event["t0_ns"], event["t1_ns"], max(count - 1, 1))
    return [int(event["t_peak_ns"]), *(int(t) for t in spread)][:count]


def _event_picks(recipe: Recipe, frames: Rows, events: Rows) -> tuple[list[Pick], list[Refused]]:
    times = np.array([row["t_ns"] for row in frames], np.int64)
    at = {row["t_ns"]: row for row in frames}
    picks, refused = [], []
    for event in sorted(events, key=lambda e: (int(e["t0_ns"]), str(e["event_id"]))):
        if not recipe.takes(event["scenario"]):
            continue
        near = [nearest_instant(times, t, tolerance_ns=recipe.frame_tolerance_ms * MS) for t in key_times(event, recipe.frames_per_event)]
        if near[0] is None:
            refused.append(Refused(subject=event["event_id"], reason=f"no frame within {recipe.frame_tolerance_ms} ms of its peak"))
        picks += [Pick(at[t], event["event_id"], event["scenario"], event["level"], event["condition"]) for t in near if t is not None]
    return picks, refused


def _reference_frames(recipe: Recipe, frames: Rows, events: Rows) -> list[Mapping[str, Any]]:
    margin = recipe.event_margin_ms * MS
    calm = [f for f in frames if not any(e["t0_ns"] - margin <= f["t_ns"] <= e["t1_ns"] + margin for e in events)]
    count = min(recipe.reference_frames_per_drive, len(calm))
    return [calm[int((i + 0.5) * len(calm) / count)] for i in range(count)]


def _parent(variation: Mapping[str, Any], frames: Rows) -> Pick | None:
    same = [f for f in frames if f["media_sha256"] == variation["parent_sha256"] and f["t_ns"] == variation["t_ns"]]
    if not same:
        return None
    scenario = variation["scenario"] if variation["event_id"] else REFERENCE
    return Pick(same[0], variation["event_id"], scenario, variation["level"], variation["source_condition"])
