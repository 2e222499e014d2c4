"""A tiny store: two hand-made drives with camera frames, tracks and events, and a generator that really redraws."""

from typing import Any

import cv2
import numpy as np

from flywheel.generate.protocol import ENHANCED_MEDIA, GenerateInput, GeneratorInfo, Output
from flywheel.mine.ledger import put_ledger
from flywheel.store import Store, put_media
from flywheel.tables import rows_table, write_table

BATCH = "b-test"
T0 = 1_700_000_000_000_000_000
STEP = 500_000_000
FRAMES = 13


def scene(*, shift: int = 0, seed: int = 0, width: int = 160, height: int = 90) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A road with a car, houses and lane paint, as RGB."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (150, 190, 230), np.uint8)
    image[height // 2 :] = (95, 95, 98)
    for x in range(0, width, 20):
        top = int(rng.integers(height // 8, height // 3))
        cv2.rectangle(image, (x, top), (x + 14, height // 2), tuple(int(c) for c in rng.integers(60, 200, 3)), -1)
    cv2.line(image, (width // 2, height // 2), (width // 5, height - 1), (240, 240, 240), 2)
    cv2.line(image, (width // 2, height // 2), (width - width // 5, height - 1), (240, 240, 240), 2)
    cv2.rectangle(image, (70 + shift, 45), (94 + shift, 63), (170, 30, 30), -1)
    cv2.rectangle(image, (74 + shift, 47), (90 + shift, 53), (20, 20, 40), -1)
    return image


def png(image: np.ndarray[Any, Any]) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


class Darkening:
    """Scales brightness by the target's lighting and adds seeded grain: small, but it truly draws."""

    def __init__(self, *, revision: str = "1", fail_on: str = "", width_px: int = 160) -> None:
        self.fail_on = fail_on
        self.drawn = 0
        self.info = GeneratorInfo(
            name="darkening", model_revision=revision, weights_sha256="0" * 64, licence="Apache-2.0",
            parameters={"width_px": width_px}, digital_source_type=ENHANCED_MEDIA,
        )  # fmt: skip

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        if any(item.target.name == self.fail_on for item in batch):
            raise RuntimeError("out of paint")
        self.drawn += len(batch)
        return [self._one(item) for item in batch]

    def _one(self, item: GenerateInput) -> Output:
        gain = {"day": 1.2, "low_sun": 1.4, "dusk": 0.6, "night": 0.35}[item.target.lighting]
        grain = np.random.default_rng(item.seed).normal(0, 6, item.rgb.shape)
        return np.clip(item.rgb * gain + grain, 0, 255).astype(np.uint8)


def event(number: int, drive: str, scenario: str, level: str, t_peak_ns: int) -> dict[str, Any]:
    return {
        "event_id": f"ev-{number}", "scenario": scenario, "level": level, "drive_id": drive, "t0_ns": t_peak_ns - STEP,
        "t1_ns": t_peak_ns + STEP, "t_peak_ns": t_peak_ns, "peak": 1.0, "peak_unit": "s", "actors": ["1"],
        "condition": "day_clear", "params_sha256": "p", "detector_version": "1", "root_group": f"g|{drive}",
    }  # fmt: skip


EVENTS = [
    event(1, "drive-a", "cut_in", "L1", T0 + 4 * STEP),
    event(2, "drive-a", "hard_braking", "L3", T0 + 8 * STEP),
    event(3, "drive-b", "cut_in", "L2", T0 + 6 * STEP),
]


def put_drive(store: Store, drive: str, events: list[dict[str, Any]], *, seed: int, cameras: tuple[str, ...] = ("front",)) -> None:
    """One drive with frames each half second, one tracked car, its events, its exposure and the ledger."""
    frames, tracks = [], []
    for k in range(FRAMES):
        t_ns = T0 + k * STEP
        tracks.append({
            "drive_id": drive, "t_ns": t_ns, "track_id": "1", "cls": "car", "x_m": 18.0, "y_m": 0.0, "z_m": 0.8, "heading_rad": 0.0,
            "length_m": 4.5, "width_m": 1.8, "height_m": 1.5, "vx_mps": 0.0, "vy_mps": 0.0, "visible": True,
        })  # fmt: skip
        for camera in cameras:
            image = scene(shift=k, seed=seed + len(camera))
            frames.append({
                "drive_id": drive, "t_ns": t_ns, "camera": camera, "kind": "rgb", "media_sha256": put_media(store, png(image), "png"),
                "ext": "png", "width_px": 160, "height_px": 90, "fx_px": 130.0, "fy_px": 130.0, "cx_px": 80.0, "cy_px": 45.0,
                "cam_x_m": 1.6, "cam_y_m": 0.0, "cam_z_m": 1.5, "cam_qw": 0.5, "cam_qx": -0.5, "cam_qy": 0.5, "cam_qz": -0.5,
            })  # fmt: skip
    exposure = [
        {"drive_id": drive, "scenario": name, "condition": "day_clear", "odd": "", "status": "evaluable", "exposure_s": 6.0,
         "exposure_m": 60.0, "events": sum(e["scenario"] == name for e in events), "root_group": f"g|{drive}"}
        for name in ("cut_in", "hard_braking")
    ]  # fmt: skip
    drives = [{
        "drive_id": drive, "batch_id": BATCH, "source_format": "mcap", "source_name": f"{drive}.mcap", "source_sha256": drive,
        "vehicle_id": "v", "place": "p", "day": "2026-01-01", "root_group": f"g|{drive}", "t0_ns": T0, "t1_ns": T0 + FRAMES * STEP,
        "clock": "utc", "duration_s": 6.0, "distance_m": 60.0, "signals": [], "derived": [], "signal_rows": 0, "track_rows": FRAMES,
        "tracks": 1, "frames": len(frames), "lane_rows": 0, "light_rows": 0, "has_map": False,
    }]  # fmt: skip
    for name, rows in (("DRIVES", drives), ("FRAMES", frames), ("TRACKS", tracks), ("EVENTS", events), ("EXPOSURE", exposure)):
        write_table(store, name, rows_table(name, rows), batch_id=BATCH, part=drive)
    put_ledger(store)
