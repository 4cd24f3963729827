"""How images become arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from analyzer.errors import ProbeError

RESIZES = ("stretch", "crop", "pad")
INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic")  # in the order of Pillow's numbers
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_CROPPED = {"resize": "crop", "crop_share": 224 / 256, "channels": "RGB", "scale": 1 / 255, **_IMAGENET}
#: Preprocessing by the names that people use.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "imagenet": _CROPPED,
        "torchvision": _CROPPED,
        "timm": {**_CROPPED, "interpolation": "bicubic"},
        "yolo": {"resize": "pad", "fill": 114, "channels": "RGB", "scale": 1 / 255},
        "keras-tf": {"channels": "RGB", "scale": 1 / 127.5, "mean": (1.0, 1.0, 1.0)},
        "keras-caffe": {"channels": "BGR", "scale": 1.0, "mean": (103.939, 116.779, 123.68)},
        "keras-torch": {"channels": "RGB", "scale": 1 / 255, **_IMAGENET},
    }
)
LAYOUTS = ("NCHW", "NHWC")
CHANNELS = {"RGB": 3, "BGR": 3, "gray": 1}


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How an image becomes an input: resize, order channels, `(pixel * scale - mean) / std`, lay out.

    Attributes:
        size: height and width; None: as the model declares them.
        resize: "stretch" to the size; "crop": fill the size and cut out the centre; "pad": fit inside,
            put `fill` around it (letterbox).
        crop_share: for "crop", the share of the shorter side that is kept (224 of 256 is 0.875).
        interpolation: "bilinear", "bicubic", "nearest" or "lanczos".
        layout: "NCHW" or "NHWC"; None: as the model's dims say.
        scale: factor on the pixel values 0 to 255; None: 1/255 for float inputs, 1 for integer ones.
        mean, std: one number for all channels or one per channel, in the order in which they are fed.
        fill: for "pad", the pixel value (0 to 255) around the image.
        channels: "RGB", "BGR" or "gray"; None: as many as the model declares (RGB where it does not).
    """

    size: tuple[int, int] | None = None
    resize: str = "stretch"
    crop_share: float = 1.0
    layout: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: str | None = None
    fill: int = 0
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Raise ProbeError for values that no image can be prepared with."""
        for what, value, known in (
            ("resize", self.resize, RESIZES),
            ("interpolation", self.interpolation, INTERPOLATIONS),
            ("layout", self.layout, (*LAYOUTS, None)),
            ("channels", self.channels, (*CHANNELS, None)),
        ):
            if value not in known:
                names = ", ".join(str(k) for k in known if k)
                raise ProbeError(f"'{value}' is no {what} setting for images: choose one of {names}.")
        if self.size is not None and min(self.size) < 1:
            raise ProbeError(f"The image size is {self.size[0]}x{self.size[1]}: both must be at least 1.")
        if not 0 <= self.fill <= 255:
            raise ProbeError(f"The images' fill is {self.fill}: it must be a pixel value from 0 to 255.")
        if not 0 < self.crop_share <= 1:
            raise ProbeError(f"The images' crop share is {self.crop_share}: it must be above 0 and at most 1.")
        if 0 in self.std:
            raise ProbeError("The images' std holds a 0, by which nothing can be divided: give the training values.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> ImageOptions:
        """A known preprocessing, with changes.

        "imagenet", "torchvision": how most of torchvision's classifiers are evaluated; "timm": those of timm with its
        usual settings; "yolo": how Ultralytics' detectors are fed; "keras-tf", "keras-caffe", "keras-torch": the modes
        of `preprocess_input` in Keras' applications.

        Raises:
            ProbeError: there is none of that name.
        """
        if name not in PRESETS:
            raise ProbeError(f"'{name}' is no image preset: choose one of {', '.join(PRESETS)}, or a .json file.")
        known = dict(PRESETS[name])
        if known.get("mean") == _IMAGENET["mean"] and changes.get("channels") == "BGR":
            known |= {part: values[::-1] for part, values in _IMAGENET.items()}
        return cls(**{**known, **changes})
