"""What a stranger's graph may hold, whichever format it is in: the readers of both formats ask here.

`onnx_scan` reads ONNX files and `ort_scan` files of onnxruntime's own format; neither decides anything about a graph's
content itself.
"""

import math
from collections.abc import Collection, Mapping, Sequence

from kvae.errors import BundleError
from kvae.files.text import printable

MAX_PARTS = 500_000
"""Maximum number of fields of a graph; each takes a microsecond. A large network has ten thousand."""
MAX_NODES = 20_000
"""Maximum number of operators of a graph, including subgraphs."""
MAX_RANK = 32
"""Maximum number of sizes of a tensor, and numbers in an attribute of `EXTENTS`."""
MAX_EXTENT = 4096
"""Largest padding, stride or kernel size; images have at most a few thousand rows."""
EXTENTS = ("pads", "strides", "dilations", "kernel_shape", "output_padding", "output_shape")
"""The attributes in which a few bytes can require any amount of memory."""
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8}
"""Bits of an element, by the `data_type` of a tensor, which is the same number in both formats; texts, type 8, are left
out."""
DOMAINS = ("", "ai.onnx")
"""The two names of the domain of ONNX's own operators."""
DRAW_NOISE = ("Bernoulli", "Multinomial")
"""Operators that draw random numbers, besides those whose names start with `Random`, and Dropout in training."""
ENDLESS = ("Loop", "Scan", "SequenceMap")
DROPOUT_ATTRIBUTES = {"ratio", "seed"}
"""The attributes of a Dropout of an opset that onnxruntime runs; others switch its training mode on or off."""
TENSOR_OPERATORS = frozenset(
    """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
    BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike CausalConvWithState Ceil
    Celu CenterCropPad Clip Col2Im Compress Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh
    CumProd CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal
    Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish
    Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual
    LinearAttention Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean
    MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero
    Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scatter ScatterElements ScatterND Selu Shape
    Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum SwiGLU Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze
    Upsample Where Xor
    """.split()  # noqa: SIM905  # 170 names are easier to read as words
)
"""ONNX's operators from tensors of numbers to tensors of numbers that end and draw no noise; a name that a runtime
registers beyond these is not among them."""


def check_node(graph: str, domain: str, operator: str, given: Sequence[bool], attributes: Mapping[str, object]) -> None:
    """Refuse an operator that is not ONNX's, may never end, draws noise, or depends on the batch.

    Args:
        graph: the graph's name, for messages.
        domain: the operator's domain, as the file has it.
        operator: its name, as the file has it.
        given: whether each of its inputs is given, in order.
        attributes: its attributes, whole numbers as such.

    Raises:
        BundleError: the operator is refused.
    """
    name = printable(operator)
    if domain not in DOMAINS:
        raise BundleError(f"{graph}: {printable(domain)} {name} is not a standard ONNX operator.")
    if operator.startswith("Random") or operator in DRAW_NOISE:
        raise BundleError(f"{graph}: {name} draws noise inside the graph; noise must be an input.")
    if operator in ENDLESS:
        raise BundleError(f"{graph} has a {name}, which may never end. Unroll it, and export again.")
    if operator not in TENSOR_OPERATORS:
        raise BundleError(f"{graph}: {name} is not a standard ONNX operator on tensors of numbers.")
    # Whether the input is true is known only when the graph runs, so a Dropout that has it is refused.
    if operator == "Dropout" and (any(given[2:]) or not set(attributes) <= DROPOUT_ATTRIBUTES):
        raise BundleError(
            f"{graph}: Dropout draws noise inside the graph if its training mode is on; export it without that mode."
        )
    if attributes.get("training_mode"):
        raise BundleError(
            f"{graph}: {name} is in training mode, so that images depend on their batch; export it without."
        )


class Rules:
    """The rules for one graph, with what was seen of it so far.

    Args:
        name: the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts = 0
        self._nodes = 0
        self.operators: set[str] = set()
        """The operators seen."""
        self._opsets: list[int] = []
        self._side = 2**63
        """The longer side of the model's images."""
        self._window = 0
        """The largest window of a convolution or pooling, less the padding."""

    def part(self) -> None:
        """Count one more field, table or element."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise self.refusal(f"has more than {MAX_PARTS:,} parts")

    def opset(self, domain: str, version: int) -> None:
        """A version of a domain's operators that the graph says it uses."""
        if domain in DOMAINS:
            self._opsets.append(version)

    def node(self, domain: str, operator: str, given: Sequence[bool], attributes: Mapping[str, object]) -> None:
        """An operator, whose attributes of `EXTENTS` are lists of integers; see `check_node`."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self.refusal(f"has more than {MAX_NODES:,} operators")
        check_node(self._name, domain, operator, given, attributes)
        self.operators.add(operator)
        extents = {name: value for name in EXTENTS if isinstance(value := attributes.get(name), list)}
        for name, sizes in extents.items():
            if any(abs(size) > MAX_EXTENT for size in sizes) or (name != "pads" and min(sizes, default=0) < 0):
                raise self.refusal(f"has {name} of {max(sizes, key=abs)}; expected 0 to {MAX_EXTENT}")
        kernel, pads = extents.get("kernel_shape", []), extents.get("pads", [])
        dilations = extents.get("dilations", [])
        for axis, size in enumerate(kernel):
            dilation = dilations[axis] if axis < len(dilations) else 1
            self._window = max(self._window, dilation * (size - 1) + 1 - sum(pads[axis :: len(kernel)]))

    def tensor(self, name: str, kind: int, dims: Sequence[int], fits: int | None, at_least: int = 0) -> None:
        """A stored tensor.

        Args:
            name: its name.
            kind: its `data_type`.
            dims: its shape.
            fits: the number of bytes that it has; None if its numbers are stored one by one.
            at_least: for None, an upper bound of how many numbers there are.
        """
        bits = BITS.get(kind)
        if bits is None:
            raise self.refusal(f"has a tensor {printable(name)!r} that does not hold numbers")
        count = math.prod(dims)
        enough = count <= at_least if fits is None else (count * bits + 7) // 8 == fits
        if not enough or min(dims, default=0) < 0:
            raise self.refusal(
                f"has a tensor {printable(name)!r} whose number of bytes does not fit its shape {list(dims)}"
            )

    def outside(self, name: str) -> BundleError:
        """The error for a tensor whose numbers are in another file."""
        return self.refusal(
            f"keeps the tensor {printable(name)!r} in another file; a bundle's weights are in its graphs"
        )

    def shape(self, sizes: Collection[int]) -> None:
        """A declared shape, with 0 for sizes that have a name instead."""
        if not 0 <= min(sizes, default=0) <= max(sizes, default=0) < 2**63:
            raise self.refusal("has a shape with a negative size")

    def images(self, sizes: Collection[int]) -> None:
        """The shape of an input or output of the whole model."""
        if len(sizes) == 4:
            self._side = min(self._side, max(sizes))

    def finish(self) -> int:
        """The last rules, once all of the graph was seen; returns the version of ONNX's operators."""
        # A window larger than the image leaves a negative size, on which onnxruntime can end the process.
        if self._window > self._side:
            raise self.refusal(f"has a window of {self._window} pixels, more than its images have ({self._side})")
        if len(self._opsets) != 1:
            raise self.refusal("does not say, once, which version of ONNX's operators it uses")
        return self._opsets[0]

    def refusal(self, reason: str) -> BundleError:
        """The error for a graph that is refused."""
        return BundleError(f"{self._name} {reason}. Export it again, or ask whoever made it.")
