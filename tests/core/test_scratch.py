"""Temporary folders: gone afterwards, and gone after a kill once the next one is made."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flywheel.scratch import scratch, sweep

HOLDS = "import sys, time\nfrom flywheel.scratch import scratch\nwith scratch('test') as f:\n    print(f, flush=True)\n    time.sleep(60)"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_the_folder_is_gone_afterwards() -> None:
    with scratch("test") as folder:
        (folder / "part").write_bytes(b"x")
        assert sweep("test") == 0
        assert folder.is_dir()
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        assert sweep("test") == 0
        assert folder.is_dir()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert folder.is_dir()
    with scratch("test"):
        assert not folder.exists()
