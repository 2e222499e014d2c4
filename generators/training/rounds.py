"""A training run that can be killed: every step has its own seed, and the state is one file that is replaced whole."""

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tqdm import tqdm

from flywheel.errors import BadData, require

STATE = "state.safetensors"


class Learner(Protocol):
    """Something that learns step by step and whose whole state is tensors."""

    def step(self, number: int, *, progress: float) -> float:
        """One step at this share of the run; its loss."""
        ...

    def tensors(self) -> dict[str, Any]:
        """All that a resumed run needs, optimizer included."""
        ...

    def load(self, tensors: dict[str, Any]) -> None:
        """Takes over what `tensors` gave."""
        ...


class Learnt(NamedTuple):
    """A run's first and last loss and the step it was resumed at."""

    resumed_at: int
    first: float
    last: float


def learn(learner: Learner, *, steps: int, out: Path, seed: int, identity: str, keep_every: int) -> Learnt:
    """Runs the steps that are still to do, with a progress bar. A resumed run ends with the weights of an unbroken one (on a CPU).

    `identity` names the run's settings and data; BadData if the state in `out` belongs to another run.
    """
    torch = require("torch", extra="generate")
    done, losses = restore(learner, out, identity=identity)
    resumed_at = done
    bar = tqdm(range(done, steps), initial=done, total=steps, desc="training", unit="step", disable=None)
    for number in bar:
        torch.manual_seed((seed << 32) + number)
        loss = learner.step(number, progress=number / steps)
        losses = (losses[0] if number else loss, loss)
        bar.set_postfix(loss=f"{loss:.4f}")
        if (number + 1) % keep_every == 0 or number + 1 == steps:
            keep(learner, out, identity=identity, done=number + 1, losses=losses)
    return Learnt(resumed_at, *losses)


def keep(learner: Learner, out: Path, *, identity: str, done: int, losses: tuple[float, float]) -> None:
    """Writes the state beside the old one and puts it in its place."""
    save_file = require("safetensors.torch", extra="generate").save_file
    out.mkdir(parents=True, exist_ok=True)
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in learner.tensors().items()}
    facts = {"identity": identity, "done": str(done), "first": repr(losses[0]), "last": repr(losses[1])}
    save_file(held, str(out / f"{STATE}.new"), metadata=facts)
    os.replace(out / f"{STATE}.new", out / STATE)


def restore(learner: Learner, out: Path, *, identity: str) -> tuple[int, tuple[float, float]]:
    """(steps done, (first, last loss)) of the state in `out`, taken over by the learner; (0, (0, 0)) without one."""
    file = out / STATE
    if not file.is_file():
        return 0, (0.0, 0.0)
    safetensors = require("safetensors", extra="generate")
    try:
        with safetensors.safe_open(str(file), "pt") as held:
            facts, tensors = held.metadata() or {}, {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118 - no mapping
    except safetensors.SafetensorError as err:
        raise BadData(f"{file} is torn: delete it to start anew ({err})") from err
    if facts.get("identity") != identity:
        raise BadData(f"{file} belongs to a run with other settings or other pairs: take another --out, or delete it to start anew")
    learner.load(tensors)
    return int(facts["done"]), (float(facts["first"]), float(facts["last"]))


def optimizer_tensors(optimizer: Any) -> dict[str, Any]:
    """The state of a torch optimizer as named tensors."""
    held = optimizer.state_dict()["state"]
    return {f"optimizer.{number}.{name}": value for number, state in held.items() for name, value in state.items()}


def load_optimizer(optimizer: Any, tensors: dict[str, Any]) -> None:
    """Takes over what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        head, _, rest = name.partition(".")
        if head == "optimizer":
            number, _, what = rest.partition(".")
            state.setdefault(int(number), {})[what] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
