"""Calls are inlined, loops unrolled, and of two branches one is chosen: a bundle's graph has no loop."""

import tensorflow as tf

from kvae.export.lowering.rules import Call, Refused, known, replaces

MAX_ROUNDS = 1024
"""Most rounds of a loop that are unrolled. Each is a copy of all the loop's operators."""


@replaces("Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient")
def same(call: Call) -> tuple:
    """What only matters to gradients."""
    return tuple(call.inputs)


@replaces("PartitionedCall", "StatefulPartitionedCall")
def inline(call: Call) -> tuple:
    """A tf.function inside of the network. (Keras computes grouped convolutions on a CPU in a compiled one.)"""
    return tuple(call.run(call.attribute("f").name, call.inputs))


@replaces("While", "StatelessWhile")
def unroll(call: Call) -> tuple:
    """A loop whose number of rounds is known: an RNN over a fixed number of steps, `keras.ops.fori_loop`, `tf.scan`."""
    state = call.inputs
    for _ in range(MAX_ROUNDS):
        (goes_on,) = call.run(call.attribute("cond").name, state)
        if not known(goes_on):
            raise Refused(
                "has a loop whose number of rounds depends on the data, which can only be known when it runs",
                "loop over a fixed number of steps",
            )
        if not goes_on:
            return tuple(state)
        state = call.run(call.attribute("body").name, state)
    raise Refused(f"has a loop of more than {MAX_ROUNDS} rounds", f"use a sequence of at most {MAX_ROUNDS} steps")


@replaces("If", "StatelessIf")
def choose(call: Call) -> tuple:
    """The branch that is taken; if that depends on the data, both are computed, and one result is selected."""
    condition, *arguments = call.inputs
    branches = [call.attribute(name).name for name in ("then_branch", "else_branch")]
    if known(condition):
        return tuple(call.run(branches[0 if condition else 1], arguments))
    then, otherwise = (call.run(name, arguments) for name in branches)
    return tuple(tf.where(condition, *pair) for pair in zip(then, otherwise, strict=True))
