"""How long a tick of the landing sensor takes when many files have come at once: `python -m benchmarks.inbox_tick [--files N] [--s3]`.

With --s3 a SeaweedFS server is started on this machine. The sensor's limit is Dagster's 60 s. Prints one row a tick.
"""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg

from assets.automation import Inbox, landing_sensor
from assets.resources import Flywheel
from benchmarks.seaweed import seaweed
from flywheel.store import open_store

FOLDER_FILES = 20


def names(files: int) -> list[str]:
    """Half of the files are logs by themselves, half belong to folder logs of FOLDER_FILES each."""
    folder = [f"inbox/veh-{k % 17}/seq{k // FOLDER_FILES:04}/camera/front_camera/{k % FOLDER_FILES:02}.jpg" for k in range(files // 2)]
    return [f"inbox/veh-{k % 13}/2026-11-22/run{k:05}.mcap" for k in range(files - len(folder))] + folder


@contextlib.contextmanager
def root(*, s3: bool) -> Iterator[str]:
    """An empty root on disk, or in a bucket of a SeaweedFS server."""
    with tempfile.TemporaryDirectory(prefix="inbox-tick-") as folder:
        if not s3:
            yield f"{folder}/root"
            return
        with seaweed(Path(folder)) as server:
            os.environ.update(server.env)
            yield server.bucket("tick")


def main() -> None:
    """Fills an inbox and looks at it as the sensor does: at first, once settled, and again with nothing new."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--s3", action="store_true")
    args = parser.parse_args()
    with root(s3=args.s3) as place, dg.DagsterInstance.ephemeral() as instance:
        store = open_store(place)
        store.put("inbox/.here", b"")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: store.put(name, name.encode()), names(args.files)))
        time.sleep(2)
        cursor = ""
        print(f"{args.files} files on {'SeaweedFS' if args.s3 else 'disk'}")
        for tick in ("first look", "settled: claims", "nothing new"):
            started = time.perf_counter()
            resources = {"flywheel": Flywheel(root=place), "inbox": Inbox(settle_s=1)}
            found = landing_sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources))
            assert isinstance(found, dg.SensorResult)
            seconds = time.perf_counter() - started
            print(
                f"{tick:18} {seconds:6.2f} s   {len(found.run_requests or ()):4} runs asked for   cursor {len(found.cursor or ''):7} bytes"
            )
            for request in found.dynamic_partitions_requests or ():
                instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            cursor = found.cursor or ""


if __name__ == "__main__":
    main()
