"""How far two calculations of one value may differ, relative to the value's largest entry, by its element type.

Some hundred times the unit roundoff covers what another order of summation brings over the depth of a network; another
batch size may choose other kernels as well.
"""

from __future__ import annotations

from types import MappingProxyType

#: The same model with other widths: the pruned one against the original.
REORDERED = MappingProxyType({"float64": 1e-9, "float32": 5e-5, "float16": 2e-2, "bfloat16": 8e-2})
#: The same model on another number of samples.
REBATCHED = MappingProxyType({"float64": 1e-9, "float32": 1e-3, "float16": 2e-2, "bfloat16": 5e-2})
#: What is calculated in double precision against what the model's own type gives, sums rounded otherwise.
DERIVED = MappingProxyType(
    {**dict.fromkeys(("float64", "int64", "uint64"), 1e-6), **dict.fromkeys(("float32", "int32", "uint32"), 1e-3)}
)
#: The same for all narrower types.
COARSELY_DERIVED = 2e-2
#: Where values are quantised on the way, one step may go the other way: a few of 255 steps.
REORDERED_QUANTISED = 2e-2
#: A dynamic quantiser rounds each batch by a scale of its own.
REBATCHED_QUANTISED = 0.1
