"""What SUMO is asked to let drive, ride and walk around the script: its route file."""

from flywheel.ego import FRONT_M, HEIGHT_M, REAR_M, WIDTH_M
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.stage import SIZES, Plan

DRIVERS: dict[str, ActorClass] = {"car": "car", "truck": "truck", "bus": "bus", "bike": "cyclist"}
EGO = "ego"


def _types() -> str:
    rows = []
    for name, cls in DRIVERS.items():
        length, width, _ = SIZES[cls]
        kind = {"car": "passenger", "cyclist": "bicycle"}.get(cls, cls)
        top = ' maxSpeed="5.5"' if cls == "cyclist" else ' speedFactor="normc(0.95,0.05,0.8,1.05)"'
        rows.append(f'<vType id="{name}" vClass="{kind}" length="{length}" width="{width}"{top}/>')
    rows.append(f'<vType id="{EGO}" vClass="passenger" length="{FRONT_M - REAR_M}" width="{WIDTH_M}" height="{HEIGHT_M}"/>')
    rows.append('<vType id="walk" vClass="pedestrian" width="0.55" length="0.5" maxSpeed="1.5"/>')
    return "".join(rows)


def _flow(name: str, kind: str, edges: str, probability: float, *, lane: str = "best") -> str:
    return (
        f'<flow id="{name}" type="{kind}" begin="0" end="200" probability="{probability}" departLane="{lane}" departSpeed="max">'
        f'<route edges="{edges}"/></flow>'
    )


def _walkers(name: str, edges: str, probability: float) -> str:
    return (
        f'<personFlow id="{name}" type="walk" begin="0" end="200" probability="{probability}" departPos="random">'
        f'<walk edges="{edges}"/></personFlow>'
    )


def demand(plan: Plan) -> str:
    """The route file of a drive: types, the ego's route and the flows around it."""
    rows = [_types(), '<route id="main" edges="main_a main_b"/>']
    if plan.oncoming:
        rows += [_flow(f"on_{k}", k, "back_b back_a", p, lane="random") for k, p in (("car", 0.16), ("truck", 0.03), ("bus", 0.015))]
    if plan.crossing_traffic:
        rows += [_flow("north", "car", "south_in north_out", 0.06), _flow("south", "car", "north_in south_out", 0.06)]
    if plan.cyclists:
        rows += [_flow("bike_out", "bike", "main_a main_b", 0.08), _flow("bike_back", "bike", "back_b back_a", 0.08)]
    sides = (("walk_a", "main_a"), ("walk_b", "main_b"), ("walk_c", "back_a"), ("walk_d", "back_b"), ("walk_e", "main_a main_b"))
    rows += [_walkers(name, edges, 0.08) for name, edges in sides]
    return "<routes>" + "".join(rows) + "</routes>"
