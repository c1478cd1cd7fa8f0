"""Networks as users write them, tiny: those that export, and those that `kvae.export.check` refuses.

Each entry makes a VAE of images `(8, 8, 1)` with 3 latent dimensions, one network of which has what the name says.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers, ops
from tiny import IMAGE_SHAPE

from kvae.model.networks import Decoder, Encoder
from kvae.model.priors import StandardNormal
from kvae.model.vae import VAE

tfd = tfp.distributions

LATENT_DIM = 3


def _vae(encoder, decoder, prior=None):
    keras.utils.set_random_seed(0)
    vae = VAE(encoder, decoder, prior or StandardNormal(LATENT_DIM), seed=0)
    vae.build((None, *IMAGE_SHAPE))
    rng = np.random.default_rng(0)
    for weight in vae.weights:  # biases and running means are not zero in a trained model
        if len(weight.shape) == 1 and weight.dtype == "float32":
            weight.assign(np.abs(0.1 * rng.normal(size=weight.shape)) + weight.numpy())
    return vae


def _plain_encoder():
    return Encoder(keras.Sequential([layers.Flatten(), layers.Dense(4, "relu")]), LATENT_DIM)


def _plain_decoder():
    return Decoder(keras.Sequential([layers.Dense(64), layers.Reshape(IMAGE_SHAPE)]))


def _in_encoder(*parts):
    """Layers from images to anything."""
    return lambda: _vae(
        Encoder(keras.Sequential([keras.Input(IMAGE_SHAPE), *_made(parts), layers.Flatten()]), LATENT_DIM),
        _plain_decoder(),
    )


def _after(shape, *parts):
    """Layers in the encoder after a dense layer whose result has this shape."""
    return _in_encoder(layers.Flatten, lambda: layers.Dense(int(np.prod(shape))), lambda: layers.Reshape(shape), *parts)


def _in_decoder(*parts):
    """Layers from codes to images."""
    return lambda: _vae(_plain_encoder(), Decoder(keras.Sequential([keras.Input((LATENT_DIM,)), *_made(parts)])))


def _functional(function):
    """A functional model in the encoder."""

    def make():
        images = keras.Input(IMAGE_SHAPE)
        return _vae(Encoder(keras.Model(images, layers.Flatten()(function(images))), LATENT_DIM), _plain_decoder())

    return make


def _made(parts):
    return [part() for part in parts]


def _pixels():
    return [lambda: layers.Flatten(), lambda: layers.Dense(64), lambda: layers.Reshape(IMAGE_SHAPE)]


class Calls(layers.Layer):
    """A layer of a user's own that computes a function of tensors."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


TABLE = tf.constant([[1.0, 0.5, 0.0, 0.0]])


def _own(function, shape=(8, 4)):
    return _after(shape, lambda: Calls(function, name="mine"))


# Layers of a user's own


class Positional(layers.Layer):
    """Adds a table that is computed when the layer is made, as in most tutorials."""

    def __init__(self, length, depth, **kwargs):
        super().__init__(**kwargs)
        angles = np.arange(length)[:, None] / 10000 ** (np.arange(depth)[None] / depth)
        self.table = tf.constant(np.where(np.arange(depth) % 2, np.cos(angles), np.sin(angles)), tf.float32)

    def call(self, x):
        return x + self.table[None, : tf.shape(x)[1]]


class Patches(layers.Layer):
    """Patches of an image, with a learned position for each, as in a vision transformer."""

    def build(self, shape):
        self.project = layers.Dense(4)
        self.project.build((None, 4, 16))
        self.position = layers.Embedding(4, 4)
        self.position.build(None)

    def call(self, images):
        patches = tf.image.extract_patches(images, [1, 4, 4, 1], [1, 4, 4, 1], [1, 1, 1, 1], "VALID")
        patches = tf.reshape(patches, [tf.shape(images)[0], -1, 16])
        return self.project(patches) + self.position(ops.arange(4))


class Quantized(layers.Layer):
    """The nearest of some learned vectors, as in a VQ-VAE."""

    def build(self, shape):
        self.codes = self.add_weight(shape=(5, shape[-1]), initializer="random_normal", name="codes")

    def call(self, x):
        distance = tf.reduce_sum((x[..., None, :] - self.codes) ** 2, -1)
        return x + tf.stop_gradient(tf.gather(self.codes, tf.argmin(distance, -1)) - x)


class Gated(layers.Layer):
    """Layers in a dict and a list, one of them used twice."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = {"value": layers.Dense(4), "gate": layers.Dense(4, "sigmoid")}
        self.twice = [layers.Dense(4, "tanh")]

    def call(self, x):
        x = self.parts["value"](x) * self.parts["gate"](x)
        return self.twice[0](self.twice[0](x))


class FirstSteps(layers.Layer):
    """A tf.function inside a layer, compiled by XLA."""

    @tf.function(jit_compile=True)
    def compiled(self, x):
        return tf.nn.relu(x) * 2.0 + tf.cast(tf.shape(x)[0] > 0, tf.float32)

    def call(self, x):
        return self.compiled(x)


class OnlyInTraining(layers.Layer):
    """Noise while it is trained."""

    def call(self, x, training=False):
        return x + tf.random.normal(tf.shape(x)) if training else x


class TensorEncoder(keras.Model):
    """Its scale is one number for all images."""

    def __init__(self, make, **kwargs):
        super().__init__(**kwargs)
        self.make = make
        self.flatten = layers.Flatten()
        self.loc = layers.Dense(LATENT_DIM)

    def call(self, images):
        return self.make(self.loc(self.flatten(images)))


def _posterior(make):
    return lambda: _vae(TensorEncoder(make), _plain_decoder())


class MixedEncoder(keras.Model):
    """Two ways through a network, whose results are in a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        images = keras.Input(IMAGE_SHAPE)
        features = layers.Dense(6, "relu")(layers.Flatten()(images))
        outputs = {"loc": layers.Dense(LATENT_DIM)(features), "raw": layers.Dense(LATENT_DIM)(features)}
        self.heads = keras.Model(images, outputs)

    def call(self, images):
        found = self.heads(images)
        return tfd.MultivariateNormalDiag(found["loc"], tf.nn.softplus(found["raw"]) + 1e-3)


def _residual(x):
    y = layers.Conv2D(2, 3, padding="same")(x)
    y = layers.BatchNormalization()(y)
    y = layers.Activation("relu")(y)
    y = layers.Conv2D(1, 3, padding="same")(y)
    return layers.Add()([x, y])


def _unet(x):
    down = layers.Conv2D(2, 3, 2, "same", activation="gelu")(x)
    up = layers.Conv2DTranspose(2, 3, 2, "same")(down)
    return layers.Concatenate()([x, up])


def _squeeze_excite(x):
    x = layers.Conv2D(4, 3)(x)
    weights = layers.Dense(4, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, weights])


def _transformer(x):
    x = layers.Reshape((8, 8))(x)
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 4)(y, y, use_causal_mask=True)
    return x + layers.Dense(8)(layers.Dense(16, "gelu")(layers.LayerNormalization()(x)))


def _shared(x):
    conv = layers.Conv2D(1, 3, padding="same", activation="tanh")
    return conv(conv(x))


def _nested(x):
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.ReLU()])
    outer = keras.Sequential([keras.Input((8, 8, 1)), inner, layers.MaxPooling2D()])
    return outer(x)


def _merged(x):
    a, b = layers.Dense(3)(x), layers.Dense(3)(x)
    parts = [layers.Maximum()([a, b]), layers.Minimum()([a, b]), layers.Average()([a, b]), layers.Subtract()([a, b])]
    return layers.Concatenate()(
        [*parts, layers.Dot(-1)([layers.Flatten()(a), layers.Flatten()(b)])[:, :, None, None] * a]
    )


def _operators(x):
    return ops.concatenate([ops.abs(x) ** 0.5, -x * 2 + 1, ops.maximum(x, 0.5), ops.where(x > 0.5, x, 0.0)], -1)


def _rows(cell):
    return _in_encoder(lambda: layers.Reshape((8, 8)), cell)


def _fori(x):
    return ops.fori_loop(0, 3, lambda i, y: ops.tanh(y) + ops.cast(i, "float32"), x)


def _tf_while(x):
    return tf.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, 0.5 * y + 1.0), [tf.constant(0), x])[1]


def _scan(x):
    return tf.transpose(tf.scan(lambda a, b: 0.5 * a + b, tf.transpose(x, [1, 0, 2])), [1, 0, 2])


def _normalization():
    layer = layers.Normalization(axis=None)
    layer.adapt(np.random.default_rng(0).random((20, *IMAGE_SHAPE)))
    return layer


def _pretrained_style():
    return layers.Normalization(mean=[0.4], variance=[0.2])


def _mixed_precision(policy):
    def make():
        previous = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return _in_encoder(lambda: layers.Conv2D(2, 3), layers.LayerNormalization)()
        finally:
            keras.config.set_dtype_policy(previous)

    return make


ACTIVATIONS = [
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", 
    "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh",
    "tanh_shrink",
]  # fmt: skip

EXPORTED = {
    **{f"activation_{name}": _after((4,), lambda name=name: layers.Activation(name)) for name in ACTIVATIONS},
    "activation_gelu_approximate": _own(lambda x: keras.activations.gelu(x, approximate=True)),
    "activation_glu": _own(keras.activations.glu),
    "activation_threshold": _own(lambda x: keras.activations.threshold(x, 0.1, 0.5)),
    "activation_prelu": _after((4, 4, 2), lambda: layers.PReLU(shared_axes=[1, 2])),
    "activation_relu_with_limits": _after((4,), lambda: layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)),
    # Convolutions
    "conv_1d_causal": _rows(lambda: layers.Conv1D(3, 3, padding="causal")),
    "conv_1d_transposed": _rows(lambda: layers.Conv1DTranspose(3, 2, 3)),
    "conv_2d_dilated": _in_encoder(lambda: layers.Conv2D(3, 3, dilation_rate=2)),
    "conv_2d_grouped": _after((8, 8, 4), lambda: layers.Conv2D(6, 3, groups=2)),
    "conv_2d_grouped_strided": _after((8, 8, 4), lambda: layers.Conv2D(4, 3, 2, "same", groups=4)),
    "conv_2d_strided": _in_encoder(lambda: layers.Conv2D(3, 3, 2, "same")),
    "conv_3d": _after((4, 4, 4, 1), lambda: layers.Conv3D(2, 2)),
    "conv_depthwise": _after((8, 8, 2), lambda: layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "conv_depthwise_dilated": _after((8, 8, 2), lambda: layers.DepthwiseConv2D(3, dilation_rate=2)),
    "conv_depthwise_1d": _rows(lambda: layers.DepthwiseConv1D(3)),
    "conv_separable": _after((8, 8, 2), lambda: layers.SeparableConv2D(3, 3, padding="same")),
    "conv_separable_1d": _rows(lambda: layers.SeparableConv1D(3, 3)),
    "conv_transposed": _after((4, 4, 2), lambda: layers.Conv2DTranspose(3, 3, 2, "same")),
    "conv_transposed_in_the_decoder": _in_decoder(
        lambda: layers.Dense(32), lambda: layers.Reshape((4, 4, 2)), lambda: layers.Conv2DTranspose(1, 4, 2, "same")
    ),
    "conv_transposed_dilated": _after((4, 4, 2), lambda: layers.Conv2DTranspose(3, 3, dilation_rate=2)),
    "conv_transposed_kernel_1_stride_2": _after((4, 4, 2), lambda: layers.Conv2DTranspose(3, 1, 2, "same")),
    "conv_transposed_kernel_1_stride_2_valid": _after((4, 4, 2), lambda: layers.Conv2DTranspose(3, 1, 2)),
    "conv_transposed_kernel_2_stride_3": _after((3, 4, 2), lambda: layers.Conv2DTranspose(1, 2, 3, "valid")),
    "conv_transposed_output_padding": _after((4, 4, 2), lambda: layers.Conv2DTranspose(1, 3, 2, output_padding=1)),
    "conv_transposed_uneven": _after((3, 2, 2), lambda: layers.Conv2DTranspose(1, (2, 5), (3, 2), "same")),
    "conv_transposed_3d": _after((2, 2, 2, 1), lambda: layers.Conv3DTranspose(1, 2, 3)),
    # Pooling, cropping, padding, reshaping
    "pool_average": _in_encoder(lambda: layers.AveragePooling2D(3, 2, "same")),
    "pool_max": _in_encoder(lambda: layers.MaxPooling2D(2)),
    "pool_1d": _rows(lambda: layers.MaxPooling1D(2)),
    "pool_3d": _after((4, 4, 4, 1), lambda: layers.AveragePooling3D(2)),
    "pool_global_average": _after((4, 4, 2), lambda: layers.GlobalAveragePooling2D()),
    "pool_global_max": _after((4, 4, 2), lambda: layers.GlobalMaxPooling2D(keepdims=True)),
    "pool_adaptive_average": _in_encoder(lambda: layers.AdaptiveAveragePooling2D((3, 2))),
    "pool_adaptive_max": _in_encoder(lambda: layers.AdaptiveMaxPooling2D((3, 2))),
    "crop": _in_encoder(lambda: layers.Cropping2D(((1, 2), (0, 1)))),
    "center_crop": _in_encoder(lambda: layers.CenterCrop(5, 4)),
    "pad": _in_encoder(lambda: layers.ZeroPadding2D(((1, 2), (0, 1)))),
    "pad_reflect": _own(lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 1]], "REFLECT")),
    "permute_and_repeat": _after((4,), lambda: layers.RepeatVector(3), lambda: layers.Permute((2, 1))),
    "depth_to_space": _own(lambda x: tf.nn.depth_to_space(x, 2), (4, 4, 4)),
    "space_to_depth": _own(lambda x: tf.nn.space_to_depth(x, 2), (4, 4, 1)),
    # Resizing
    "upsample_nearest": _in_encoder(lambda: layers.UpSampling2D(2)),
    "upsample_bilinear": _in_encoder(lambda: layers.UpSampling2D(2, interpolation="bilinear")),
    "upsample_1d": _rows(lambda: layers.UpSampling1D(2)),
    "resize_nearest": _in_encoder(lambda: layers.Resizing(5, 11, "nearest")),
    "resize_bilinear": _in_encoder(lambda: layers.Resizing(5, 11)),
    "resize_bicubic": _in_encoder(lambda: layers.Resizing(5, 11, "bicubic")),
    "resize_lanczos": _in_encoder(lambda: layers.Resizing(5, 11, "lanczos5")),
    "resize_antialiased": _in_encoder(lambda: layers.Resizing(3, 5, antialias=True)),
    "resize_area": _own(lambda x: tf.image.resize(x, (3, 5), "area"), (8, 8, 2)),
    # Normalisation
    "norm_batch": _in_encoder(lambda: layers.BatchNormalization()),
    "norm_group": _after((4, 4, 4), lambda: layers.GroupNormalization(2)),
    "norm_instance": _after((4, 4, 4), lambda: layers.GroupNormalization(-1)),
    "norm_layer": _after((4, 4, 4), lambda: layers.LayerNormalization()),
    "norm_rms": _after((4, 4), lambda: layers.RMSNormalization()),
    "norm_spectral": _in_encoder(lambda: layers.SpectralNormalization(layers.Conv2D(2, 3))),
    "norm_unit": _after((4, 4), lambda: layers.UnitNormalization()),
    "norm_adapted": _in_encoder(_normalization),
    "norm_given": _in_encoder(_pretrained_style),
    "rescaling": _in_encoder(lambda: layers.Rescaling(2.0, -1.0)),
    # Attention, einsum, embeddings
    "attention": _functional(lambda x: layers.Attention(use_scale=True)([layers.Reshape((8, 8))(x)] * 2)),
    "attention_additive": _functional(lambda x: layers.AdditiveAttention()([layers.Reshape((8, 8))(x)] * 2)),
    "attention_grouped_query": _functional(
        lambda x: layers.GroupQueryAttention(4, 4, 2)(*[layers.Reshape((8, 8))(x)] * 2)
    ),
    "transformer": _functional(_transformer),
    "einsum_dense": _after((4, 6), lambda: layers.EinsumDense("abc,cd->abd", (4, 5), bias_axes="d")),
    "einsum": _own(lambda x: tf.einsum("bij,bkj->bik", x, x)),
    "embedding": _in_encoder(lambda: Calls(lambda x: tf.cast(x * 9, tf.int32)), lambda: layers.Embedding(10, 2)),
    "one_hot": _own(lambda x: tf.one_hot(tf.argmax(x, -1), 4)),
    "positional_constant": _rows(lambda: Positional(8, 8)),
    "positional_embedding": _in_encoder(lambda: Patches()),
    "vector_quantized": _after((4, 3), lambda: Quantized()),
    # Recurrent networks and loops
    "rnn_simple": _rows(lambda: layers.SimpleRNN(3)),
    "rnn_gru": _rows(lambda: layers.GRU(3)),
    "rnn_gru_unrolled": _rows(lambda: layers.GRU(3, unroll=True, reset_after=False)),
    "rnn_lstm": _rows(lambda: layers.LSTM(3, return_sequences=True)),
    "rnn_lstm_backwards": _rows(lambda: layers.LSTM(3, go_backwards=True, recurrent_activation="hard_sigmoid")),
    "rnn_bidirectional": _rows(lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True))),
    "rnn_stacked_cells": _rows(lambda: layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)])),
    "rnn_conv_lstm": _after((3, 4, 4, 1), lambda: layers.ConvLSTM2D(2, 3)),
    "rnn_in_the_decoder": _in_decoder(
        lambda: layers.RepeatVector(8),
        lambda: layers.LSTM(8, return_sequences=True),
        lambda: layers.Dense(8),
        lambda: layers.Reshape(IMAGE_SHAPE),
    ),
    "time_distributed": _after((4, 6), lambda: layers.TimeDistributed(layers.Dense(2))),
    "loop_fori": _own(_fori),
    "loop_while": _own(_tf_while),
    "loop_scan": _own(_scan),
    # Structure
    "functional_residual": _functional(_residual),
    "functional_unet": _functional(_unet),
    "functional_squeeze_excite": _functional(_squeeze_excite),
    "functional_shared": _functional(_shared),
    "functional_nested": _functional(_nested),
    "functional_merged": _functional(_merged),
    "functional_operators": _functional(_operators),
    "lambda": _in_encoder(lambda: layers.Lambda(lambda x: 2.0 * x - 1.0)),
    "layers_in_containers": _after((4,), lambda: Gated()),
    "mixed_bfloat16": _mixed_precision("mixed_bfloat16"),
    "mixed_float16": _mixed_precision("mixed_float16"),
    # Active in training only
    "dropout": _in_encoder(lambda: layers.Dropout(0.5), lambda: layers.SpatialDropout2D(0.5)),
    "alpha_dropout": _in_encoder(lambda: layers.AlphaDropout(0.5)),
    "noise": _in_encoder(lambda: layers.GaussianNoise(0.1), lambda: layers.GaussianDropout(0.1)),
    "noise_of_ones_own": _after((4,), lambda: OnlyInTraining()),
    "augmentation_flip": _in_encoder(lambda: layers.RandomFlip("horizontal")),
    "augmentation_rotation": _in_encoder(lambda: layers.RandomRotation(0.1), lambda: layers.RandomZoom(0.1)),
    "augmentation_translation": _in_encoder(lambda: layers.RandomTranslation(0.1, 0.1)),
    "augmentation_contrast": _in_encoder(lambda: layers.RandomContrast(0.1), lambda: layers.RandomBrightness(0.1)),
    "augmentation_crop": _in_encoder(lambda: layers.RandomCrop(8, 8)),
    # TensorFlow in a layer
    "constant": _own(lambda x: x * tf.constant([1.0, 2.0, 3.0, 4.0])),
    "captured_tensor": _own(lambda x: x + TABLE),
    "tf_function": _after((4,), lambda: FirstSteps()),
    "dynamic_reshape": _own(lambda x: tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1] * tf.shape(x)[2]])),
    "dynamic_broadcast": _own(lambda x: tf.broadcast_to(tf.constant([1.0, 2.0]), [tf.shape(x)[0], 2]) + x[:, 0, :2]),
    "dynamic_zeros": _own(lambda x: tf.concat([x, tf.zeros([tf.shape(x)[0], 1, 4])], 1)),
    "fixed_noise": _own(lambda x: x + tf.random.stateless_normal([8, 4], [1, 2])),
    "slice_update": _own(lambda x: ops.slice_update(x, (0, 1, 0), 2.0 * x[:, :2])),
    "sort": _own(lambda x: tf.sort(x, -1)),
    "top_k": _own(lambda x: tf.math.top_k(x, 2).values),
    "cumulative": _own(lambda x: tf.cumsum(x, 1, exclusive=True) + tf.math.cumprod(x, 1, reverse=True)),
    "discretization": _in_encoder(lambda: layers.Discretization([0.2, 0.5, 0.8]), lambda: layers.Embedding(4, 2)),
    "cond": _own(lambda x: tf.cond(tf.shape(x)[1] > 3, lambda: x + 1.0, lambda: x)),
    "mathematics": _own(lambda x: tf.sin(x) + tf.atan(x) + tf.math.log1p(tf.abs(x)) + tf.math.erfc(x)),
    "reductions": _own(lambda x: tf.stack([tf.math.reduce_std(x, 1), tf.reduce_logsumexp(x, 1)], 1)),
    "band_part": _own(lambda x: tf.linalg.band_part(tf.matmul(x, x, transpose_b=True), 0, -1)),
    "gather_nd": _own(lambda x: tf.gather(x, [0, 2, 5], axis=1)),
    # Distributions
    "dict_of_outputs": lambda: _vae(MixedEncoder(), _plain_decoder()),
    "posterior_of_normals": _posterior(lambda loc: tfd.Independent(tfd.Normal(loc, tf.nn.softplus(loc) + 0.1), 1)),
    "posterior_shared_scale": _posterior(lambda loc: tfd.MultivariateNormalDiag(loc, [0.1, 0.2, 0.3])),
    "prior_of_normals": lambda: _vae(
        _plain_encoder(), _plain_decoder(), tfd.Independent(tfd.Normal(tf.zeros(3), 1.0), 1)
    ),
    "prior_lower_triangular": lambda: _vae(
        _plain_encoder(), _plain_decoder(), tfd.MultivariateNormalTriL(tf.zeros(3), tf.eye(3))
    ),
    "prior_sample": lambda: _vae(_plain_encoder(), _plain_decoder(), tfd.Sample(tfd.Normal(0.0, 1.0), 3)),
}  # fmt: skip
"""By name: functions that make a VAE which exports."""


class Counting(layers.Layer):
    """Counts its calls, and adds the count."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x):
        self.count.assign_add(0.25)
        return x + self.count


class BatchStatistics(layers.Layer):
    """Batch normalisation that is always in training mode."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return self.norm(x, training=True)


def _across_batch(x):
    return tf.nn.softmax(tf.matmul(x, x, transpose_b=True)) @ x


REFUSED = {
    "batch_attention": (_own(_across_batch, (4,)), "'mine' (Calls)", "other images of the batch"),
    "batch_cumulative": (_own(lambda x: tf.cumsum(x, 0)), "'mine' (Calls)", "other images of the batch"),
    "batch_mean": (_own(lambda x: x - tf.reduce_mean(x, 0)), "'mine' (Calls)", "other images of the batch"),
    "batch_norm_in_training": (_in_encoder(lambda: BatchStatistics()), "(BatchNormalization)", "other images"),
    "batch_sorted": (_own(lambda x: tf.sort(x, 0)), "'mine' (Calls)", "other images of the batch"),
    "batch_norm_of_whole_batch": (_own(lambda x: x / tf.norm(x)), "'mine' (Calls)", "other images of the batch"),
    "batch_reversed": (_own(lambda x: x[::-1]), "'mine' (Calls)", "other images of the batch"),
    "batch_size_as_a_number": (
        _own(lambda x: x * tf.cast(tf.shape(x)[0], tf.float32)), "'mine' (Calls)", "other images of the batch"
    ),
    "counter": (_after((4,), lambda: Counting(name="counter")), "'counter' (Counting)", "changes a variable"),
    "dropout_always": (_own(lambda x: tf.nn.dropout(x, 0.5)), "'mine' (Calls)", "random numbers"),
    "fourier": (_own(lambda x: tf.math.real(tf.signal.fft(tf.cast(x, tf.complex64)))), "'mine' (Calls)", "Fourier"),
    "incomplete_gamma": (_own(lambda x: tf.math.igamma(x**2 + 1.0, x**2)), "'mine' (Calls)", "Igamma"),
    "loop_until_small": (
        _own(lambda x: tf.while_loop(lambda y: tf.reduce_max(y) > 1.0, lambda y: (0.5 * y,), [x])[0]),
        "'mine' (Calls)", "loop",
    ),
    "loop_over_the_batch": (
        _own(lambda x: tf.map_fn(lambda row: tf.nn.softmax(row, 0), x)), "'mine' (Calls)", "batch"
    ),
    "numpy": (
        _posterior(lambda loc: tfd.MultivariateNormalDiag(np.sort(loc), [1.0] * 3)), "encoder", "cannot be traced"
    ),
    "py_function": (
        _own(lambda x: tf.ensure_shape(tf.py_function(lambda y: y + 1.0, [x], tf.float32), x.shape)),
        "'mine' (Calls)", "Python code",
    ),
    "random": (_own(lambda x: x + tf.random.normal(tf.shape(x))), "'mine' (Calls)", "random numbers"),
    "strings": (
        _own(lambda x: tf.strings.to_number(tf.strings.substr(tf.strings.as_string(x), 0, 4))), "'mine' (Calls)", "text"
    ),
    "singular_values": (_own(lambda x: tf.linalg.svd(x, compute_uv=False)), "'mine' (Calls)", "Svd"),
}  # fmt: skip
"""By name: a function that makes a VAE, and parts of the line that refuses it: the layer, and the reason."""
