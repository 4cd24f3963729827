"""Calls of the command in processes of their own, which may crash, hang or take memory: one after another in each."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from analyzer.cli.exits import WRONG_INPUT
from tests.mutants.attempts import LONGEST, Attempt, Outcome

HARD_LIMIT = 6 << 30  # bytes; above what a call may take, so that taking more is seen and not only refused
PATIENCE = 10 * LONGEST  # seconds by the clock until a process counts as hanging
AT_REST = 1 << 30  # bytes; a process that keeps more between calls is replaced


class Worker:
    """A process that runs one attempt after another."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None

    def run(self, attempt: Attempt) -> Outcome:
        """What came of the attempt, in a folder of its own that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="damaged-") as name:
            folder = Path(name)
            attempt.write(folder)
            outcome = self._outcome(attempt, folder)
            left = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
            return Outcome(*outcome, left)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
            self._last_words.close()

    def _outcome(self, attempt: Attempt, folder: Path) -> tuple[int | None, str, str, float, int]:
        if self._process is None:
            self._start()
        assert self._pipe is not None
        self._pipe.send((attempt.arguments, folder))
        try:
            if not self._pipe.poll(PATIENCE):
                self.close()
                return None, "", "did not end", 0, 0
            code, out, err, seconds, memory, at_rest = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            words = Path(self._last_words.name).read_text(errors="replace")
            code = self._process.exitcode
            self.close()
            if code == WRONG_INPUT:  # the command itself ended its process: a run of the model did not heed its end
                return code, "", words, 0, 0
            return None, "", f"died with {code}: {words}", 0, 0
        if at_rest > AT_REST:
            self.close()
        return code, out, err, seconds, memory

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._last_words = tempfile.NamedTemporaryFile()  # noqa: SIM115  what is said on the way to a death
        self._process = context.Process(target=_serve, args=(theirs, self._last_words.name), daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection, last_words: str) -> None:
    os.environ["COLUMNS"] = "100"
    resource.setrlimit(resource.RLIMIT_DATA, (HARD_LIMIT, HARD_LIMIT))
    from analyzer.__main__ import main
    from analyzer.cli.main import run

    with tempfile.TemporaryFile() as out, Path(last_words).open("w+b") as err:
        # The streams of the system, so that what native libraries say is heard.
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.argv = ["deadunits", "--version"]
        main()  # once, for what is prepared for a whole process
        _said(out, sys.stdout)
        with suppress(EOFError):
            while True:
                arguments, folder = pipe.recv()
                os.chdir(folder)
                _forget_the_peak()
                start = time.process_time()
                code = run(arguments)
                seconds = time.process_time() - start
                os.chdir("/")
                said = _said(out, sys.stdout), _said(err, sys.stderr)
                pipe.send((code, *said, seconds, _memory("VmHWM"), _memory("VmRSS")))


def _said(stream: IO[bytes], ours: IO[str]) -> str:
    ours.flush()
    stream.seek(0)
    text = stream.read().decode(errors="replace")
    stream.seek(0)
    stream.truncate()
    return text


def _forget_the_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(key: str) -> int:
    """Bytes that this process takes, or took at most; the most where the system tells no more."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
