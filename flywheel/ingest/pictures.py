"""Gates that look at pixels: a few pictures of each camera are decoded small, whatever the drive's length."""

from dataclasses import dataclass, field

from flywheel.errors import BadData
from flywheel.ingest.drive import Finding, Picture
from flywheel.ingest.images import is_black

EVERY_NS = 5 * 10**9


@dataclass
class Pictures:
    """What was seen of each camera, at most one picture in five seconds."""

    next_t_ns: dict[str, int] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)

    def see(self, picture: Picture) -> None:
        """Looks at a picture if its camera's turn has come."""
        first = picture.camera not in self.next_t_ns
        if not first and picture.t_ns < self.next_t_ns[picture.camera]:
            return
        self.next_t_ns[picture.camera] = picture.t_ns + EVERY_NS
        where = f"{picture.camera} at {picture.t_ns} ns"
        try:
            if is_black(picture.data):
                self.found.append(Finding(severity="warning", gate="black", message=f"the picture of {where} is black"))
        except BadData as err:
            severity = "error" if first else "warning"
            self.found.append(Finding.model_validate({"severity": severity, "gate": "undecodable", "message": f"{where}: {err}"}))

    def findings(self) -> list[Finding]:
        """Everything noticed."""
        return self.found
