"""Registration, the signed release, and a vehicle that fetches and checks it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from assets.publish import RecipeConfig
from assets.report import Metadata, markdown_table
from assets.resources import Flywheel, reported

OWNERS = ["team:release-engineering"]
DEMO_VEHICLE = "demo-vehicle"


@dg.asset(
    deps=["model", "evaluation"],
    group_name="release",
    owners=OWNERS,
    kinds={"mlflow"},
    description="The model's version in the registry, with the aliases candidate and champion and why it got them.",
)
def registration(flywheel: Flywheel, config: RecipeConfig) -> dg.MaterializeResult:
    from flywheel.release.registry import register
    from flywheel.train.evaluate import evaluate_model
    from flywheel.train.run import train_model

    store = flywheel.store()
    with reported():
        trained = train_model(store, config.recipe)
        found = register(store, trained, evaluate_model(store, trained), state=flywheel.state())
    return dg.MaterializeResult(metadata={**_flat(found.model_dump()), "tags": markdown_table([found.tags])})


@dg.asset(
    deps=["registration"],
    group_name="release",
    owners=OWNERS,
    kinds={"tuf"},
    output_required=False,
    description="The model as a TUF-signed release. A model that could not be evaluated on real data is not released; the run says why.",
)
def release(context: dg.AssetExecutionContext, flywheel: Flywheel, config: RecipeConfig) -> Iterator[dg.MaterializeResult]:
    from flywheel.release.ota import sign_release
    from flywheel.train.evaluate import evaluate_model
    from flywheel.train.run import train_model

    store = flywheel.store()
    with reported():
        trained = train_model(store, config.recipe)
        evaluation = evaluate_model(store, trained)
        if evaluation.status != "evaluated":
            context.log.warning(f"no release: {evaluation.reason}")
            return
        signed = sign_release(store, trained, keys=flywheel.state() / "keys")
    yield dg.MaterializeResult(metadata=_flat(signed.model_dump()))


@dg.asset(
    deps=["release"],
    group_name="vehicle",
    owners=OWNERS,
    kinds={"tuf"},
    output_required=False,
    description="A vehicle's update as a car would do it: over HTTP, trust anchored beforehand, every signature and hash checked.",
)
def vehicle_update(context: dg.AssetExecutionContext, flywheel: Flywheel) -> Iterator[dg.MaterializeResult]:
    from flywheel.release.serve import serve_ota
    from flywheel.release.vehicle import update_vehicle

    folder = Path(flywheel.resolved()) / "ota"
    if not folder.is_dir():
        context.log.warning(f"no signed release under {flywheel.resolved()}/ota, so no vehicle is updated from here")
        return
    state = flywheel.state()
    with reported(), serve_ota(folder) as url:
        report = update_vehicle(url, vehicle_id=DEMO_VEHICLE, folder=state / "vehicles" / DEMO_VEHICLE, trust=state / "keys" / "root.json")
    yield dg.MaterializeResult(metadata={**_flat(report.model_dump()), "verified files": markdown_table([report.files])})


@dg.asset(
    deps=["release"],
    group_name="timestamp",
    owners=OWNERS,
    kinds={"tuf"},
    description="A fresh TUF timestamp, so that vehicles can tell current metadata from withheld metadata.",
)
def ota_timestamp(flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.release.ota import refresh_timestamp

    with reported():
        version = refresh_timestamp(flywheel.store(), flywheel.state() / "keys")
    return dg.MaterializeResult(metadata={"timestamp version": version})


def _flat(values: dict[str, object]) -> Metadata:
    return {name: value if isinstance(value, int | float | str) else str(value) for name, value in values.items()}
