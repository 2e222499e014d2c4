"""A small store made by hand: street scenes drawn with OpenCV, their boxes, and two variations of each."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flywheel.encoder import embed
from flywheel.geometry import project_box
from flywheel.store import Store, put_media
from flywheel.tables import rows_table, write_table
from flywheel.types import digest_of, short_id

BATCH = "b-handmade"
WIDTH, HEIGHT = 640, 360
SECOND_NS = 1_000_000_000
CAMERA: dict[str, Any] = {
    "width_px": WIDTH, "height_px": HEIGHT, "fx_px": 520.0, "fy_px": 520.0, "cx_px": 320.0, "cy_px": 165.0,
    "cam_x_m": 1.8, "cam_y_m": 0.0, "cam_z_m": 1.5, "cam_qw": 0.5, "cam_qx": -0.5, "cam_qy": 0.5, "cam_qz": -0.5,
}  # fmt: skip
SIZES = {"car": (4.5, 1.85, 1.5), "truck": (8.0, 2.5, 3.2), "pedestrian": (0.6, 0.6, 1.75)}
TARGETS = ("night_rain", "dusk_clear")
Image = NDArray[np.uint8]


def track(drive_id: str, t_ns: int, name: str, cls: str, x_m: float, y_m: float) -> dict[str, Any]:
    length, width, height = SIZES[cls]
    return {
        "drive_id": drive_id, "t_ns": t_ns, "track_id": name, "cls": cls, "x_m": x_m, "y_m": y_m, "z_m": height / 2, "heading_rad": 0.0,
        "length_m": length, "width_m": width, "height_m": height, "vx_mps": 8.0, "vy_mps": 0.0, "visible": True,
    }  # fmt: skip


def draw(tracks: list[dict[str, Any]], seed: int) -> Image:
    """A street under a clear sky, with houses at random and each track as a solid body (RGB)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:165] = np.linspace((120, 170, 225), (205, 220, 235), 165)[:, None]
    image[165:] = (96, 118, 84)
    cv2.fillPoly(image, [np.array([(300, 165), (340, 165), (760, 360), (-120, 360)])], (88, 88, 92))
    for left in range(0, WIDTH, 64):
        if abs(left - 290) > 80:
            top = int(rng.integers(60, 140))
            cv2.rectangle(image, (left, top), (left + 58, 172), tuple(int(v) for v in rng.integers(110, 200, 3)), -1)
            for x in range(left + 8, left + 50, 16):
                cv2.rectangle(image, (x, top + 10), (x + 8, top + 22), (70, 80, 95), -1)
    for near in range(6):
        y0, y1 = 175 + near * near * 6, 180 + near * near * 7
        cv2.line(image, (320, y0), (320, y1), (235, 235, 225), 2 + near // 2)
    for row in sorted(tracks, key=lambda row: -row["x_m"]):
        if box := project_box(row, CAMERA):
            top, bottom = (int(box.x0_px), int(box.y0_px)), (int(box.x1_px), int(box.y1_px))
            cv2.rectangle(image, top, bottom, tuple(int(v) for v in rng.integers(40, 210, 3)), -1)
            cv2.rectangle(image, (top[0], bottom[1] - (bottom[1] - top[1]) // 5), bottom, (25, 25, 28), -1)
    return image


def restyle(image: Image, target: str, seed: int) -> Image:
    """The scene under another light (RGB): dark with streaks, or low and orange."""
    rng = np.random.default_rng(seed)
    if target == "dusk_clear":
        tint = np.array([0.95, 0.62, 0.45]) * np.linspace(1.0, 0.7, HEIGHT)[:, None, None]
        return np.clip(image * tint, 0, 255).astype(np.uint8)
    dark = np.clip(image * np.array([0.22, 0.25, 0.36]) + 8, 0, 255).astype(np.uint8)
    for _ in range(350):
        x, y = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        cv2.line(dark, (x, y), (x - 3, y + 12), (120, 125, 140), 1)
    return dark


def media(store: Store, image: Image, ext: str = "png") -> str:
    return put_media(store, cv2.imencode(f".{ext}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes(), ext)


def variation(**changes: Any) -> dict[str, Any]:
    """A VARIATIONS row that passes every gate (but has no output or embedding of its own until they are given)."""
    row = {
        "event_id": "event-1", "scenario": "cut_in", "level": "L1", "drive_id": "drive-1", "root_group": "v|d|p", "t_ns": SECOND_NS,
        "camera": "front", "parent_sha256": "0" * 64, "parent_ext": "png", "source_condition": "day_clear",
        "target_condition": "night_rain",
        "generator": "classical", "model_revision": "1", "weights_sha256": "", "parameters": "{}", "prompt": "rain at night", "seed": 1,
        "code_version": "0", "licence": "CC0-1.0", "status": "done", "run_seconds": 0.1, "output_sha256": "1" * 64, "output_ext": "png",
        "score_integrity": 1.0, "score_structure": 0.8, "score_labels": 0.95, "score_content": 0.95, "score_condition": 0.9,
        "score_change": 0.3,
    } | changes  # fmt: skip
    return {"variation_id": short_id("var", {k: v for k, v in row.items() if k != "embedding"})} | row


def direction(seed: int) -> list[float]:
    """A random unit embedding: two of them are nearly at right angles."""
    vector = np.random.default_rng(seed).standard_normal(1280)
    return [float(v) for v in vector / np.linalg.norm(vector)]


def scenes(store: Store, *, parents: int = 3, first: int = 0, batch_id: str = BATCH) -> list[dict[str, Any]]:
    """Writes drives, frames, tracks and two variations a parent; gives the VARIATIONS rows."""
    rows: list[dict[str, Any]] = []
    for index in range(first, first + parents):
        drive_id, t_ns = short_id("drive", index), (index + 1) * SECOND_NS
        tracks = [
            track(drive_id, t_ns, "lead", "car", 14.0 + 4 * index, 0.2),
            track(drive_id, t_ns, "side", "truck", 24.0 - 2 * index, 4.0),
            track(drive_id, t_ns, "walker", "pedestrian", 12.0 + index, -3.5),
        ]
        parent = draw(tracks, index)
        sha256 = media(store, parent)
        frame = {"drive_id": drive_id, "t_ns": t_ns, "camera": "front", "kind": "rgb", "media_sha256": sha256, "ext": "png"} | CAMERA
        write_table(store, "TRACKS", rows_table("TRACKS", tracks), batch_id=batch_id, part=drive_id)
        write_table(store, "FRAMES", rows_table("FRAMES", [frame]), batch_id=batch_id, part=drive_id)
        outputs = [restyle(parent, target, index) for target in TARGETS]
        mine = [
            variation(
                event_id=short_id("event", index), scenario=("cut_in", "low_ttc")[index % 2], drive_id=drive_id, t_ns=t_ns,
                parent_sha256=sha256, target_condition=target, output_sha256=media(store, output), embedding=vector.tolist(),
                seed=index, score_structure=(0.31 if index < 4 else 0.2, 0.8)[k],
                root_group=f"veh-{index}|2026-11-01|town", prompt=f"the same street, {target}",
            )
            for k, (target, output, vector) in enumerate(zip(TARGETS, outputs, embed(outputs), strict=True))
        ]  # fmt: skip
        write_table(store, "VARIATIONS", rows_table("VARIATIONS", mine), batch_id=batch_id, part=drive_id)
        rows += mine
    return rows


def fingerprint(store: Store) -> str:
    """Digest of every object's name and bytes."""
    return digest_of({key: len(store.get(key)) for key in store.list()})
