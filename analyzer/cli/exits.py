"""Exit codes, and every way a command can end: one sentence on stderr, never a traceback unless asked for.

0 done    1 `check` found too much    2 the input or the call was wrong    3 a bug of ours, or a result that
failed its own comparison    130 interrupted    128 and the number of any other signal (SIGTERM: 143)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from analyzer import unfinished
from analyzer.cli.streams import silence
from analyzer.errors import DeadunitsError, InputError, OutputError

WRONG_INPUT = 2
BUG = 3
INTERRUPTED = 130
_BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


@contextmanager
def clean_exit(*, debug: bool, batch_size: int | None = None) -> Iterator[None]:
    """Turn whatever leaves the block into one sentence on stderr and an exit code.

    `debug` prints the traceback as well; `batch_size` is named when memory runs out.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end("interrupted.", INTERRUPTED)
    except BrokenPipeError:
        silence(sys.stdout)
        raise SystemExit(_BROKEN_PIPE) from None
    except MemoryError:
        _show_traceback(debug=debug)
        now = "" if batch_size is None else f" (now {batch_size})"
        _end(
            f"not enough memory: lower --batch-size{now}, or run on a larger machine; "
            "--limit helps only where the probe itself is what is too large.",
            WRONG_INPUT,
        )
    except InputError as error:
        _show_traceback(debug=debug)
        _end(str(error), WRONG_INPUT)
    except DeadunitsError as error:
        _show_traceback(debug=debug)
        _end(str(error), BUG)
    except Exception as error:  # noqa: BLE001  the last resort: a bug is reported in one line
        _show_traceback(debug=debug)
        hint = "" if debug else " Run again with --debug for the traceback, and please report it."
        _end(f"internal error, {type(error).__name__}: {_one_line(error)}.{hint}", BUG)


@contextmanager
def writing_to_stdout() -> Iterator[None]:
    """A full disk or a closed stream behind stdout is the caller's to know, as for any other output.

    Raises:
        OutputError: standard output cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(f"Standard output cannot be written: {error.strerror or error}.") from error


def on_one_line(text: str) -> str:
    """Our words with names from files in them, nothing of which a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def _end(message: str, code: int) -> None:
    from analyzer.facts.wording import concise

    said = concise(on_one_line(message))
    if unfinished.written or code == INTERRUPTED:
        said = f"{said.removesuffix('.')}; {on_one_line(unfinished.outcome())}."
    sys.stderr.write(f"deadunits: {said}\n")
    raise SystemExit(code)


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no message"


def _show_traceback(*, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
