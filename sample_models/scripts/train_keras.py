"""Train a Keras CNN (channels last) and export it with tf2onnx.

    python sample_models/scripts/train_keras.py

Run `finalize.py` afterwards.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from pathlib import Path

import keras
import tensorflow as tf
import tf2onnx
from common import Card, accuracy, digits, package, publish
from keras import layers

SEED = 11
RATE = 0.01
EPOCHS = 30
OPSET = 17


def build(classes: int) -> keras.Model:
    sparse = keras.regularizers.L1(3e-3)
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1")(image)
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, name="conv2")(x)
    x = layers.BatchNormalization(gamma_regularizer=sparse, name="bn2")(x)
    x = layers.ReLU(name="relu2")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2D(32, 3, padding="valid", activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(32, activation="relu", name="dense1")(x)
    return keras.Model(image, layers.Dense(classes, name="logits")(x))


def main() -> None:
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    split = digits()
    model = build(split.classes)
    model.compile(
        optimizer=keras.optimizers.Adam(RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(split.train_x.reshape(-1, 8, 8, 1), split.train_y, batch_size=32, epochs=EPOCHS, verbose=0)

    # A plain tf.function: tf2onnx's from_keras reads attributes that Keras 3 models no longer have.
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32, name="image")])
    def forward(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": model(image, training=False)}

    exported, _ = tf2onnx.convert.from_function(forward, forward.input_signature, opset=OPSET)
    holdout = split.holdout_x.reshape(-1, 8, 8, 1)
    scores = model.predict(holdout, verbose=0)
    card = Card(
        name="digits_keras_cnn",
        task="classify handwritten digits (10 classes)",
        data="scikit-learn load_digits (8x8 grey images, pixels / 16)",
        architecture="CNN, channels last: conv 16, conv 24 + BN, max pool, conv 32, dense 32, dense 10; ReLU",
        training=f"Adam, learning rate {RATE}, {EPOCHS} epochs, batches of 32, L1 3e-3 on the BN scale",
        script=Path(__file__).name,
        seed=SEED,
        framework=f"{package('keras')}, tensorflow {tf.__version__}",
        exporter=package("tf2onnx"),
        framework_accuracy=accuracy(scores.argmax(axis=1), split.holdout_y),
        prediction_output="logits",
        notes=["The graph input is channels last; tf2onnx places the transposes."],
    )
    publish(card, exported, (split.probe_x.reshape(-1, 8, 8, 1),), (holdout,), split.holdout_y)


if __name__ == "__main__":
    main()
