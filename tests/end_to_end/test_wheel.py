"""The whole wheel as a user turns it: once, again, killed in the middle, and on a real recording."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import FLYWHEEL, REPO, flywheel, flywheel_env, spin_words

pytestmark = [pytest.mark.service, pytest.mark.slow]


def objects(root: Path) -> dict[str, tuple[int, int]]:
    return {str(file.relative_to(root)): (file.stat().st_size, file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()}


def summary_of(text: str) -> dict[str, object]:
    return json.loads(text[text.index("{\n") :])


def test_a_rare_event_goes_in_and_a_signed_release_comes_out(spun):
    found = spun.summary
    assert found["drives"] == 4 and found["quarantined"] == 0
    assert sum(found["events"].values()) > 0
    assert 8 <= found["variations"] <= 10, "a quarter of the budget again for what the gates turned away"
    assert found["variations"] == found["accepted"] + sum(found["rejected"].values())
    assert found["datasets"][0]["version"] == "v1" and found["datasets"][0]["rows"] > 0
    assert found["slices"]
    assert found["release"]["model_id"] == found["vehicle"]["model_id"]


def test_the_dataset_verifies_and_pulls(spun, tmp_path):
    ref = f"rare-driving@{spun.summary['datasets'][0]['version']}"
    flywheel("verify", ref, "--root", str(spun.root), env=spun.env)
    flywheel("pull", ref, str(tmp_path / "data"), "--root", str(spun.root), env=spun.env)
    assert list((tmp_path / "data").rglob("*"))


def test_the_same_again_does_no_work(spun):
    before = objects(spun.root)
    again = summary_of(flywheel(*spin_words(spun.root, spun.logs), env=spun.env).stdout)
    assert objects(spun.root) == before
    assert again == spun.summary


def test_killed_at_three_moments_it_still_ends_with_the_same_digest(spun, tmp_path):
    env, root, moments = flywheel_env(tmp_path), tmp_path / "root", random.Random(20261122)
    for _ in range(3):
        process = subprocess.Popen(
            [FLYWHEEL, *spin_words(root, spun.logs)],
            env=env,
            cwd=REPO,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(8, 45))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    end = summary_of(flywheel(*spin_words(root, spun.logs), env=env).stdout)
    assert end["datasets"] == spun.summary["datasets"]


def test_a_real_recording_turns_the_wheel(real_data, tmp_path):
    env = flywheel_env(tmp_path)
    logs = real_data / "pandaset_002"
    done = flywheel("spin", "--logs", str(logs), "--root", str(tmp_path / "root"), "--budget", "4", "--json", env=env)
    found = summary_of(done.stdout)
    assert found["drives"] == 1 and found["quarantined"] == 0
    assert {"cut_in", "red_light_stop"} <= set(found["not_evaluable"])
    assert 4 <= found["variations"] <= 5
    assert found["datasets"][0]["rows"] > 0


def test_a_root_without_logs_says_what_to_do(tmp_path):
    done = flywheel("spin", "--root", str(tmp_path / "root"), env=flywheel_env(tmp_path), check=False)
    assert done.returncode == 1
    assert "--logs" in done.stderr
