"""A few hundred hostile logs through the real path; `python -m benchmarks.ingest_hostile` sends thousands."""

import gzip
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.adversarial import bombs
from tests.adversarial.kinds import kind_of
from tests.adversarial.mutate import MUTATIONS, spoiled
from tests.adversarial.run import GOOD, Case, Worker, cases, run
from tests.adversarial.seeds import seeds, unseeded
from tests.adversarial.worker import Sandbox, judged

INPUTS = 150
# What a longer run found, once: (log, mutation, number, seed).
FOUND = [
    Case("av2_sensor", "schema", 0, 41), Case("physicalai", "schema", 0, 11), Case("physicalai", "schema", 1, 21),
    Case("can_asc", "nan", 0, 20), Case("can_blf", "nan", 0, 21), Case("mcap", "zstd_bomb", 1, 20), Case("mcap_ros2", "flip", 4, 11),
]  # fmt: skip


def test_every_format_has_a_valid_log_to_spoil() -> None:
    assert unseeded() == []


@pytest.mark.parametrize("name", sorted(seeds()))
def test_every_seed_is_ingested_as_it_is(tmp_path: Path, name: str) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(seeds()[name])
    assert judged(sandbox) == {"fate": "ingested", "why": ""}


@pytest.mark.slow
def test_hostile_logs_end_as_a_drive_or_with_a_reason() -> None:
    found = list(run([*FOUND, *cases(INPUTS, seed=20)], workers=2))
    bad = [f"{r.case.log}/{r.case.mutation}/{r.case.number} {r.fate}: {r.why[:200]}" for r in found if r.fate not in GOOD]
    assert bad == []
    assert len(found) == INPUTS + len(FOUND)
    assert sum(r.fate == "quarantined" for r in found) > INPUTS / 4
    assert all(r.why for r in found if r.fate == "quarantined")


@pytest.mark.parametrize("mutation", [m.name for m in MUTATIONS])
def test_a_mutation_is_the_same_each_time_and_always_changes_something(mutation: str) -> None:
    kind = next(m for m in MUTATIONS if m.name == mutation)
    for name, files in seeds().items():
        if not kind.applies(files):
            continue
        once, again, other = (spoiled(files, mutation, seed=seed, number=7) for seed in (1, 1, 2))
        assert once == again, name
        assert files not in (once, other), name


def test_a_truncation_falls_on_every_tenth_of_every_file() -> None:
    files = seeds()["pandaset"]
    cuts = [spoiled(files, "truncate", seed=1, number=k) for k in range(10 * len(files))]
    changed = {(path, len(cut[path]) * 10 // len(data)) for cut in cuts for path, data in files.items() if cut[path] != data}
    assert {path for path, _ in changed} == set(files)


def test_the_bombs_are_small_and_unpack_to_gigabytes() -> None:
    for kind in ("gz", "bz2", "zstd", "lz4"):
        assert len(bombs.bomb(kind)) < 10_000_000
    with gzip.open(io.BytesIO(bombs.bomb("gz"))) as opened:
        assert sum(len(opened.read(1 << 20)) for _ in range(100)) == 100 << 20
    with zipfile.ZipFile(io.BytesIO(bombs.bomb("zip"))) as archive:
        assert sum(info.file_size for info in archive.infolist()) > 500_000_000
    assert kind_of("x", bombs.bomb("zstd")) == "zstd"


def stub(folder: Path, code: str) -> Worker:
    """A worker that runs this code instead."""
    script = folder / "stub.py"
    script.write_text(f"import json, os, sys, time\nfor line in sys.stdin:\n    {code}\n")
    return Worker(folder / "worker", folder / "seeds", command=(sys.executable, str(script)), limit_s=0.5)


@pytest.mark.parametrize(
    ("code", "fate"), [("os.abort()", "crashed"), ("sys.exit(0)", "crashed"), ("time.sleep(600)", "over time")]
)  # fmt: skip
def test_a_worker_that_dies_or_hangs_is_counted_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, fate: str) -> None:
    monkeypatch.setattr("tests.adversarial.run.START_S", 2.0)
    worker = stub(tmp_path, code)
    case = Case("mcap", "flip", 0, 1)
    assert [worker(case).fate, worker(case).fate] == [fate, fate]
    worker.close()


def test_memory_and_time_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    answer = {"fate": "ingested", "why": "", "seconds": 0.1, "memory": 2 << 30}
    worker = stub(tmp_path, f"print({json.dumps(json.dumps(answer))}, flush=True)")
    assert worker(Case("mcap", "flip", 0, 1)).fate == "over memory"
    worker.close()


def test_a_file_beside_the_sandbox_is_an_escape(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "box")
    sandbox.prepare({"a": b"1"})
    assert sandbox.escaped() == []
    (sandbox.inside.parent / bombs.CANARY).write_text("x")
    (sandbox.tmp / "left").write_text("x")
    assert len(sandbox.escaped()) == 2


def test_a_watched_process_is_caught_at_it(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    code = f"""
import os, socket, subprocess, sys
from pathlib import Path
from tests.adversarial.worker import Watch
watch = Watch(Path({str(inside)!r})); watch.on = True
open({str(inside / "fine")!r}, "w").close()
assert watch.seen == [], watch.seen
open({str(tmp_path / "out")!r}, "w").close(); os.mkdir({str(tmp_path / "made")!r}); subprocess.run(["true"]); os.system("true")
try: socket.create_connection(("127.0.0.1", 9), timeout=0.1)
except OSError: pass
watch.on = False
print(len(watch.seen), " ".join(entry.split()[0] for entry in watch.seen))
"""
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    assert done.returncode == 0, done.stderr
    assert {"open", "os.mkdir", "subprocess.Popen", "os.system", "socket.connect"} <= set(done.stdout.split())
