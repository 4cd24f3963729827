"""Workers that are actors of a Ray cluster, which this process is in, joins, or starts on this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from typing import Any

from analyzer.errors import InputError, first_line
from analyzer.facts.engine import Engine
from analyzer.observe.block_observer import Counted
from analyzer.observe.sent import AnySetup, OtherEnd, packed, packed_setup
from analyzer.observe.workers import WorkerLost, Workers
from analyzer.probes.sample_blocks import Block

_ON_GPU = frozenset({"CUDA", "TensorRT", "NvTensorRTRTX", "ROCM", "MIGraphX"})


class RayObserver(Workers):
    """An observer of blocks whose workers are actors; a cluster that it started goes with it."""

    def __init__(self, engine: Engine, setup: AnySetup) -> None:
        """Join or start a cluster.

        Raises:
            InputError: Ray is not installed, there is no cluster at the address, or it lacks what the provider needs.
        """
        self._ray, self._joined = _joined(engine.address)
        try:
            count, needs = _actors(self._ray.cluster_resources(), engine, setup)
            kind = self._ray.remote(**needs, max_restarts=0, max_task_retries=0)(_Actor)
            content = self._ray.put(packed_setup(setup))
        except ModuleNotFoundError as error:  # by way of a client: the cluster's own
            self._leave()
            raise InputError(f"The Ray cluster lacks {error.name}: install deadunits on each node.") from error
        except BaseException:
            self._leave()
            raise
        super().__init__(setup.nothing, lambda: _RayWorker(self._ray, kind.remote(content)), count)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._joined:
            self._ray.shutdown()


class _Actor:
    """What runs elsewhere. Answers are packed, so that Ray's own errors are told from those of the data."""

    def __init__(self, setup: bytes) -> None:
        self._setup = setup
        self._end: OtherEnd | None = None

    def begin(self) -> bytes:
        """Read the model; raises nothing."""
        try:
            self._end = OtherEnd(self._setup)
        except Exception as error:  # noqa: BLE001  the other end raises it
            return packed(error)
        return packed(None)

    def answer(self, blocks: Sequence[Block]) -> bytes:
        """What these blocks show, or what is wrong with one of them."""
        assert self._end is not None
        return packed(self._end.answer(blocks))


class _RayWorker:
    """The end in the process that has the data; see `Worker`."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def ready(self) -> None:
        """Wait until the cluster has room for it, and it has read the model."""
        self._answer(self._actor.begin.remote())

    def ask(self, blocks: Sequence[Block]) -> Counted:
        """See `Worker`."""
        counted: Counted = self._answer(self._actor.answer.remote(blocks))
        return counted

    def close(self) -> None:
        """See `Worker`."""
        with suppress(Exception):  # it is gone, or the cluster is
            self._ray.kill(self._actor)

    def _answer(self, asked: Any) -> Any:
        try:
            answer = ForkingPickler.loads(self._ray.get(asked))
        except self._ray.exceptions.RayError as error:
            raise WorkerLost(first_line(error).rstrip(".")) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _joined(address: str | None) -> tuple[Any, bool]:
    """Ray, and whether it was this that joined the cluster or started one."""
    try:
        import ray
    except ImportError as error:
        raise InputError('The engine ray needs Ray: pip install "deadunits[ray]".') from error
    if ray.is_initialized():  # in which the caller's data sets are
        return ray, False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that is started here nothing is sent anywhere
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        with warnings.catch_warnings(action="ignore"):
            if address is None:
                ray.init(address="local", include_dashboard=False, **quiet)
            else:
                ray.init(address=address if address == "auto" else f"ray://{address}", **quiet)
    except Exception as error:  # Ray's, gRPC's, and those of what it starts
        where = "Ray cannot be started here" if address is None else f"There is no Ray cluster at {address}"
        raise InputError(f"{where}: {first_line(error)[0].lower()}{first_line(error)[1:]}") from error
    return ray, True


def _actors(resources: dict[str, float], engine: Engine, setup: AnySetup) -> tuple[int, dict[str, float]]:
    """How many actors, and what each declares to need.

    One processor is left for what reads the data: Ray's own readers wait for ever where actors hold all that there are.
    Whoever asks for more actors than that has them declare none.
    """
    threads = setup.threads or 1
    free = int(resources.get("CPU", 0)) - 1
    count = engine.workers or max(1, free // threads)
    needs: dict[str, float] = {"num_cpus": threads if count * threads <= free else 0}
    if setup.provider.short in _ON_GPU:
        devices = int(resources.get("GPU", 0))
        if not devices:
            raise InputError(
                f"Ray knows of no GPU in its cluster, which {setup.provider.short} needs: see `ray status`."
            )
        return min(count, devices), {**needs, "num_gpus": 1}
    return count, needs
