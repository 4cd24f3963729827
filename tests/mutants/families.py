"""The families of the corpus: what makes the damaged call of a seed, and how many of 132 it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from tests.mutants.attempts import Attempt
from tests.mutants.damaged_arrays import damaged_data_set, damaged_npy, damaged_npz
from tests.mutants.damaged_images import damaged_image, damaged_list
from tests.mutants.damaged_models import damaged_graph, damaged_message
from tests.mutants.damaged_settings import damaged_baseline, damaged_config
from tests.mutants.damaged_stores import (
    damaged_arrow,
    damaged_hdf5,
    damaged_sound,
    damaged_tar,
    damaged_text,
    damaged_zarr,
)
from tests.mutants.damaged_tables import damaged_csv, damaged_parquet
from tests.mutants.odd_calls import odd_call
from tests.mutants.odd_graphs import odd_graph

FAMILIES: Mapping[str, tuple[int, Callable[[Random], Attempt]]] = {
    "graphs": (32, damaged_graph),
    "messages": (23, damaged_message),
    "npy": (8, damaged_npy),
    "npz": (10, damaged_npz),
    "data sets": (3, damaged_data_set),
    "csv": (7, damaged_csv),
    "parquet": (2, damaged_parquet),
    "images": (6, damaged_image),
    "lists": (2, damaged_list),
    "hdf5": (3, damaged_hdf5),
    "zarr": (3, damaged_zarr),
    "arrow": (3, damaged_arrow),
    "tar": (3, damaged_tar),
    "sound": (3, damaged_sound),
    "text": (2, damaged_text),
    "baselines": (4, damaged_baseline),
    "settings": (3, damaged_config),
    "odd graphs": (10, odd_graph),
    "odd calls": (5, odd_call),
}


def attempt(family: str, seed: int) -> Attempt:
    """The same for the same seed."""
    return FAMILIES[family][1](Random(f"{family} {seed}"))
