"""Search by pictures: what the cameras saw at each event's peak, ranked against words by a CLIP-like model."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.mine.sentences import Clip
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record
from flywheel.video import COLUMNS, attempts

Row = dict[str, Any]


class PictureHit(Record):
    """An event and the camera whose picture at its peak fits the words best."""

    score: float
    event_id: str
    scenario: str
    level: str
    drive_id: str
    camera: str
    t_ns: int


def search_pictures(store: Store, text: str, *, clip: Clip, top: int = 10) -> list[PictureHit]:
    """The events whose pictures are nearest to the words, best first; BadData where no event has a picture that can be decoded."""
    shown = list(_at_the_peak(store))
    if not shown:
        raise BadData(f"{store.uri} has no events with pictures: ingest drives with cameras, then run `flywheel mine`")
    likeness = clip.images([pixels for _, _, pixels in shown]) @ clip.texts([text])[0]
    best: dict[str, PictureHit] = {}
    for i in np.argsort(-likeness, kind="stable"):
        event, frame, _ = shown[i]
        hit = {name: event[name] for name in ("event_id", "scenario", "level", "drive_id")}
        best.setdefault(
            event["event_id"], PictureHit(**hit, camera=frame["camera"], t_ns=frame["t_ns"], score=round(float(likeness[i]), 4))
        )
    return list(best.values())[:top]


def _at_the_peak(store: Store) -> list[tuple[Row, Row, NDArray[np.uint8]]]:
    """(event, frame, RGB picture) of every camera at the peak of every event; what cannot be decoded is left out."""
    cv2 = require("cv2", extra="mine")
    events: dict[str, list[Row]] = {}
    for row in read_table(store, "EVENTS").to_pylist():
        events.setdefault(row["drive_id"], []).append(row)
    found = []
    for drive_id, rows in sorted(events.items()):
        frames = [row for row in read_table(store, "FRAMES", part=drive_id, columns=list(COLUMNS)).to_pylist() if row["kind"] == "rgb"]
        for camera in sorted({row["camera"] for row in frames}):
            own = [row for row in frames if row["camera"] == camera]
            nearest = {event["event_id"]: min(own, key=lambda row: abs(row["t_ns"] - event["t_peak_ns"])) for event in rows}
            raw = {row["t_ns"]: got for row, got in attempts(store, list({r["t_ns"]: r for r in nearest.values()}.values()))}
            for event in rows:
                frame = nearest[event["event_id"]]
                got = raw.get(frame["t_ns"])
                pixels = None if got is None or isinstance(got, str) else cv2.imdecode(np.frombuffer(got.data, np.uint8), cv2.IMREAD_COLOR)
                found += [] if pixels is None else [(event, frame, np.asarray(pixels[..., ::-1], np.uint8))]
    return found
