"""A small root made by hand: drawn frames with true boxes, events, variations and decisions. Only real code reads it."""

import cv2
import numpy as np

from flywheel.geometry import image_boxes
from flywheel.store import Store, put_media
from flywheel.tables import rows_table, write_table
from flywheel.types import short_id

WIDTH, HEIGHT, HZ, SECOND = 320, 180, 5, 1_000_000_000
T0 = 1_780_000_000 * SECOND
BATCH = "b-drawn"
CAMERA = {
    "fx_px": 180.0,
    "fy_px": 180.0,
    "cx_px": 160.0,
    "cy_px": 80.0,
    "cam_x_m": 1.6,
    "cam_y_m": 0.0,
    "cam_z_m": 1.4,
    "cam_qw": 0.5,
    "cam_qx": -0.5,
    "cam_qy": 0.5,
    "cam_qz": -0.5,
}
SIZES = {"car": (4.5, 1.8, 1.5), "pedestrian": (0.6, 0.6, 1.75)}


def tracks_at(seed: int, drive_id: str, frame: int) -> list[dict[str, object]]:
    """A car ahead and a pedestrian crossing, both moving with the frame number."""
    t_ns, phase = T0 + frame * SECOND // HZ, seed * 1.7 + frame * 0.25
    places = {"car": (14 + 6 * np.sin(phase), 2.5 * np.cos(phase * 0.7)), "pedestrian": (9 + 2 * np.cos(phase), 4.0 * np.sin(phase * 1.3))}
    return [
        {
            "drive_id": drive_id,
            "t_ns": t_ns,
            "track_id": f"{cls}-{seed}",
            "cls": cls,
            "x_m": float(x),
            "y_m": float(y),
            "z_m": SIZES[cls][2] / 2,
            "heading_rad": 0.0,
            "length_m": SIZES[cls][0],
            "width_m": SIZES[cls][1],
            "height_m": SIZES[cls][2],
            "vx_mps": 0.0,
            "vy_mps": 0.0,
            "visible": True,
        }
        for cls, (x, y) in places.items()
    ]


def draw(tracks: list[dict[str, object]], *, seed: int, dark: float = 1.0) -> bytes:
    """JPEG of sky, road and one filled box an actor."""
    image = np.full((HEIGHT, WIDTH, 3), (190, 170, 150), np.uint8)
    image[80:] = (90, 90, 90)
    frame = {**CAMERA, "width_px": WIDTH, "height_px": HEIGHT}
    for box in reversed(image_boxes(tracks, frame)):
        colour = (40, 40, 200) if box.cls == "car" else (60, 200, 60)
        cv2.rectangle(image, (int(box.x0_px), int(box.y0_px)), (int(box.x1_px), int(box.y1_px)), colour, -1)
    noisy = image * dark + np.random.default_rng(seed).normal(0, 4, image.shape)
    return bytes(cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8))[1])


def add_drive(
    store: Store, seed: int, *, group: str | None = None, frames: int = 20, events: int = 1, variations: int = 1, batch: str = BATCH
) -> str:
    """One drive with a pedestrian event, and dark variations of the event's peak frame; gives the drive's id."""
    drive_id = short_id("drive", seed)
    group = group or f"vehicle-{seed}|2026-01-01|town"
    pictures, boxes = [], []
    for i in range(frames):
        tracks = tracks_at(seed, drive_id, i)
        boxes += tracks
        sha256 = put_media(store, draw(tracks, seed=seed * 1000 + i), "jpg")
        pictures.append(
            {
                "drive_id": drive_id,
                "t_ns": T0 + i * SECOND // HZ,
                "camera": "front",
                "kind": "rgb",
                "media_sha256": sha256,
                "ext": "jpg",
                "width_px": WIDTH,
                "height_px": HEIGHT,
                **CAMERA,
            }
        )
    _write(store, "FRAMES", pictures, batch, drive_id)
    _write(store, "TRACKS", boxes, batch, drive_id)
    found = [_event(drive_id, group, number) for number in range(events)]
    _write(store, "EVENTS", found, batch, drive_id)
    _write(store, "EXPOSURE", [_exposure(drive_id, group, frames / HZ)], batch, drive_id)
    rows = [_variation(store, event, pictures, seed, number) for event in found for number in range(variations)]
    _write(store, "VARIATIONS", rows, batch, drive_id)
    _write(store, "DECISIONS", [decision(str(row["variation_id"])) for row in rows], batch, drive_id)
    _write(store, "DRIVES", [_drive(drive_id, group, frames, len(boxes), batch)], batch, drive_id)
    return drive_id


def _write(store: Store, name: str, rows: list[dict[str, object]], batch: str, part: str) -> None:
    write_table(store, name, rows_table(name, rows), batch_id=batch, part=part)


def add_decision(store: Store, row: dict[str, object], *, batch: str = BATCH) -> None:
    """Appends one decision."""
    _write(store, "DECISIONS", [row], batch, str(row["decision_id"]))


def decision(subject: str, verdict: str = "accept", *, actor_kind: str = "rule", t_ns: int = 0) -> dict[str, object]:
    """A DECISIONS row."""
    row = {
        "subject_id": subject,
        "verdict": verdict,
        "gate": "all",
        "reason": "drawn",
        "actor_kind": actor_kind,
        "actor": actor_kind,
        "rule_version": "1",
        "decided_t_ns": t_ns,
    }
    return {**row, "decision_id": short_id("decision", row)}


def _event(drive_id: str, group: str, number: int) -> dict[str, object]:
    start = T0 + (1 + number) * SECOND
    return {
        "event_id": short_id("event", [drive_id, number]),
        "scenario": "pedestrian_crossing",
        "level": "L2",
        "drive_id": drive_id,
        "t0_ns": start,
        "t1_ns": start + SECOND,
        "t_peak_ns": start + SECOND * 3 // 5,
        "peak": 1.0,
        "peak_unit": "s",
        "actors": ["a"],
        "condition": "day_clear",
        "params_sha256": "0" * 64,
        "detector_version": "1",
        "root_group": group,
    }


def _exposure(drive_id: str, group: str, seconds: float) -> dict[str, object]:
    return {
        "drive_id": drive_id,
        "scenario": "pedestrian_crossing",
        "condition": "day_clear",
        "odd": "",
        "status": "evaluable",
        "exposure_s": seconds,
        "exposure_m": seconds * 10,
        "events": 1,
        "root_group": group,
    }


def _drive(drive_id: str, group: str, frames: int, tracks: int, batch: str) -> dict[str, object]:
    vehicle, day, place = group.split("|")
    return {
        "drive_id": drive_id,
        "batch_id": batch,
        "source_format": "drawn",
        "source_name": f"{drive_id}.mcap",
        "source_sha256": "0" * 64,
        "vehicle_id": vehicle,
        "place": place,
        "day": day,
        "root_group": group,
        "t0_ns": T0,
        "t1_ns": T0 + frames * SECOND // HZ,
        "clock": "utc",
        "duration_s": frames / HZ,
        "distance_m": 10.0,
        "signals": [],
        "derived": [],
        "signal_rows": 0,
        "track_rows": tracks,
        "tracks": 2,
        "frames": frames,
        "lane_rows": 0,
        "light_rows": 0,
        "has_map": False,
        "licence": "CC0-1.0",
    }


def _variation(store: Store, event: dict[str, object], pictures: list[dict[str, object]], seed: int, number: int) -> dict[str, object]:
    peak = next(p for p in pictures if p["t_ns"] == event["t_peak_ns"])
    tracks = tracks_at(seed, str(event["drive_id"]), (int(str(peak["t_ns"])) - T0) * HZ // SECOND)
    small = cv2.imdecode(np.frombuffer(draw(tracks, seed=seed * 77 + number, dark=0.4), np.uint8), cv2.IMREAD_COLOR)
    data = bytes(cv2.imencode(".png", cv2.resize(small, (WIDTH // 2, HEIGHT // 2)))[1])
    return {
        **{key: event[key] for key in ("event_id", "scenario", "level", "drive_id", "root_group")},
        "variation_id": short_id("variation", [event["event_id"], number]),
        "t_ns": peak["t_ns"],
        "camera": "front",
        "parent_sha256": peak["media_sha256"],
        "parent_ext": "jpg",
        "source_condition": "day_clear",
        "target_condition": "night_clear",
        "generator": "drawn",
        "model_revision": "1",
        "weights_sha256": "0" * 64,
        "parameters": "{}",
        "prompt": "",
        "seed": number,
        "code_version": "1",
        "licence": "CC0-1.0",
        "status": "done",
        "run_seconds": 0.0,
        "output_sha256": put_media(store, data, "png"),
        "output_ext": "png",
    }


def fleet(store: Store, drives: int, **settings: int) -> list[str]:
    """Several drives, each of its own vehicle."""
    return [add_drive(store, seed, **settings) for seed in range(1, drives + 1)]


__all__ = ["BATCH", "HEIGHT", "WIDTH", "add_decision", "add_drive", "decision", "fleet"]
