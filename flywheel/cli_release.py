"""Commands around releases: sign one, roll it out, and what a vehicle runs."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Json, Root, app, command
from flywheel.state import state_dir
from flywheel.store import open_store

vehicle_app = typer.Typer(help="What runs in a vehicle.", no_args_is_help=True)
app.add_typer(vehicle_app, name="vehicle")

Keys = Annotated[Path | None, typer.Option(help="The folder of signing keys; the root's state folder when left out.")]


@command(app)
def release(root: Root, dataset: str = "rare-driving", keys: Keys = None, waiver: str = "", as_json: Json = False) -> None:
    """Registers the newest dataset's model and signs it as the release; --waiver says why an unevaluated model may go out."""
    from flywheel.release.ota import sign_release
    from flywheel.release.registry import register
    from flywheel.train.evaluate import evaluate_model
    from flywheel.train.run import train_model

    store, state = open_store(root), state_dir(root)
    model = train_model(store, dataset)
    register(store, model, evaluate_model(store, model), state=state)
    signed = sign_release(store, model, keys=keys or state / "keys", waiver=waiver)
    show.emit_report(signed, title="release", as_json=as_json)


@command(app)
def registry(root: Root, as_json: Json = False) -> None:
    """Registered model versions with their aliases."""
    from flywheel.release.registry import list_registered

    rows = [row.model_dump(mode="json") for row in list_registered(state_dir(root))]
    show.emit_rows(rows, title="registry", as_json=as_json, columns=("name", "version", "model_id", "aliases", "reason"))


@command(app)
def rollout(
    root: Root,
    action: Annotated[str, typer.Argument(help="STATUS, ADVANCE, HALT or ROLLBACK.")] = "STATUS",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Shows or moves the staged rollout of the current release."""
    from flywheel.release.rollout import roll

    show.emit_report(roll(open_store(root), action, keys=keys or state_dir(root) / "keys"), title="rollout", as_json=as_json)


@command(vehicle_app)
def update(
    ota: Annotated[str, typer.Option(help="Where the fleet's releases are: http(s)://, file:// or a folder.")],
    vehicle: Annotated[str, typer.Option(help="This vehicle's id.")],
    folder: Annotated[Path, typer.Option("--dir", help="The vehicle's own folder.")],
    trust: Annotated[Path | None, typer.Option(help="root.json to provision the vehicle with, once.")] = None,
    group: str = "fleet-a",
    hardware_id: str = "generic",
    as_json: Json = False,
) -> None:
    """Fetches, checks and installs the release this vehicle may take."""
    from flywheel.release.vehicle import update_vehicle

    report = update_vehicle(ota, vehicle_id=vehicle, folder=folder, trust=trust, group=group, hardware_id=hardware_id)
    show.emit_report(report, title="vehicle update", as_json=as_json)
