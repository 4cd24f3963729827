"""What a caller may choose about the data and the run: the same for every function and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.errors import InputError
from analyzer.facts.audio_options import AudioOptions
from analyzer.facts.batch_size import BATCH_SIZE, FULL_SAMPLES
from analyzer.facts.engine import Engine
from analyzer.facts.frozen import FrozenDict
from analyzer.facts.given import WithDefaults, is_number
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.text_options import TextOptions
from analyzer.runtime.in_parts import run_in_parts
from analyzer.runtime.run_limit import runs_limited

if TYPE_CHECKING:
    from analyzer.runtime.providers import Provider

Progress = Callable[[str, int, int | None], None]  # stage, samples done, samples in all (None: not known)
RUN_LIMIT = 600  # seconds: large models on slow machines take minutes for a batch
MOST_THREADS = 256  # onnxruntime takes minutes to start thousands


@dataclass(frozen=True, eq=False)
class Data:
    """The data that a model is run on, and how it is read; without any, only the weights are looked at.

    Wherever a function takes `Data`, it takes a probe alone as well: `audit(model, "probe.npz")`.

    With `statistics` the model is not run to see what its units do; a probe that is given as well is what the second
    passes are made on (causes, the comparison of a smaller model), and units that move on it are not dead.

    Attributes:
        probe: data like what the model will see: a path or an address (.npz, .npy, .csv, .parquet, .h5, .zarr, .tar,
            images, sound, text, a folder of these or of tensors, `file.py:generator`), arrays by input name, a data
            frame, a data set of Hugging Face, TensorFlow, PyTorch or Ray, or any iterable of feeds.
        holdout: a second data set, held against the first: units dead on the probe, alive there are listed.
        statistics: what an earlier pass over the data left behind, in place of a probe: a file that `deadunits observe`
            or `merge` wrote, or what `take_statistics` returns.
        limit: use at most so many samples of each data set.
        constants: inputs that are fed unchanged with every sample.
        images: how image files become arrays.
        audio: how files of sound do.
        text: how text does.
        max_bad: leave out so many files, lines and rows of a data set that cannot be read; the report lists them.
        random: draw so many random samples instead of a probe; labelled as random everywhere.
        seed: which random samples are drawn.
        dims: sizes of free dimensions for `random`, by name.
    """

    probe: Any = None
    holdout: Any = None
    _: KW_ONLY
    statistics: Any = None
    limit: int | None = None
    constants: Sequence[str] = ()
    images: ImageOptions | None = None
    audio: AudioOptions | None = None
    text: TextOptions | None = None
    max_bad: int = 0
    random: int | None = None
    seed: int = 0
    dims: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, or what nothing would come of.

        Raises:
            InputError: what to change.
        """
        if self.probe is not None and self.random is not None:
            raise InputError("Give either a probe or a number of random samples, not both.")
        if self.statistics is not None and self.random is not None:
            raise InputError("Give either statistics or a number of random samples, not both.")
        if self.holdout is not None and self.probe is None and self.statistics is None:
            raise InputError("A holdout is held against a probe: give a probe as well.")
        _check_counts(limit=self.limit, random=self.random)
        if not is_number(self.max_bad, 0, kind=int):
            raise InputError(f"max_bad is {self.max_bad!r}: give a whole number from 0 on.")
        if isinstance(self.constants, str):
            names = f"[{self.constants!r}]"
            raise InputError(f"constants is the text {self.constants!r}: give a list of names, such as {names}.")
        if self.probe is None and self.holdout is None:
            for name in ("limit", "audio", "text", "max_bad"):
                if getattr(self, name) not in (None, 0):
                    raise InputError(
                        f"{name} says how a probe is read, and there is none: give a probe, or leave it out."
                    )
            if self.random is None and self.constants:
                raise InputError("constants says how data is fed, and there is none: give a probe, or leave it out.")
        if self.random is None and self.dims:
            raise InputError("dims gives sizes to random samples, and none are drawn: leave it out.")
        if self.random is None and self.seed:
            raise InputError("seed says which random samples are drawn, and none are: leave it out.")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: give at least 0.")

    @property
    def sources(self) -> tuple[Any, ...]:
        """Everything that is read."""
        return self.probe, self.holdout, self.statistics, self.text and self.text.tokenizer

    @classmethod
    def of(cls, given: Any) -> Data:
        """`Data` as it is, or the data that a probe alone is."""
        return given if isinstance(given, cls) else cls(given)


def image_options(preset: str, **changes: Any) -> ImageOptions:
    """How images are prepared: a preset of `ImageOptions`, or what a `preprocessor_config.json` says, with changes.

    Raises:
        ProbeError: there is no such preset, or the file cannot be used.
    """
    if not preset.endswith(".json"):
        return ImageOptions.preset(preset, **changes)
    from analyzer.probes.preprocessor_config import options_of

    return replace(options_of(Path(preset)), **changes)


@dataclass(frozen=True)
class Run(WithDefaults):
    """How a model is run.

    Attributes:
        batch_size: samples per run where the model takes batches.
        threads: threads of onnxruntime; None: its own choice.
        independent: your word that the samples of a batch do not influence each other, where that cannot be read from
            the model; every report repeats it.
        run_limit: seconds that a single run may take; one that takes longer is ended, as a loop in a model may have no
            end. Runs on guessed inputs may take at most a minute.
        stream: run large models in parts, one part's weights in memory at a time: slower, in far less memory. None:
            where a model's weights, four times over, are more than the memory that is free; False: never.
        provider: who computes the model while it is observed: an execution provider of onnxruntime, such as "CUDA" or
            "OpenVINO". Shapes, and a smaller model beside the original, are run by the CPU in any case.
        provider_options: options of that provider, by name.
        engine: who runs the data: "local", this process; "processes", others on this machine, as many as it has
            processors, of one thread each; "processes:4", so many; "ray" and "ray:4", actors of the Ray cluster that
            this process is in, or of one that is started here; "ray://HOST:PORT", of the one there. They give the
            same verdicts, and count all samples. It is about the pass over the probe and the holdout; causes, and a
            smaller model beside the original, are run by this process.
        full_samples: of so many samples every layer is counted; later only layers of which a verdict may still change,
            so firing rates of the others are those of the samples that were counted.
        full: every layer is counted on all samples.
    """

    batch_size: int = BATCH_SIZE
    threads: int | None = None
    independent: bool = False
    run_limit: float = RUN_LIMIT
    stream: bool | None = None
    provider: str = "CPU"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    engine: str = "local"
    full_samples: int = FULL_SAMPLES
    full: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant.

        Raises:
            InputError: what to change.
        """
        _check_counts(batch_size=self.batch_size, threads=self.threads, full_samples=self.full_samples)
        Engine.of(self.engine)
        if self.threads is not None and self.threads > MOST_THREADS:
            raise InputError(
                f"threads is {self.threads}: give at most {MOST_THREADS}; more than there are cores do not help."
            )
        if not is_number(self.run_limit, 0) or not self.run_limit:
            raise InputError(f"run_limit is {self.run_limit!r}: give a number of seconds above 0.")
        object.__setattr__(self, "run_limit", float(self.run_limit))  # NumPy's may have too few digits for a time
        object.__setattr__(self, "provider_options", FrozenDict(self.provider_options))

    @contextmanager
    def limited(self) -> Iterator[None]:
        """The runs inside may take `run_limit` seconds each, in parts or not."""
        limit = runs_limited(self.run_limit, "raise the limit (--run-limit SECONDS), or lower --batch-size")
        with limit, run_in_parts(self.stream):
            yield


def provider_of(run: Run) -> Provider:
    """Who computes the model.

    Raises:
        InputError: onnxruntime has none of this name here.
    """
    from analyzer.runtime.providers import provider_named  # with onnxruntime, which --help does not need

    return provider_named(run.provider, run.provider_options)


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and not isinstance(count, int):
            raise InputError(f"{name} is {count!r}: give a whole number.")
        if count is not None and count < 1:
            raise InputError(f"{name} is {count}: give at least 1.")
