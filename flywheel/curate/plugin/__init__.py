"""FiftyOne plug-in: buttons over the grid that record a person's decision. FiftyOne loads it; the library never does."""

import getpass
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types


class _Judge(foo.Operator):  # type: ignore[misc]
    """Asks for a name and a reason, and records one decision a selected variation."""

    verdict = ""
    label = ""
    icon = ""

    @property
    def config(self) -> Any:
        """What the operator browser shows."""
        return foo.OperatorConfig(name=f"{self.verdict}_selected", label=self.label, icon=self.icon, dynamic=True)

    def resolve_placement(self, ctx: Any) -> Any:
        """A button over the grid."""
        button = types.Button(label=self.label, icon=self.icon, prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def resolve_input(self, ctx: Any) -> Any:
        """The form: who decides, and why."""
        form = types.Object()
        count = len(_chosen(ctx))
        form.str("actor", label="Your name", default=getpass.getuser(), required=True)
        form.str("reason", label="Reason", required=True)
        if not count:
            form.view("none", types.Warning(label="Select at least one variation in the grid first."))
        return types.Property(form, view=types.View(label=f"{self.label}: {count} selected"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """How many variations were decided; originals among the selected are passed over."""
        from flywheel.curate.review import judge_selected

        ids = judge_selected(ctx.dataset, _chosen(ctx), self.verdict, actor=ctx.params["actor"], reason=ctx.params["reason"])
        ctx.trigger("clear_selected_samples")
        ctx.trigger("reload_samples")
        return {"decided": len(ids)}

    def resolve_output(self, ctx: Any) -> Any:
        """The count, shown once done."""
        form = types.Object()
        form.int("decided", label="Decisions recorded")
        return types.Property(form)


class AcceptSelected(_Judge):
    """Accepts the selected variations."""

    verdict, label, icon = "accept", "Accept variations", "check_circle"


class RejectSelected(_Judge):
    """Rejects the selected variations."""

    verdict, label, icon = "reject", "Reject variations", "cancel"


def _chosen(ctx: Any) -> list[str]:
    """Ids of the samples selected in the grid, or of the one that is open."""
    return list(ctx.selected or ([ctx.current_sample] if ctx.current_sample else []))


def register(plugin: Any) -> None:
    """Called by FiftyOne when it loads the plug-in."""
    plugin.register(AcceptSelected)
    plugin.register(RejectSelected)
