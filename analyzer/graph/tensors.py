"""Read one tensor from a `.pb` file, as ONNX's test data sets hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from analyzer.algebra.pattern import Array
from analyzer.errors import ProbeError
from analyzer.regular_files import check_regular


def read_tensor(path: Path) -> tuple[str, Array]:
    """The tensor's name (may be empty) and its array.

    Raises:
        ProbeError: unreadable, truncated, not a tensor (a sequence, a map), or one that keeps its data
        elsewhere.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        tensor = onnx.TensorProto.FromString(check_regular(path).read_bytes())
    except OSError as error:
        raise ProbeError(f"{where} cannot be read: {error.strerror or error}.") from error
    except DecodeError as error:
        raise ProbeError(f"{where} is not a tensor in ONNX's format, or is truncated: write it again.") from error
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ProbeError(f"{where} keeps its data in another file, which is not read: store the tensor whole.")
    if tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise ProbeError(f"{where} holds no tensor (sequences and maps are not supported): give a tensor per input.")
    try:
        return tensor.name, np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # onnx raises many kinds on a damaged tensor
        raise ProbeError(f"{where} holds a damaged or truncated tensor: write it again.") from error
