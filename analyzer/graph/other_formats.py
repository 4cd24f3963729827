"""What a file is that is no ONNX model, and how a model of its kind becomes one."""

from __future__ import annotations

from pathlib import PurePath
from types import MappingProxyType

_TORCH = (
    "a PyTorch file: build the module, load it, and call torch.onnx.export(module, example, 'model.onnx', dynamo=True)"
)
_KERAS = (
    "a Keras model: load it and call model.export('model.onnx', format='onnx'), or wrap it in a tf.function for tf2onnx"
)
_SCIKIT = "a pickled object, which is never opened: skl2onnx.to_onnx(model, X[:1]) in the code that made it gives ONNX"
_ARRAYS = "a file of arrays, not a model: give the model first, then the data with --probe"

#: By suffix, in a sentence behind "FILE is".
KINDS = MappingProxyType(
    {
        **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _TORCH),
        **dict.fromkeys((".h5", ".hdf5", ".keras"), _KERAS),
        **dict.fromkeys((".pkl", ".pickle", ".joblib"), _SCIKIT),
        **dict.fromkeys((".npz", ".npy", ".csv", ".parquet"), _ARRAYS),
        ".pt2": "an exported PyTorch program: torch.onnx.export(torch.export.load('FILE'), f='model.onnx') gives ONNX",
        ".tflite": "a TensorFlow Lite model: python -m tf2onnx.convert --tflite FILE --output model.onnx gives ONNX",
        ".pb": "a TensorFlow graph: python -m tf2onnx.convert --saved-model ITS_FOLDER --output model.onnx gives ONNX",
        ".safetensors": "weights without a network: export the model that they belong to as ONNX",
        ".gguf": "weights in a format of llama.cpp: export the model that they were made from as ONNX",
        ".pdmodel": "a Paddle model: paddle2onnx --model_dir ITS_FOLDER --save_file model.onnx gives ONNX",
        ".mlmodel": "a Core ML model, for which there is no way back: export the model it was made from as ONNX",
        ".engine": "compiled for one GPU: give the ONNX file that it was built from",
        ".ort": "in onnxruntime's own format: give the ONNX file that it was made from",
        ".mat": "a MATLAB file: exportONNXNetwork(net, 'model.onnx') gives ONNX",
        ".json": "no model; an audit that was saved goes to check --baseline",
        **dict.fromkeys((".gz", ".zip", ".tar", ".xz", ".zst", ".bz2"), "an archive: unpack the model first"),
    }
)


def other_format(path: PurePath | str) -> str:
    """A sentence on a file that is no ONNX model; empty where its name says nothing."""
    named = PurePath(path)
    kind = KINDS.get(named.suffix.lower())
    return "" if kind is None else f"{path} is {kind.replace('FILE', named.name)}."
