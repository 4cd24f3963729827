"""Train a scikit-learn MLPClassifier and export it with skl2onnx.

    python sample_models/scripts/train_sklearn.py

Run `finalize.py` afterwards.
"""

from __future__ import annotations

from pathlib import Path

from common import Card, accuracy, package, publish, wine
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 13
OPSET = 17


def main() -> None:
    split = wine()
    classifier = MLPClassifier(
        hidden_layer_sizes=(32, 16),
        activation="relu",
        learning_rate_init=0.02,
        batch_size=16,
        max_iter=200,
        random_state=SEED,
    )
    pipeline = make_pipeline(StandardScaler(), classifier)
    pipeline.fit(split.train_x, split.train_y)
    exported = convert_sklearn(
        pipeline,
        initial_types=[("features", FloatTensorType([None, 13]))],
        target_opset={"": OPSET, "ai.onnx.ml": 3},
        options={"zipmap": False},
        name="wine_sklearn_mlp",
    )
    card = Card(
        name="wine_sklearn_mlp",
        task="tell three wine cultivars apart (3 classes)",
        data="scikit-learn load_wine (13 raw features)",
        architecture="StandardScaler, MLPClassifier 13-32-16-3 (ReLU)",
        training=f"Adam, learning rate 0.02, {classifier.n_iter_} epochs until converged, batches of 16",
        script=Path(__file__).name,
        seed=SEED,
        framework=package("scikit-learn"),
        exporter=package("skl2onnx"),
        framework_accuracy=accuracy(pipeline.predict(split.holdout_x), split.holdout_y),
        prediction_output="label",
        prediction_kind="label",
        notes=[
            "The graph starts with ai.onnx.ml Scaler and returns `label` (int64) and `probabilities`.",
            "The data set has 178 rows only, so probe and holdout are 40 each: being dead on this probe is "
            "weak evidence by itself.",
        ],
    )
    publish(card, exported, (split.probe_x,), (split.holdout_x,), split.holdout_y)


if __name__ == "__main__":
    main()
