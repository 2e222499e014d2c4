"""Commands that list what generation can draw with: `flywheel engines` and `flywheel recipes`."""

from typing import TYPE_CHECKING

from flywheel import show
from flywheel.commands import Json, app, command

if TYPE_CHECKING:
    from flywheel.generate.engines import Engine


@command(app)
def engines(as_json: Json = False) -> None:
    """The engines that draw variations, what each draws, and what it needs: weights, memory, controls, packages."""
    from flywheel.generate.engines import installed

    found = installed()
    show.emit_rows(found if as_json else [_short(engine) for engine in found], title="engines", as_json=as_json)
    if not as_json:
        text = "next: flywheel generate --generator NAME --option name=value (options of an engine: flywheel engines --json)"
        show.out.print(text, highlight=False, markup=False)


def _short(engine: "Engine") -> dict[str, str]:
    needs = [f"{engine.weights_gib:g} GiB of weights" if engine.weights_gib else "", "a GPU" if engine.gpu else ""]
    needs += [f"not installed: {', '.join(engine.missing)}" if engine.missing else ""]
    return {
        "engine": engine.name, "what": engine.what, "draws": engine.draws,
        "weights": f"{engine.weights} ({engine.weights_licence})" if engine.weights else "", "prompts": engine.prompts,
        "controls": ", ".join(engine.controls), "needs": ", ".join(need for need in needs if need),
    }  # fmt: skip


@command(app)
def recipes(as_json: Json = False) -> None:
    """The generation recipes: targets, variations of a key frame, clips, inserted objects."""
    from flywheel.generate.recipes import RECIPES

    made = [make() for make in RECIPES.values()]
    rows = [recipe.model_dump(mode="json") | {"targets": [target.name for target in recipe.targets]} for recipe in made]
    columns = ("name", "what", "budget", "per_event", "clip_frames", "clip_spacing_ms", "inserts")
    show.emit_rows(rows, title="recipes", as_json=as_json, columns=columns)
