"""Runs a traced function once more, operation by operation, and so writes a graph that tf2onnx can convert."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph  # TensorFlow offers no public one

from kvae.export.lowering import refusals, topics  # noqa: F401, topics fills the table
from kvae.export.lowering.rules import REPLACEMENTS, Call, Refused, Sizes, Value, known

MAX_FOLDED = 2**20
"""Most numbers that a constant may have if computing it at once makes the graph larger."""


class Trouble(NamedTuple):
    """An operation that cannot be exported."""

    name: str
    """Its name in the traced graph, which begins with the names of the layers around it."""
    reason: str
    advice: str


class Lowered(NamedTuple):
    """A function that was lowered."""

    function: Any
    """A tf.function; all its operations but the unknown ones can be converted, if there are no troubles."""
    steps: list[str]
    """The names, in the traced graph, of what `all_steps` returns."""
    all_steps: Any
    """A tf.function of the same inputs; returns all tensors on the way that have a row for each image."""
    troubles: list[Trouble]


def lower(function: Callable[..., Any], signature: Sequence[tf.TensorSpec]) -> Lowered:
    """Trace a function and lower its graph.

    Args:
        function: tensors to tensors.
        signature: its inputs; only the first axis may have an unknown size.
    """
    traced = _traced(function, signature).get_concrete_function().graph
    captured = {inner.name: _captured(outer) for outer, inner in traced.captures}
    lowering = _Lowering(traced)

    def again(*inputs: tf.Tensor) -> list[tf.Tensor]:
        lowering.begin()
        given = {inner.name: value for inner, value in zip(traced.inputs, inputs, strict=False)} | captured
        with tf.device("/cpu:0"):
            return [lowering.tensor(value) for value in lowering.run(traced, given, traced.outputs)]

    def all_steps(*inputs: tf.Tensor) -> list[tf.Tensor]:
        again(*inputs)
        return list(lowering.steps.values())

    lowered = _traced(again, signature)
    try:
        lowered.get_concrete_function()
    except Exception:  # after a trouble, what follows may fail in any way
        if not lowering.troubles:
            raise
    return Lowered(lowered, list(lowering.steps), _traced(all_steps, signature), lowering.troubles)


def _traced(function: Callable[..., Any], signature: Sequence[tf.TensorSpec]) -> Any:
    return tf.function(function, input_signature=signature, autograph=False)


def _captured(tensor: Any) -> Value:
    """A tensor from outside of the traced function: a constant of a layer, or the handle of a variable."""
    return tensor if tensor.dtype in (tf.resource, tf.variant) else tensor.numpy()


class _Lowering:
    def __init__(self, traced: Any) -> None:
        self._traced = traced
        self._definitions = {entry.signature.name: entry for entry in traced.as_graph_def().library.function}
        self._functions: dict[str, Any] = {}
        self.begin()

    def begin(self) -> None:
        """Forget what was written into another graph."""
        self.troubles: list[Trouble] = []
        self.steps: dict[str, tf.Tensor] = {}
        self._constants: dict[int, tuple[np.ndarray, tf.Tensor]] = {}
        self._assigned: set[int] = set()
        self._scope = ""

    def run(self, graph: Any, given: dict[str, Value], outputs: Sequence[tf.Tensor]) -> list[Value]:
        """Lower what some tensors of a graph need; `given` are the values of its inputs by name."""
        values = dict(given)
        for op in graph.get_operations():
            if op.type.startswith("Assign") and op.inputs[0].name in given:
                self._assigned.add(id(given[op.inputs[0].name]))
        for op in _needed(graph, outputs, given):
            found = self._lowered(op, [values[tensor.name] for tensor in op.inputs])
            values.update(zip((tensor.name for tensor in op.outputs), found, strict=True))
            self._note(op, found)
        return [values[tensor.name] for tensor in outputs]

    def _note(self, op: tf.Operation, found: list[Value]) -> None:
        for value in found:
            if isinstance(value, tf.Tensor) and value.dtype.is_floating and value.shape.rank and value.shape[0] is None:
                self.steps[self._name(op)] = value

    def tensor(self, value: Value) -> tf.Tensor:
        """A value as a tensor of the new graph."""
        if isinstance(value, Sizes):
            return value.tensor
        if not known(value):
            return value
        if id(value) not in self._constants:
            self._constants[id(value)] = (value, tf.constant(value))  # keeps the array, so that its id stays its own
        return self._constants[id(value)][1]

    def _lowered(self, op: tf.Operation, inputs: list[Value]) -> list[Value]:
        if op.type == "Const":
            return [tf.make_ndarray(op.get_attr("value"))]
        folded = self._folded(op, inputs)
        if folded is not None:
            return folded
        name = self._name(op)
        scope = name.rpartition("/")[0]
        with tf.name_scope(f"{scope}/" if scope else ""):
            try:
                return self._replaced(op, inputs)
            except Refused as refused:
                self.troubles.append(Trouble(name, refused.reason, refused.advice))
                # Go on with anything of the same shape, to find what else there is.
                return [tf.zeros([size or 1 for size in end.shape], end.dtype) for end in op.outputs]

    def _name(self, op: tf.Operation) -> str:
        """An operation's name after those of the calls around it. (The names in a loop's body have them already.)"""
        return op.name if op.name.startswith(self._scope) else self._scope + op.name

    def _replaced(self, op: tf.Operation, inputs: list[Value]) -> list[Value]:
        refusals.check(op)
        if op.type == "ReadVariableOp" and id(inputs[0]) in self._assigned:
            raise Refused("changes a variable at every call, and so gives other results each time", refusals.STATELESS)
        replacement = REPLACEMENTS.get(op.type)
        found = replacement(Call(op, inputs, self._caller(op))) if replacement else None
        if found is None:
            return self._copied(op, inputs)
        return list(found) if isinstance(found, tuple) and not isinstance(found, Sizes) else [found]

    def _copied(self, op: tf.Operation, inputs: list[Value]) -> list[Value]:
        attributes = {name: value for name, value in op.node_def.attr.items() if not name.startswith("_")}
        ends = [self.tensor(value) for value in inputs]
        copy = tf.compat.v1.get_default_graph().create_op(
            op.type, ends, [end.dtype for end in op.outputs], name=op.name.rpartition("/")[2], attrs=attributes
        )
        return list(copy.outputs)

    def _caller(self, op: tf.Operation) -> Callable[[str, list[Value]], list[Value]]:
        """Lowers functions that an operation calls, with names that begin with that of the operation."""

        def run(name: str, arguments: list[Value]) -> list[Value]:
            if name not in self._functions:
                with self._traced.as_default():
                    self._functions[name] = function_def_to_graph(self._definitions[name])
            graph = self._functions[name]
            outer, self._scope = self._scope, f"{self._name(op)}/"
            try:
                given = {end.name: value for end, value in zip(graph.inputs, arguments, strict=True)}
                return self.run(graph, given, graph.outputs)
            finally:
                self._scope = outer

        return run

    def _folded(self, op: tf.Operation, inputs: list[Value]) -> list[Value] | None:
        """The outputs, if they depend on nothing: computed by TensorFlow itself."""
        if op.op_def.is_stateful or not op.outputs or not all(map(known, inputs)):
            return None
        function = getattr(tf.raw_ops, op.type, None)
        if function is None or any(end.dtype in (tf.resource, tf.variant) for end in op.outputs):
            return None
        with tf.init_scope(), tf.device("/cpu:0"):
            arguments = _arguments(function, op, [*map(tf.constant, inputs)])
            if arguments is None:
                return None
            found = tf.nest.flatten(function(**arguments))
        size = sum(int(np.prod(value.shape)) for value in found)
        if size > max(MAX_FOLDED, sum(value.size for value in inputs)):
            return None
        return [value.numpy() for value in found]


def _arguments(function: Callable[..., Any], op: tf.Operation, inputs: list[tf.Tensor]) -> dict[str, Any] | None:
    """The arguments of an operation's function in `tf.raw_ops`, or None if they cannot be told.

    TensorFlow infers some attributes from the inputs. The functions call some inputs by another name.
    """
    accepted = inspect.signature(function).parameters
    attributes = {entry.name for entry in op.op_def.attr}
    taken = attributes | {argument.name for argument in op.op_def.input_arg} | {"name"}
    renamed = (name for name in accepted if name not in taken)
    found: dict[str, Any] = {}
    rest = iter(inputs)
    for argument in op.op_def.input_arg:
        attributes -= {argument.type_attr, argument.number_attr, argument.type_list_attr}
        count = op.get_attr(argument.number_attr) if argument.number_attr else None
        if argument.type_list_attr:
            count = len(op.get_attr(argument.type_list_attr))
        name = argument.name if argument.name in accepted else next(renamed, "")
        found[name] = next(rest) if count is None else [next(rest) for _ in range(count)]
    if "" in found or not attributes <= set(accepted):
        return None
    return found | {name: op.get_attr(name) for name in attributes}


def _needed(graph: Any, outputs: Sequence[tf.Tensor], given: dict[str, Value]) -> Iterator[tf.Operation]:
    """The operations on which outputs depend, each after its inputs."""
    wanted: set[str] = set()
    waiting = [tensor for tensor in outputs if tensor.name not in given]
    while waiting:
        op = waiting.pop().op
        if op.name not in wanted:
            wanted.add(op.name)
            waiting += [tensor for tensor in op.inputs if tensor.name not in given]
    return (op for op in graph.get_operations() if op.name in wanted)
