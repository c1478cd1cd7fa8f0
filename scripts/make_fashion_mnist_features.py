"""Train the small classifier whose features `kvae evaluate --samples` measures on, and print the hash to pin.

It sees the 50,000 images of the training split as `kvae evaluate` shows them: grey, in [0, 1]. Nothing is chosen by
the test images. On one core shared with other programs it took 18 minutes. Another machine may make other weights: then
the hash in `kvae/evaluation/extractors.py` changes, and with it every number that was measured on these features.

    python scripts/make_fashion_mnist_features.py
"""

import hashlib
from pathlib import Path
from typing import Any

from kvae.export import graphs  # before Keras, whose backend it chooses

import keras  # isort: skip
import numpy as np
import tensorflow as tf

from kvae.data import datasets
from kvae.files import pictures

SEED = 0
EPOCHS = 14
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
NUM_FEATURES = 64
TARGET = Path(__file__).parent.parent / "kvae" / "evaluation" / "features" / "fashion_mnist.onnx"
ENDS: dict[str, list[dict[str, Any]]] = {
    "inputs": [{"name": "images", "dtype": "float32", "shape": ["batch", 28, 28, 1]}],
    "outputs": [
        {"name": "features", "dtype": "float32", "shape": ["batch", NUM_FEATURES]},
        {"name": "class_probabilities", "dtype": "float32", "shape": ["batch", 10]},
    ],
}


def classifier() -> keras.Model:
    """Five 3 x 3 convolutions, a dense layer of features, and the probability of each class."""
    images = keras.Input((28, 28, 1))
    x = images
    for channels, strides in ((16, 1), (32, 2), (32, 1), (64, 2), (64, 2)):
        x = keras.layers.Conv2D(channels, 3, strides, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    features = keras.layers.Dense(NUM_FEATURES, activation="relu", name="features")(x)
    x = keras.layers.Dropout(0.3)(features)
    return keras.Model(images, [features, keras.layers.Dense(10, activation="softmax", name="class_probabilities")(x)])


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(SEED)
    data = datasets.load("fashion_mnist")
    train, validation, test = (
        (pictures.to_float32(split.images), np.asarray(split.labels))
        for split in (data.train, data.validation, data.test)
    )
    network = classifier()
    learner = keras.Model(network.inputs, network.outputs[1])  # the same layers; only the classes have a loss
    steps = EPOCHS * -(-len(train[0]) // BATCH_SIZE)
    learner.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    learner.fit(*train, batch_size=BATCH_SIZE, epochs=EPOCHS, validation_data=validation, verbose=2)
    for name, split in (("validation", validation), ("test", test)):
        loss, accuracy = learner.evaluate(*split, batch_size=1000, verbose=0)
        print(f"{name}: accuracy {accuracy:.4f}, cross-entropy {loss:.4f}")

    model = graphs.convert("features", lambda images: tuple(network(images, training=False)), ENDS, network)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(model.SerializeToString())
    print(TARGET, f"{TARGET.stat().st_size:,} bytes, sha256", hashlib.sha256(TARGET.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
