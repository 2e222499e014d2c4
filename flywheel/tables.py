"""Table schemas (units in column names, nullability explicit) and the one checked read/write pair.

A table is a set of Parquet parts at `tables/<TABLE>/batch=<id>/<part>.parquet`. Times are int64 ns UTC.
The ego frame is x forward, y left, z up, origin on the ground under the rear axle's centre.
"""

import io
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flywheel.errors import BadSchema
from flywheel.store import Store

VERSION = "3"
ROW_GROUP = 1 << 17


def _schema(*required: tuple[str, pa.DataType], optional: tuple[tuple[str, pa.DataType], ...] = ()) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=False) for name, kind in required]
    return pa.schema(fields + [pa.field(name, kind, nullable=True) for name, kind in optional])


TEXT, INT, I64, REAL, FLAG, WORDS = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_(), pa.list_(pa.string())

SCHEMAS: dict[str, pa.Schema] = {
    # clock_offset_ns, clock_error_ns: what the sensors' own stamps say of t_ns. fingerprint: digests of what was driven, by whatever name.
    # policy_sha256: the ingest policy the drive was read under; trimmed_m: the metres of its route that policy left out.
    "DRIVES": _schema(
        ("drive_id", TEXT), ("batch_id", TEXT), ("source_format", TEXT), ("source_name", TEXT), ("source_sha256", TEXT),
        ("vehicle_id", TEXT), ("place", TEXT), ("day", TEXT), ("root_group", TEXT),
        ("t0_ns", I64), ("t1_ns", I64), ("clock", TEXT), ("duration_s", REAL), ("distance_m", REAL),
        ("signals", WORDS), ("derived", WORDS),
        ("signal_rows", I64), ("track_rows", I64), ("tracks", I64), ("frames", I64), ("lane_rows", I64), ("light_rows", I64),
        ("has_map", FLAG),
        optional=(
            ("clock_offset_ns", I64), ("clock_error_ns", I64), ("licence", TEXT), ("fingerprint", WORDS),
            ("policy_sha256", TEXT), ("trimmed_m", REAL),
        ),
    ),
    # One row per sample of the fastest ego stream; slower streams are null between their own samples.
    # steering_rad is the road wheels' angle, steering_wheel_rad what the driver holds; both are positive to the left.
    # wheel_speed_mps: the driven wheels' circumference. engaged (automation drives), driver_override (steering or pedal against it), fcw
    # (collision warning), aeb, abs, esc: 1 while active, 0 while not.
    "SIGNALS": _schema(
        ("drive_id", TEXT), ("t_ns", I64),
        optional=(
            ("speed_mps", REAL), ("ax_mps2", REAL), ("ay_mps2", REAL), ("yaw_rate_radps", REAL),
            ("steering_rad", REAL), ("steering_wheel_rad", REAL), ("brake", REAL), ("throttle", REAL),
            ("imu_ax_mps2", REAL), ("imu_ay_mps2", REAL), ("imu_az_mps2", REAL), ("imu_yaw_rate_radps", REAL),
            ("lat_deg", REAL), ("lon_deg", REAL), ("x_m", REAL), ("y_m", REAL), ("heading_rad", REAL),
            ("sun_elevation_deg", REAL), ("sun_azimuth_rad", REAL), ("illuminance_lx", REAL), ("visibility_m", REAL),
            ("rain_mmph", REAL), ("snow_mmph", REAL), ("temperature_c", REAL),
            ("wheel_speed_mps", REAL), ("roll_rate_radps", REAL),
            ("engaged", REAL), ("driver_override", REAL), ("fcw", REAL), ("aeb", REAL), ("abs", REAL), ("esc", REAL),
        ),
    ),
    # Boxes in the ego frame at t_ns: centre, heading and size; velocity over ground, in the ego frame's axes.
    # subclass says more than cls where the source does: animal, debris, cone, barrier, sign, emergency_vehicle, motorcycle ...
    # flashing: its warning lights flash.
    "TRACKS": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("track_id", TEXT), ("cls", TEXT),
        ("x_m", REAL), ("y_m", REAL), ("z_m", REAL), ("heading_rad", REAL), ("length_m", REAL), ("width_m", REAL), ("height_m", REAL),
        ("vx_mps", REAL), ("vy_mps", REAL),
        optional=(("visible", FLAG), ("position_sigma_m", REAL), ("velocity_sigma_mps", REAL), ("subclass", TEXT), ("flashing", FLAG)),
    ),
    # The light that governs the ego lane; the distance runs from the front bumper to its stop line, negative once passed.
    "LIGHTS": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("light_id", TEXT), ("state", TEXT), optional=(("stop_line_m", REAL),)
    ),
    # What a map says about the ego's lane at t_ns (lane_index 0 is the rightmost, offset is positive to the left).
    # lanes: how many lead the ego's way; lane_ends_m: from the front bumper to where the ego lane ends; control: what rules the next stop
    # line (light, stop, yield); road_left_m, road_right_m: from the ego's centre to the drivable area's edges, both positive inside.
    "LANES": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("lane_id", TEXT), ("lane_index", INT), ("offset_m", REAL), ("width_m", REAL),
        ("curvature_1pm", REAL), ("in_junction", FLAG),
        optional=(
            ("curvature_ahead_1pm", REAL), ("junction_m", REAL), ("stop_line_m", REAL), ("crosswalk_m", REAL),
            ("lanes", INT), ("lane_ends_m", REAL), ("road_left_m", REAL), ("road_right_m", REAL), ("speed_limit_mps", REAL),
            ("control", TEXT),
        ),
    ),
    # Media are content-addressed. Intrinsics in pixels; the quaternion turns optical-frame axes into ego axes.
    # A frame of a video names the whole stream's hash and where its packet lies in it; pts counts in the stream's own time base.
    "FRAMES": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("camera", TEXT), ("kind", TEXT), ("media_sha256", TEXT), ("ext", TEXT),
        ("width_px", INT), ("height_px", INT),
        optional=(
            ("fx_px", REAL), ("fy_px", REAL), ("cx_px", REAL), ("cy_px", REAL),
            ("cam_x_m", REAL), ("cam_y_m", REAL), ("cam_z_m", REAL),
            ("cam_qw", REAL), ("cam_qx", REAL), ("cam_qy", REAL), ("cam_qz", REAL),
            ("video_offset", I64), ("video_bytes", I64), ("video_pts", I64), ("keyframe", FLAG),
        ),
    ),
    # One row per sensor or topic of a drive: when it spoke. Rates and jitter from the steps between samples; offset is the drive's clock
    # minus the sensor's own stamps (null where it has none), with the error of that estimate; overlap is its share of the drive's time.
    # gaps_t_ns, gaps_s: when the longest gaps (32 at most) begin, and how long they are.
    "SENSORS": _schema(
        ("drive_id", TEXT), ("sensor", TEXT), ("samples", I64), ("t0_ns", I64), ("t1_ns", I64), ("overlap", REAL),
        ("gaps", I64), ("reversals", I64),
        optional=(
            ("rate_hz", REAL), ("jitter_ms", REAL), ("longest_gap_s", REAL), ("offset_ms", REAL), ("offset_error_ms", REAL),
            ("gaps_t_ns", pa.list_(I64)), ("gaps_s", pa.list_(REAL)),
        ),
    ),
    # What the quality gates noticed about a drive that was ingested nevertheless (errors are in quarantine).
    "FINDINGS": _schema(("drive_id", TEXT), ("gate", TEXT), ("severity", TEXT), ("message", TEXT)),
    # only_conditions: under which conditions alone it would still be what it is (a red light stop under any: null).
    "EVENTS": _schema(
        ("event_id", TEXT), ("scenario", TEXT), ("level", TEXT), ("drive_id", TEXT),
        ("t0_ns", I64), ("t1_ns", I64), ("t_peak_ns", I64), ("peak", REAL), ("peak_unit", TEXT), ("actors", WORDS),
        ("condition", TEXT), ("params_sha256", TEXT), ("detector_version", TEXT), ("root_group", TEXT),
        optional=(("odd", TEXT), ("only_conditions", WORDS)),
    ),
    # One row per drive, scenario, condition and ODD stratum (odd.toml). status: evaluable or not_evaluable; exposure counts only what
    # could have been seen; encounters: road users met, each in the stratum where it came closest (null without tracks).
    # params_sha256 is the catalogue entry's digest, odd_sha256 the bins'; condition_source: environment, luma or assumed.
    "EXPOSURE": _schema(
        ("drive_id", TEXT), ("scenario", TEXT), ("condition", TEXT), ("odd", TEXT), ("status", TEXT),
        ("exposure_s", REAL), ("exposure_m", REAL), ("events", I64), ("root_group", TEXT),
        optional=(("encounters", I64), ("reason", TEXT), ("params_sha256", TEXT), ("odd_sha256", TEXT), ("condition_source", TEXT)),
    ),
    # The ledger's real side, over all batches (one part for the root, written by mining): one row per scenario and condition, and one per
    # scenario with condition "any". possible: not ruled out by the constraints (odd.toml). upper_per_h: the one-sided 95 % bound of the
    # rate, clustering counted; null where never driven. enough: real events below which the cell is a gap. Synthetic counts never enter.
    "COVERAGE": _schema(
        ("scenario", TEXT), ("condition", TEXT), ("severity", INT), ("possible", FLAG), ("exposure_s", REAL), ("exposure_m", REAL),
        ("encounters", I64), ("real_events", I64), ("vehicles", INT), ("days", INT), ("enough", INT),
        optional=(("rate_per_h", REAL), ("upper_per_h", REAL), ("rarity", REAL), ("dispersion", REAL)),
    ),
    # A few pictures of each drive as vectors of an image encoder; NOVELTY (one part for the whole root) compares them across drives.
    "EMBEDDINGS": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("camera", TEXT), ("media_sha256", TEXT), ("encoder", TEXT), ("vector", pa.list_(pa.float32())),
    ),
    "NOVELTY": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("camera", TEXT), ("media_sha256", TEXT), ("place", TEXT),
        ("cluster", TEXT), ("cluster_size", I64),
        optional=(("novelty_place", REAL), ("novelty_fleet", REAL)),
    ),
    # Once a second: how far apart two predictions of the next three seconds lie, and how far the driven way lay from the learned one.
    "SURPRISE": _schema(
        ("drive_id", TEXT), ("t_ns", I64), ("stacks_m", REAL), ("human_m", REAL), ("classical_m", REAL), ("root_group", TEXT),
    ),
    # One row per stretch of time in which a track was near the ego. Minima and maxima over it, each with its time; null: never came about.
    # relation: ahead or behind (on the ego's path, the same way), crossing, oncoming or beside. ttc_s .. mdrac_mps2: bumper to bumper on
    # the path; ttc_boxes_s: constant-velocity boxes; pet_s: over the zone that both swept, negative where both were in it at once.
    # tet_s, tit_s2: the time below 3 s of ttc_s, and its integral. distance_m: what the ego drove meanwhile.
    "ENCOUNTERS": _schema(
        ("drive_id", TEXT), ("t0_ns", I64), ("t1_ns", I64), ("track_id", TEXT), ("cls", TEXT), ("relation", TEXT), ("root_group", TEXT),
        ("exposure_s", REAL), ("distance_m", REAL), ("gap_m", REAL), ("t_gap_ns", I64), ("tet_s", REAL), ("tit_s2", REAL),
        optional=(
            ("ttc_s", REAL), ("t_ttc_ns", I64), ("ttc_boxes_s", REAL), ("t_ttc_boxes_ns", I64), ("mttc_s", REAL), ("t_mttc_ns", I64),
            ("thw_s", REAL), ("t_thw_ns", I64), ("drac_mps2", REAL), ("t_drac_ns", I64), ("mdrac_mps2", REAL), ("t_mdrac_ns", I64),
            ("pet_s", REAL), ("t_pet_ns", I64),
        ),
    ),
    # variation_id is the digest of the request. status: done or failed (run status; quality is a DECISION).
    # inserted: the object drawn into the frame, canonical JSON of a TRACKS row to be, with what it is called. clip_*: of a clip the times,
    # parents and outputs of all its frames, in order; the row's own t_ns, parent and output are its key frame's, its scores the worst.
    "VARIATIONS": _schema(
        ("variation_id", TEXT), ("event_id", TEXT), ("scenario", TEXT), ("level", TEXT), ("drive_id", TEXT), ("root_group", TEXT),
        ("t_ns", I64), ("camera", TEXT), ("parent_sha256", TEXT), ("parent_ext", TEXT),
        ("source_condition", TEXT), ("target_condition", TEXT),
        ("generator", TEXT), ("model_revision", TEXT), ("weights_sha256", TEXT), ("parameters", TEXT), ("prompt", TEXT), ("seed", I64),
        ("code_version", TEXT), ("licence", TEXT), ("status", TEXT), ("run_seconds", REAL),
        optional=(
            ("output_sha256", TEXT), ("output_ext", TEXT), ("reason", TEXT),
            ("score_integrity", REAL), ("score_structure", REAL), ("score_labels", REAL), ("score_content", REAL),
            ("score_condition", REAL), ("score_change", REAL), ("score_motion", REAL), ("score_flow", REAL),
            ("attempt", INT), ("retry_of", TEXT), ("embedding", pa.list_(pa.float32())),
            ("inserted", TEXT), ("clip_t_ns", pa.list_(I64)), ("clip_parents", WORDS), ("clip_outputs", WORDS),
        ),
    ),
    # Append-only. actor_kind: rule or person.
    "DECISIONS": _schema(
        ("decision_id", TEXT), ("subject_id", TEXT), ("verdict", TEXT), ("gate", TEXT), ("reason", TEXT),
        ("actor_kind", TEXT), ("actor", TEXT), ("rule_version", TEXT), ("decided_t_ns", I64),
        optional=(("score", REAL), ("threshold", REAL)),
    ),
    # What a model still fails: read by mining and planning at the next spin.
    "DEMANDS": _schema(
        ("demand_id", TEXT), ("model_id", TEXT), ("scenario", TEXT), ("condition", TEXT), ("metric", TEXT),
        ("value", REAL), ("target", REAL), ("samples", I64), ("weight", REAL),
    ),
}  # fmt: skip

SORT_KEYS = {
    "DRIVES": ("drive_id",), "SIGNALS": ("drive_id", "t_ns"), "TRACKS": ("drive_id", "t_ns", "track_id"),
    "LIGHTS": ("drive_id", "t_ns", "light_id"), "LANES": ("drive_id", "t_ns"), "FRAMES": ("drive_id", "t_ns", "camera", "kind"),
    "SENSORS": ("drive_id", "sensor"), "FINDINGS": ("drive_id", "gate", "message"),
    "EVENTS": ("drive_id", "t0_ns", "event_id"), "EXPOSURE": ("drive_id", "scenario", "condition", "odd"), "VARIATIONS": ("variation_id",),
    "EMBEDDINGS": ("drive_id", "t_ns", "camera"), "NOVELTY": ("drive_id", "t_ns", "camera"), "SURPRISE": ("drive_id", "t_ns"),
    "ENCOUNTERS": ("drive_id", "t0_ns", "track_id"), "COVERAGE": ("scenario", "condition"),
    "DECISIONS": ("subject_id", "decision_id"), "DEMANDS": ("demand_id",),
}  # fmt: skip


def table_key(name: str, *, batch_id: str, part: str) -> str:
    """Where one part of a table lies."""
    return f"tables/{name}/batch={batch_id}/{part}.parquet"


def conform(name: str, table: pa.Table) -> pa.Table:
    """The table with the schema's columns, types and order, sorted; BadSchema if it cannot be."""
    schema = SCHEMAS[name]
    unknown, missing = set(table.column_names) - set(schema.names), [f.name for f in schema if f.name not in table.column_names]
    required = [column for column in missing if not schema.field(column).nullable]
    if unknown or required:
        raise BadSchema(f"{name}: unknown columns {sorted(unknown)}, missing columns {required}")
    for column in missing:
        table = table.append_column(column, pa.nulls(len(table), schema.field(column).type))
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, ValueError) as err:
        raise BadSchema(f"{name}: {err}") from err
    nulls = [f.name for f in schema if not f.nullable and table[f.name].null_count]
    if nulls:
        raise BadSchema(f"{name}: nulls in required columns {nulls}")
    return table if in_order(name, table) else table.sort_by([(column, "ascending") for column in SORT_KEYS[name]])


def in_order(name: str, table: pa.Table) -> bool:
    """Whether the rows of one drive are sorted already, as far as rising times alone can tell."""
    drive_id, *rest = (table[column] for column in SORT_KEYS[name])
    if not rest or rest[0].type != I64 or len(table) == 0 or drive_id[0] != drive_id[-1]:
        return False
    times = rest[0].to_numpy()
    return bool((times[1:] > times[:-1]).all() and pc.count_distinct(drive_id).as_py() == 1)


def rows_table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    """A conforming table from row dicts (absent optional keys become null)."""
    schema = SCHEMAS[name]
    columns = {field.name: [row.get(field.name) for row in rows] for field in schema}
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise BadSchema(f"{name}: unknown columns {sorted(unknown)}")
    try:
        return conform(name, pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema}))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as err:
        raise BadSchema(f"{name}: {err}") from err


class PartWriter:
    """Writes one part piece by piece in bounded memory; the same rows give the same bytes, however they were cut into pieces."""

    def __init__(self, name: str, sink: Any) -> None:
        self.rows = 0
        self._schema = SCHEMAS[name].with_metadata({"flywheel.table": name, "flywheel.version": VERSION})
        # LZ4 and times as differences: twice as fast to read as zstd without, and no larger (benchmarks/mine_ego.py reads SIGNALS).
        clocks = [field.name for field in self._schema if field.name.endswith("t_ns")]
        self._writer = pq.ParquetWriter(
            sink, self._schema, compression="lz4", column_encoding=dict.fromkeys(clocks, "DELTA_BINARY_PACKED"),
            use_dictionary=[name for name in self._schema.names if name not in clocks],
        )  # fmt: skip
        self._held: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Takes conforming rows that come after all rows taken before."""
        self.rows += len(table)
        self._held.append(table.replace_schema_metadata(self._schema.metadata))
        if sum(map(len, self._held)) >= ROW_GROUP:
            whole = pa.concat_tables(self._held)
            full = len(whole) - len(whole) % ROW_GROUP
            self._writer.write_table(whole.slice(0, full), row_group_size=ROW_GROUP)
            self._held = [whole.slice(full)] if full < len(whole) else []

    def close(self) -> None:
        """Writes what is held and ends the part."""
        if self._held or not self.rows:
            self._writer.write_table(pa.concat_tables(self._held) if self._held else self._schema.empty_table(), row_group_size=ROW_GROUP)
        self._writer.close()


def to_parquet(name: str, table: pa.Table) -> bytes:
    """Parquet bytes of a conforming table; equal tables give equal bytes."""
    sink = io.BytesIO()
    writer = PartWriter(name, sink)
    writer.add(conform(name, table))
    writer.close()
    return sink.getvalue()


def write_table(store: Store, name: str, table: pa.Table, *, batch_id: str, part: str) -> str:
    """Writes one part and gives its key."""
    key = table_key(name, batch_id=batch_id, part=part)
    store.put(key, to_parquet(name, table))
    return key


def rewrite_table(store: Store, name: str, table: pa.Table, *, part: str) -> None:
    """Writes a part that is worked out over all batches (batch `fleet`), unless just these bytes are there already."""
    key, data = table_key(name, batch_id="fleet", part=part), to_parquet(name, table)
    if not store.exists(key) or store.get(key) != data:
        store.put(key, data)


def read_part(store: Store, key: str, *, columns: list[str] | None = None) -> pa.Table:
    """One part; BadSchema if it was written by another table or version."""
    name = key.split("/")[1]
    # Read in this thread: pq.read_table leaves threads behind that let go of the bytes later, and abort an interpreter on its way out
    # (https://github.com/apache/arrow/issues/34314). For parts of our size it is no slower.
    table = pq.ParquetFile(pa.BufferReader(store.get(key))).read(columns=columns, use_threads=False)
    meta = table.schema.metadata or {}
    if meta.get(b"flywheel.table") != name.encode() or meta.get(b"flywheel.version") != VERSION.encode():
        raise BadSchema(
            f"{key}: written as {meta.get(b'flywheel.table')} version {meta.get(b'flywheel.version')}, expected {name} {VERSION}"
        )
    return table if columns is None else table.select(columns)


def list_parts(store: Store, name: str, *, batch_id: str | None = None, part: str | None = None) -> list[str]:
    """Sorted keys of a table's parts."""
    keys = store.list(f"tables/{name}/batch={batch_id}/" if batch_id else f"tables/{name}/")
    return [key for key in keys if key.endswith(".parquet") and (part is None or key.endswith(f"/{part}.parquet"))]


def read_table(
    store: Store, name: str, *, batch_id: str | None = None, part: str | None = None, columns: list[str] | None = None
) -> pa.Table:
    """All matching parts as one table (empty, with the schema, if there are none)."""
    return concat(name, (read_part(store, key, columns=columns) for key in list_parts(store, name, batch_id=batch_id, part=part)), columns)


def concat(name: str, parts: Iterable[pa.Table], columns: list[str] | None = None) -> pa.Table:
    """Parts of one table put together."""
    schema = SCHEMAS[name] if columns is None else pa.schema([SCHEMAS[name].field(c) for c in columns])
    return pa.concat_tables([schema.empty_table(), *(part.replace_schema_metadata(None).cast(schema) for part in parts)])


def distinct(table: pa.Table, column: str) -> list[str]:
    """Sorted distinct values of a text column."""
    return sorted(pc.unique(table[column]).to_pylist())
