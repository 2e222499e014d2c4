"""kill -9 while `flywheel ingest` works: `python -m benchmarks.ingest_kills --drives 50 --kills 20 [--s3] [--inbox]`.

An undisturbed run shows what a batch becomes. Then, kill by kill: a root of its own, the process killed a seeded random moment after it
has written a seeded random number of those objects, one more run, and every table part, media object and manifest compared byte for byte
with the undisturbed root. Exit status 1 if any differs. --s3 does it on a local SeaweedFS; --inbox lets the drives come through the inbox.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.seaweed import seaweed
from flywheel.ingest.run import committed
from flywheel.store import open_store
from flywheel.types import sha256_hex

PAUSE_S = 0.1
PLACES = ("tables/", "media/", "landing/", "quarantine/")
STAMP_NS = 1_760_000_000_000_000_000


class Kill(NamedTuple):
    """One kill: after how many objects, how many drives were committed by then, and whether the root ended equal to the undisturbed one."""

    objects: int
    ended: bool
    drives: int
    equal: bool


class Place(NamedTuple):
    """Where roots are made: a folder, or a bucket."""

    base: str
    folder: Path
    inbox: bool

    def root(self, name: str) -> str:
        """A root that is not there yet."""
        return f"{self.base}/{name}"


def command(place: Place, root: str, logs: Path) -> list[str]:
    """One `flywheel ingest`."""
    words = ["--settle-s", "0"] if place.inbox else ["--logs", str(logs)]
    return [str(Path(sys.executable).parent / "flywheel"), "ingest", "--root", root, "--json", *words]


def prepare(place: Place, root: str, logs: Path) -> None:
    """Puts the drives into the root's inbox where they come that way. Their stamps are the same in every root, hence the batch's id."""
    if not place.inbox:
        return
    store = open_store(root)
    for file in sorted(path for path in logs.rglob("*") if path.is_file()):
        key = f"inbox/{file.relative_to(logs).as_posix()}"
        store.put_file(key, file)
        if not root.startswith("s3://"):
            os.utime(Path(root, key), ns=(STAMP_NS, STAMP_NS))


def finish(place: Place, root: str, logs: Path) -> float:
    """Runs to the end; the seconds it took."""
    started = time.monotonic()
    subprocess.run(command(place, root, logs), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def kill_at(place: Place, root: str, logs: Path, *, objects: int, pause_s: float) -> bool:
    """Starts a run and kills it a little after it has written so many objects; True if it had ended by then."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process, store = subprocess.Popen(command(place, root, logs), start_new_session=True, **quiet), open_store(root)
    while process.poll() is None and sum(len(store.list(folder)) for folder in PLACES) < objects:
        time.sleep(0.01)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=pause_s)
        return True
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return False


def contents(root: str) -> dict[str, str]:
    """Key -> hash of everything that ingest makes."""
    store = open_store(root)
    return {key: sha256_hex(store.get(key)) for place in PLACES for key in store.list(place)}


def make_logs(folder: Path, *, drives: int) -> Path:
    """Small drives without cameras, a folder log with pictures in PandaSet's layout, and a file that nobody can read."""
    from tests.ingest.make_mcap import make_mcap
    from tests.ingest.make_pandaset import make_sequence

    folder.mkdir(parents=True)
    for k in range(drives - 1):
        make_mcap(folder / f"{k:03}.mcap", seconds=2.0 + k % 3, speed_mps=5.0 + k / 10, camera=False)
    make_sequence(folder / "sequence")
    (folder / "junk.bin").write_bytes(b"who knows")
    return folder


@contextlib.contextmanager
def places(folder: Path, *, s3: bool, inbox: bool) -> Iterator[Place]:
    """Where the roots go."""
    if not s3:
        yield Place(str(folder), folder, inbox)
        return
    with seaweed(folder) as server:
        os.environ.update(server.env)
        yield Place(server.bucket("kills"), folder, inbox)


def run(place: Place, *, drives: int, kills: int, seed: int) -> list[Kill]:
    """Every kill's fate, printed as it happens."""
    logs = make_logs(place.folder / "logs", drives=drives)
    prepare(place, place.root("calm"), logs)
    whole_s = finish(place, place.root("calm"), logs)
    wanted, moments, found = contents(place.root("calm")), random.Random(seed), []
    print(f"undisturbed: {whole_s:.1f} s, {len(committed(open_store(place.root('calm'))))} drives, {len(wanted)} objects")
    for number in range(kills):
        root, objects = place.root(f"kill-{number}"), moments.randrange(len(wanted))
        prepare(place, root, logs)
        ended = kill_at(place, root, logs, objects=objects, pause_s=moments.uniform(0.0, PAUSE_S))
        drives_then = len(committed(open_store(root)))
        finish(place, root, logs)
        found.append(Kill(objects, ended, drives_then, contents(root) == wanted))
        fate = "ended before" if ended else f"killed with {drives_then:3} of {drives} drives committed"
        print(f"{number + 1:3}  after {objects:4} objects  {fate}  equal: {'yes' if found[-1].equal else 'NO'}", flush=True)
        if not root.startswith("s3://"):
            shutil.rmtree(root)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--inbox", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-kills-") as folder, places(Path(folder), s3=args.s3, inbox=args.inbox) as place:
        found = run(place, drives=args.drives, kills=args.kills, seed=args.seed)
    tally = {"kills": len(found), "in the middle": sum(not k.ended for k in found), "equal": sum(k.equal for k in found)}
    print(json.dumps(tally | {"drives committed at each kill": [k.drives for k in found]}))
    sys.exit(0 if all(k.equal for k in found) else 1)


if __name__ == "__main__":
    main()
