"""The rollout state machine: which vehicles may replace their model, stage by stage. All pure."""

from enum import StrEnum
from typing import Literal

from flywheel.errors import GateFailed
from flywheel.types import Record, sha256_hex

STAGES: tuple[tuple[str, float], ...] = (("canary", 1.0), ("early", 10.0), ("half", 50.0), ("everyone", 100.0))
BUCKETS = 10_000
State = Literal["rolling", "halted", "complete", "rolled_back"]


class Command(StrEnum):
    """What a person may ask of a rollout."""

    STATUS = "STATUS"
    ADVANCE = "ADVANCE"
    HALT = "HALT"
    ROLLBACK = "ROLLBACK"


class Rollout(Record):
    """How far one release has come. `previous_*` is the release it replaces, None for the first."""

    release_version: int
    model_id: str
    previous_version: int | None = None
    previous_model_id: str | None = None
    stage: int = 0
    state: State = "rolling"
    history: tuple[str, ...] = ()

    @property
    def percent(self) -> float:
        """Share of vehicles that may take the release now."""
        return STAGES[self.stage][1] if self.state in ("rolling", "complete") else 0.0

    @property
    def stage_name(self) -> str:
        """The stage's name."""
        return STAGES[self.stage][0]


def start(*, release_version: int, model_id: str, replaces: Rollout | None, staged: bool) -> Rollout:
    """A new release's rollout: at the first stage, or complete at once where it is not staged (the first one, a rollback)."""
    return Rollout(
        release_version=release_version, model_id=model_id,
        previous_version=replaces.release_version if replaces else None, previous_model_id=replaces.model_id if replaces else None,
        stage=0 if staged else len(STAGES) - 1, state="rolling" if staged else "complete", history=(f"release {release_version}",),
    )  # fmt: skip


def step(rollout: Rollout, command: Command) -> Rollout:
    """The rollout after a command; GateFailed if the command does not fit its state.

    ADVANCE goes one stage on, or goes on after a halt; HALT stops further vehicles; ROLLBACK ends this release.
    """
    if command is Command.STATUS:
        return rollout
    if rollout.state == "rolled_back":
        raise GateFailed(f"release {rollout.release_version} was rolled back: sign a new release")
    if command is Command.HALT:
        if rollout.state == "halted":
            raise GateFailed(f"release {rollout.release_version} is halted already")
        return _after(rollout, command, state="halted")
    if command is Command.ROLLBACK:
        if rollout.previous_model_id is None:
            raise GateFailed(f"release {rollout.release_version} is the first one: there is nothing to roll back to; HALT it instead")
        return _after(rollout, command, state="rolled_back")
    return _advanced(rollout)


def _advanced(rollout: Rollout) -> Rollout:
    last = len(STAGES) - 1
    if rollout.state == "complete":
        raise GateFailed(f"release {rollout.release_version} has reached every vehicle already")
    if rollout.state == "halted":
        return _after(rollout, Command.ADVANCE, state="complete" if rollout.stage == last else "rolling")
    stage = rollout.stage + 1
    return _after(rollout, Command.ADVANCE, stage=stage, state="complete" if stage == last else "rolling")


def _after(rollout: Rollout, command: Command, **changes: object) -> Rollout:
    changed = rollout.model_copy(update=changes)
    line = f"{command.value}: {changed.state} at {changed.stage_name} ({changed.percent:g}%)"
    return changed.model_copy(update={"history": (*rollout.history, line)})


def includes(rollout: Rollout, vehicle_id: str) -> bool:
    """Whether a vehicle may replace its model now: its bucket is a hash of release and vehicle, so stages only grow."""
    bucket = int(sha256_hex(f"{rollout.release_version}|{vehicle_id}".encode())[:12], 16) % BUCKETS
    return bucket < rollout.percent / 100 * BUCKETS
