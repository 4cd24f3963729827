"""Train an MLP in plain JAX and export it with jax2onnx.

    python sample_models/scripts/train_jax.py

Run `finalize.py` afterwards.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import jax2onnx
import numpy as np
from common import Card, accuracy, digits, package, publish

SEED = 17
RATE = 0.5
EPOCHS = 40
BATCH = 32
SIZES = [64, 48, 32, 10]
OPSET = 18

Parameters = list[tuple[jax.Array, jax.Array]]


def initialise(key: jax.Array) -> Parameters:
    """He initialisation."""
    parameters = []
    for fan_in, fan_out in pairwise(SIZES):
        key, part = jax.random.split(key)
        weight = jax.random.normal(part, (fan_in, fan_out)) * np.sqrt(2.0 / fan_in)
        parameters.append((weight.astype(jnp.float32), jnp.zeros(fan_out, jnp.float32)))
    return parameters


def forward(parameters: Parameters, x: jax.Array) -> jax.Array:
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def loss(parameters: Parameters, x: jax.Array, y: jax.Array) -> jax.Array:
    scores = jax.nn.log_softmax(forward(parameters, x))
    return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1))


@jax.jit
def step(parameters: Parameters, x: jax.Array, y: jax.Array) -> Parameters:
    gradients = jax.grad(loss)(parameters, x, y)
    return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients)


def main() -> None:
    split = digits()
    parameters = initialise(jax.random.key(SEED))
    shuffle = np.random.RandomState(SEED)
    for _ in range(EPOCHS):
        order = shuffle.permutation(len(split.train_x))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            parameters = step(parameters, jnp.asarray(split.train_x[rows]), jnp.asarray(split.train_y[rows]))

    exported = jax2onnx.to_onnx(
        lambda pixels: forward(parameters, pixels),
        inputs=[("B", 64)],
        model_name="digits_jax_mlp",
        opset=OPSET,
        input_names=["pixels"],
        output_names=["logits"],
    )
    predicted = np.asarray(forward(parameters, jnp.asarray(split.holdout_x)).argmax(axis=1))
    card = Card(
        name="digits_jax_mlp",
        task="classify handwritten digits (10 classes)",
        data="scikit-learn load_digits (8x8 grey images, pixels / 16)",
        architecture="MLP 64-48-32-10, ReLU",
        training=f"plain gradient descent, learning rate {RATE}, {EPOCHS} epochs, batches of {BATCH}",
        script=Path(__file__).name,
        seed=SEED,
        framework=package("jax"),
        exporter=package("jax2onnx"),
        framework_accuracy=accuracy(predicted, split.holdout_y),
        prediction_output="logits",
    )
    publish(card, exported, (split.probe_x,), (split.holdout_x,), split.holdout_y)


if __name__ == "__main__":
    main()
