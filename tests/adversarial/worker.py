"""A process that ingests hostile logs, one after another, through the real path, and says what came of each and what it touched.

`python -m tests.adversarial.worker FOLDER SEEDS` reads cases as JSON lines and answers each with one. FOLDER is its own: everything the
ingest may write lies in FOLDER/in, a file beside it is an escape.
"""

import json
import os
import pickle
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.store import DiskStore, media_key
from flywheel.tables import SCHEMAS, read_table
from flywheel.types import sha256_hex
from tests.adversarial.bombs import PREPARED
from tests.adversarial.mutate import spoiled

MAX_FILE_BYTES = 1 << 28
# A backstop far above what threads reserve and never touch; the limit that counts is on memory held, and is measured.
ADDRESS_SPACE_BYTES = 8 << 30
EXPECTED = ("BadData", "BadSchema")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "pty.spawn")
REACHES = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "urllib.Request",
    "ftplib.connect",
)
AT_A_FOLDER = ("os.remove", "os.rmdir", "os.mkdir", "os.chmod")
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "shutil.rmtree")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Watch:
    """Notes what this process does that reading a log has no need of: processes, the network, files outside its folder."""

    def __init__(self, inside: Path) -> None:
        self.inside, self.seen = inside, list[str]()
        self.on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in STARTS or event in REACHES:
            self.seen.append(f"{event} {args!r}"[:200])
        elif event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
            self._place(event, args[0], args[-1] if event in AT_A_FOLDER else -1)

    def _place(self, event: str, place: Any, folder: int) -> None:
        if isinstance(place, str | bytes | os.PathLike):
            base = os.readlink(f"/proc/self/fd/{folder}") if folder >= 0 else "/"
            where = Path(os.path.abspath(os.path.join(base, os.fsdecode(place))))
            if not where.is_relative_to(self.inside) and where != Path("/dev/null"):
                self.seen.append(f"{event} {where}"[:200])


class Sandbox:
    """The worker's folder: in/logs, in/root, in/tmp; beside `in` nothing may ever appear."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inside = folder, folder / "a/b/c/in"
        self.logs, self.root, self.tmp = (self.inside / name for name in ("logs", "root", "tmp"))

    def prepare(self, files: dict[str, bytes]) -> None:
        """Writes the log into an empty sandbox."""
        shutil.rmtree(self.inside, ignore_errors=True)
        for place in (self.logs, self.tmp):
            place.mkdir(parents=True)
        for path, data in files.items():
            file = self.logs / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def escaped(self) -> list[str]:
        """Files beside the sandbox, or left in its folder for temporary files."""
        above = (self.folder, self.folder / "a", self.folder / "a/b", self.folder / "a/b/c")
        expected = {self.folder / "a", self.folder / "a/b", self.folder / "a/b/c", self.inside}
        beside = [str(found) for place in above for found in place.iterdir() if found not in expected]
        left = [f"left behind: {found.name}" for found in self.tmp.iterdir()]
        return beside + left + [f"/tmp/{name}" for name in os.listdir("/tmp") if name.startswith("escaped")]


def judged(sandbox: Sandbox) -> dict[str, str]:
    """What became of the log in the sandbox: {"fate", "why"}."""
    store = DiskStore(sandbox.root)
    try:
        batch_id = land(store, sandbox.logs)
    except BadData as err:
        return {"fate": "quarantined", "why": f"not landed: {err}"}
    report = ingest_batch(store, batch_id)
    strange = [q for q in report.quarantined if q.kind not in EXPECTED or not q.reason.strip()]
    if strange:
        return {"fate": "unexpected", "why": f"{strange[0].kind}: {strange[0].reason}"}
    if not report.drives and not report.quarantined:
        return {"fate": "unexpected", "why": f"neither a drive nor quarantined: {report}"}
    if wrong := unsound(store):
        return {"fate": "unsound", "why": wrong}
    return {"fate": "ingested", "why": ""} if report.drives else {"fate": "quarantined", "why": report.quarantined[0].reason}


def unsound(store: DiskStore) -> str:
    """What is wrong with the tables of a root: values that are no numbers, times that go back, media that are not what they are called."""
    for name in SCHEMAS:
        for key in store.list(f"tables/{name}/"):
            table = read_table(store, name, part=key.rpartition("/")[2].removesuffix(".parquet"))
            for field in table.schema:
                if pa.types.is_floating(field.type) and not np.isfinite(table[field.name].drop_null().to_numpy()).all():
                    return f"{name}.{field.name} holds NaN or infinity"
            if "t_ns" in table.column_names and (np.diff(table["t_ns"].to_numpy()) < 0).any():
                return f"{name}: times go back"
            for row in table.to_pylist() if name == "FRAMES" else ():
                if not store.exists(media_key(row["media_sha256"], row["ext"])):
                    return f"FRAMES names {row['media_sha256']}, which is not in the store"
    for key in store.list("media/"):
        if sha256_hex(store.get(key)) != key.rpartition("/")[2].partition(".")[0]:
            return f"{key} does not have the hash it is called by"
    return ""


def peak_rss_bytes() -> int:
    """The most memory this process held since `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def children() -> list[str]:
    """Processes that this one started and that still run."""
    return " ".join(file.read_text() for file in Path("/proc/self/task").glob("*/children")).split()


def answer(case: dict[str, Any], seed_logs: dict[str, dict[str, bytes]], sandbox: Sandbox, watch: Watch) -> dict[str, Any]:
    """What came of one case."""
    sandbox.prepare(spoiled(seed_logs[case["log"]], case["mutation"], seed=case["seed"], number=case["number"]))
    Path("/proc/self/clear_refs").write_text("5")
    before, began, watch.seen, watch.on = peak_rss_bytes(), time.monotonic(), [], True
    try:
        found = judged(sandbox)
    except Exception as err:  # noqa: BLE001 what comes out of the ingest is the finding
        found = {"fate": "unexpected", "why": f"raised {type(err).__name__}: {err}"}
    watch.on = False
    if touched := watch.seen + sandbox.escaped() + children():
        found = {"fate": "escaped", "why": "; ".join(touched)}
    return found | {"seconds": time.monotonic() - began, "memory": max(0, peak_rss_bytes() - before)}


def main() -> None:
    """Answers until the input ends."""
    folder, seed_file = Path(sys.argv[1]), Path(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    sandbox = Sandbox(folder)
    sandbox.prepare({})
    os.environ["TMPDIR"] = str(sandbox.tmp)
    os.chdir(sandbox.tmp)
    seed_logs, prepared = pickle.loads(seed_file.read_bytes())  # noqa: S301 written by the process that started this one
    PREPARED.update(prepared)
    watch = Watch(sandbox.inside)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    for line in sys.stdin:
        os.chdir("/")
        case = json.loads(line)
        replies.write(json.dumps(answer(case, seed_logs, sandbox, watch)) + "\n")


if __name__ == "__main__":
    main()
