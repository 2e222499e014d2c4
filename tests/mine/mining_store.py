"""Hand-built drives in a store, as ingest would have left them."""

from mined_drives import Build, at_ns, ramp

from flywheel.store import Store
from flywheel.tables import rows_table, write_table

BRAKES = ramp((0, 20), (5, 20), (6.5, 14), (20, 14))
RAIN = {
    "sun_elevation_deg": 30.0,
    "sun_azimuth_rad": 0.0,
    "illuminance_lx": 9000.0,
    "visibility_m": 9000.0,
    "rain_mmph": 3.0,
    "snow_mmph": 0.0,
}


def put_drive(store: Store, name: str, built: Build, *, batch: str = "b-1", frames: list[dict[str, object]] | None = None) -> None:
    """Writes a hand-built drive as ingest would have."""
    tables = built.tables()
    parts = {"SIGNALS": tables.signals, "TRACKS": tables.tracks, "LIGHTS": tables.lights, "LANES": tables.lanes}
    if frames:
        parts["FRAMES"] = rows_table("FRAMES", frames)
    for table, rows in parts.items():
        write_table(store, table, rows, batch_id=batch, part=name)
    row = {
        "drive_id": name, "batch_id": batch, "source_format": "mcap", "source_name": f"{name}.mcap", "source_sha256": "0" * 64,
        "vehicle_id": "v1", "place": "town", "day": "2026-11-01", "root_group": f"v-{name}|2026-11-01|town", "t0_ns": at_ns(0),
        "t1_ns": at_ns(built.duration_s), "clock": "utc", "duration_s": built.duration_s, "distance_m": 1.0, "signals": [], "derived": [],
        "signal_rows": 1, "track_rows": 1, "tracks": 1, "frames": 0, "lane_rows": 0, "light_rows": 0, "has_map": True,
    }  # fmt: skip
    write_table(store, "DRIVES", rows_table("DRIVES", [row]), batch_id=batch, part=name)
