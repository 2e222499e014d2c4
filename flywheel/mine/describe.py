"""A query in words, on one line."""

from flywheel.mine import query as q
from flywheel.mine.related import Relation


def described(node: q.Node) -> str:
    """What the query asks for."""
    match node:
        case q.And():
            return _listed(node.parts, " and ")
        case q.Or():
            return _listed(node.parts, " or ")
        case q.Not():
            return f"not {_inner(node.part)}"
        case q.Then():
            return _listed(node.parts, f", then within {node.within_s:g} s ")
        case q.Pair():
            how = {"during": "during", "overlapping": "while", "near": f"within {_reach(node)} of"}[node.kind]
            return f"{_inner(node.this)} {how} {_inner(node.of)}"
        case q.Lasting():
            return f"{_inner(node.part)} for {node.min_s:g} s or more"
        case q.Some():
            count = "a" if node.min_number == 1 else f"{node.min_number} or more"
            return f"{count} {_classes(node.some)}" + (f" for which {_inner(node.where)}" if node.where else "")
    return _leaf(node)


def _listed(parts: tuple[q.Node, ...], joint: str) -> str:
    return joint.join(_inner(part) for part in parts)


def _inner(node: q.Node) -> str:
    text = described(node)
    return f"({text})" if len(q.children(node)) > 1 else text


def _reach(node: q.Pair) -> str:
    return f"{node.within_m:g} m" if node.within_m else f"{node.within_s or 0:g} s"


def _classes(said: str | tuple[str, ...]) -> str:
    return said if isinstance(said, str) else " or ".join(said)


def _leaf(node: q.Node) -> str:
    match node:
        case q.Mined():
            return node.scenario + (f" at {node.level}" + (" or harder" if node.level != "L3" else "") if node.level != "L1" else "")
        case q.Condition():
            return " ".join(" or ".join(part) for part in (node.lighting, node.weather) if part)
        case q.Signal():
            signs = ((node.below, "<"), (node.at_most, "<="), (node.above, ">"), (node.at_least, ">="))
            return " and ".join(f"{node.signal} {sign} {bound:g}" for bound, sign in signs if bound is not None)
        case q.Odd():
            return " and ".join(f"{name} {' or '.join(values)}" for name, values in node.odd.items())
        case Relation():
            given = node.model_dump(exclude={"relation", "of"}, exclude_defaults=True)
            of = f" {_classes(node.of)}" if hasattr(node, "of") else ""
            return node.relation + of + (f" ({', '.join(f'{key} {value}' for key, value in given.items())})" if given else "")
    raise AssertionError(node)
