"""Arrays and mappings that whoever reads a result cannot change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    import numpy as np

Key = TypeVar("Key")
Value = TypeVar("Value")
Scalar = TypeVar("Scalar", bound="np.generic")


def read_only(array: np.ndarray[Any, np.dtype[Scalar]]) -> np.ndarray[Any, np.dtype[Scalar]]:
    """The same numbers as an array that cannot be written to; whoever made it can still fill the original."""
    view = array.view()
    view.flags.writeable = False
    return view


class FrozenDict(dict[Key, Value]):
    """A dict that cannot be changed; unlike `types.MappingProxyType` it can be sent to another process."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("This mapping cannot be changed: copy it with dict() and change the copy.")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict[Key, Value]], tuple[dict[Key, Value]]]:
        """Pickled as a plain dict, because items of this one cannot be set."""
        return type(self), (dict(self),)
