"""How fast an MCAP is ingested, and in how much memory: 100 Hz signals, 10 Hz x 100 tracks, 10 fps H.264.

    python -m benchmarks.ingest_mcap [--minutes 60]

Each length is made once and measured in processes of its own: (a) the plain `mcap` reader loop that decodes the same messages into
Python lists (json.loads, the mcap_protobuf decoder, one step a track), (b) reading the file's bytes, and `ingest_batch` as it is:
reading, checking hashes and checksums, gates, Parquet parts, media.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.mcap_hour import make_drive
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.store import DiskStore

Measured = dict[str, float]


def plain_loop(file: Path) -> Measured:
    """Decodes every message into Python lists, as a script would."""
    from mcap.decoder import DecoderFactory as Decoders
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory as Protobuf

    class Json(Decoders):
        def decoder_for(self, message_encoding: str, schema: Any) -> Callable[[bytes], Any] | None:
            return json.loads if message_encoding == "json" else None

    signals: list[list[float]] = []
    tracks: list[list[Any]] = []
    packets: list[int] = []
    messages = 0
    with file.open("rb") as stream:
        for _, channel, message, said in make_reader(stream, decoder_factories=[Json(), Protobuf()]).iter_decoded_messages():
            messages += 1
            if channel.message_encoding == "json":
                signals.append([message.log_time, *said.values()])
            elif channel.topic == "/tracks":
                tracks.extend(track_row(message.log_time, entity) for entity in said.entities)
            elif channel.topic == "/gnss":
                signals.append([message.log_time, said.latitude, said.longitude])
            else:
                packets.append(len(said.data))
    return {"messages": messages, "rows": len(signals) + len(tracks) + len(packets)}


def track_row(t_ns: int, entity: Any) -> list[Any]:
    """The values of one TRACKS row."""
    said = {pair.key: pair.value for pair in entity.metadata}
    pose, size = entity.cubes[0].pose, entity.cubes[0].size
    place, turn = pose.position, pose.orientation
    return [
        t_ns, entity.id, entity.frame_id, said["cls"], place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w,
        size.x, size.y, size.z, float(said["vx_mps"]), float(said["vy_mps"]), said["visible"] == "true", float(said["position_sigma_m"]),
    ]  # fmt: skip


def read_bytes(file: Path) -> Measured:
    """Reads the file."""
    total = 0
    with file.open("rb") as stream:
        while data := stream.read(1 << 20):
            total += len(data)
    return {"bytes": total}


def ingest(root: Path) -> Measured:
    """Ingests the one landed batch of a store."""
    store = DiskStore(root)
    (batch,) = {key.split("/")[1] for key in store.list("landing/")}
    report = ingest_batch(store, batch)
    assert report.drives == 1, report
    return {f"rows {name}": count for name, count in report.rows.items()}


STEPS: dict[str, Callable[[Path], Measured]] = {"plain": plain_loop, "bytes": read_bytes, "ingest": ingest}


def measure(step: str, path: Path) -> Measured:
    """What one step took, in a process of its own: seconds (without imports of this module) and peak resident memory."""
    command = [sys.executable, "-m", "benchmarks.ingest_mcap", "--step", step, "--path", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{step} failed:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_step(step: str, path: Path) -> None:
    """Runs one step and prints what it took as JSON."""
    begin, worked = time.perf_counter(), time.process_time()
    found = STEPS[step](path)
    seconds, cpu_s = time.perf_counter() - begin, time.process_time() - worked
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_mb, **found}))


def bench(minutes: float, folder: Path) -> Measured:
    """All steps on one length."""
    file = folder / "logs" / f"{minutes:g}min.mcap"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        make_drive(file, seconds=minutes * 60)
    with tempfile.TemporaryDirectory(dir=folder) as root:
        land(DiskStore(Path(root)), file)
        taken = measure("ingest", Path(root))
    plain, raw = measure("plain", file), measure("bytes", file)
    rows = sum(count for name, count in taken.items() if name.startswith("rows ") and name != "rows DRIVES")
    return {
        "minutes": minutes, "file MB": raw["bytes"] / 1e6, "messages": plain["messages"], "rows": rows,
        "ingest s": taken["seconds"], "(a) plain s": plain["seconds"], "(b) bytes s": raw["seconds"],
        "(a) / ingest": plain["seconds"] / taken["seconds"], "ingest / (b)": taken["seconds"] / raw["seconds"],
        "ingest CPU s": taken["cpu_s"], "(a) CPU s": plain["cpu_s"], "(a)/ingest, CPU": plain["cpu_s"] / taken["cpu_s"],
        "rows/s": rows / taken["seconds"], "x real time": minutes * 60 / taken["seconds"],
        "ingest peak MB": taken["peak_mb"], "(a) peak MB": plain["peak_mb"],
    }  # fmt: skip


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="the longest drive; a quarter and a half of it are measured too")
    parser.add_argument("--folder", type=Path, help="keeps the made drives here for the next time")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--path", type=Path)
    given = parser.parse_args()
    if given.step:
        run_step(given.step, given.path)
        return
    with tempfile.TemporaryDirectory(prefix="flywheel-bench-") as made:
        found = [bench(given.minutes * share, given.folder or Path(made)) for share in (0.25, 0.5, 1.0)]
    for name in found[0]:
        digits = 0 if found[-1][name] >= 100 else 2
        print(f"{name:<16}" + "".join(f"{row[name]:>16,.{digits}f}" for row in found))


if __name__ == "__main__":
    main()
