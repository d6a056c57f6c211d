"""Keeps the last layer from computing what nobody reads: the score is made of the first token alone.

Keys and values of the last layer need every token; its query, and everything after its attention, only the first.
"""

from collections.abc import Sequence

from rerankd.models.rewriting.attention import Attention
from rerankd.models.rewriting.model import Model, Node, node

__all__ = ["keep_first_token"]

_ROW_BY_ROW = frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Sqrt",
        "Erf",
        "Tanh",
        "Cast",
        "Gelu",
        "LayerNormalization",
        "DynamicQuantizeLinear",
    ]
)
"""These treat each row like any other, or (a dynamic scale) are the better for fewer."""
_PRODUCTS = ("MatMul", "MatMulInteger")


def keep_first_token(model: Model, last: Attention) -> bool:
    """Cut the last layer's query and residual to the first token; tells whether the graph allows it."""
    query = _product_of(model, last.query)
    residual = _residual(model, last.context)
    if query is None or residual is None:
        return False
    source, added = residual
    if source not in model.above([query.inputs[0]]) or not _feeds(model, source, query):
        return False
    kept = {name: _slice(model, name) for name in (query.inputs[0], source)}  # one where nothing is quantised
    model.insert(query, kept.values())
    query.inputs[0] = kept[query.inputs[0]].outputs[0]
    added.inputs = [kept[source].outputs[0] if each == source else each for each in added.inputs]
    return True


def _slice(model: Model, name: str) -> Node:
    first, second = model.store("lean/0", (0,)), model.store("lean/1", (1,))
    return node("Slice", (name, first, second, second), (f"{name}/lean/first",))


def _product_of(model: Model, projection: str) -> Node | None:
    """The product that a projection is made of: what is added and multiplied to it are constants and scales."""
    name = projection
    for _ in range(4):
        made = model.maker(name)
        if made is None:
            return None
        if made.operator in _PRODUCTS:
            return made
        if made.operator not in ("Add", "Mul", "Cast"):
            return None
        sources = [each for each in made.inputs if not _is_vector(model, each)]
        if len(sources) != 1:
            return None
        name = sources[0]
    return None


def _is_vector(model: Model, name: str) -> bool:
    """A bias, or a product of two scales."""
    stored = model.constant(name)
    if stored is not None:
        return len(stored.shape) <= 1
    made = model.maker(name)
    return (
        made is not None
        and made.operator == "Mul"
        and all(model.constant(each) is not None or _is_scale(model, each) for each in made.inputs)
    )


def _is_scale(model: Model, name: str) -> bool:
    made = model.maker(name)
    return made is not None and made.operator == "DynamicQuantizeLinear" and name == made.outputs[1]


def _feeds(model: Model, source: str, query: Node) -> bool:
    """Whether the product reads the residual itself, or its quantised form."""
    read = query.inputs[0]
    made = model.maker(read)
    quantised = made is not None and made.operator == "DynamicQuantizeLinear" and made.inputs[0] == source
    return read == source or quantised


def _residual(model: Model, context: str) -> tuple[str, Node] | None:
    """What is added to the result of the attention, and where.

    None unless all that follows is row by row, has no other source, and leads to nothing but the first row.
    """
    reached: set[str] = {context}
    found: list[tuple[str, Node]] = []
    ended = False
    for each in _below(model, context):
        if _takes_first(model, each):
            ended = True
            continue
        if not _is_row_by_row(model, each, reached):
            return None
        if any(name in model.outputs for name in each.outputs):
            return None
        reached.update(each.outputs)
        found += [(name, each) for name in _others(model, each, reached)]
    return found[0] if ended and len(found) == 1 and found[0][1].operator == "Add" else None


def _below(model: Model, context: str) -> Sequence[Node]:
    """The nodes that depend on it, up to the first row, in the graph's order."""
    reached, nodes = {context}, []
    for each in model.nodes:
        if not reached.isdisjoint(each.inputs):
            nodes.append(each)
            if not _takes_first(model, each):
                reached.update(each.outputs)
    return nodes


def _takes_first(model: Model, each: Node) -> bool:
    if each.operator != "Gather" or each.ints.get("axis", 0) != 1:
        return False
    at = model.values(each.inputs[1])
    return at is not None and at.size == 1 and int(at.reshape(-1)[0]) == 0


def _is_row_by_row(model: Model, each: Node, reached: set[str]) -> bool:
    if each.operator in _PRODUCTS:
        return each.inputs[0] in reached and model.constant(each.inputs[1]) is not None
    if each.operator == "ReduceMean":
        axes = each.lists.get("axes") or (
            tuple(int(axis) for axis in values.reshape(-1))
            if len(each.inputs) > 1 and (values := model.values(each.inputs[1])) is not None
            else ()
        )
        return axes == (-1,) and each.ints.get("keepdims", 1) == 1
    if each.operator == "LayerNormalization" and each.ints.get("axis", -1) != -1:
        return False
    return each.operator in _ROW_BY_ROW


def _others(model: Model, each: Node, reached: set[str]) -> list[str]:
    """Inputs that come from elsewhere and are no constants."""
    return [name for name in each.inputs if name and name not in reached and model.constant(name) is None]
