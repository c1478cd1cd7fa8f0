"""Lowering: a traced network is rewritten, in TensorFlow, until tf2onnx can convert it to standard operators.

`lowering.lower` runs a traced function once more, operation by operation, and so writes a new graph. Variables and
captured tensors become constants; what does not depend on the inputs is computed at once; calls are inlined, and loops
with a fixed number of rounds are unrolled. Operations that tf2onnx lacks or converts wrongly are replaced by others:
one small file of this folder per topic, each a few functions marked with `rules.replaces`. `refusals` names those that
nothing can replace.
"""
