"""Whether onnxruntime loads a file as its users load it: with its default options, in a process that may end by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from analyzer import unfinished

LOAD = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
LONGEST = 600  # seconds


def loads_by_default(path: Path) -> bool:
    """Whether a process of its own gets a session of the file, and does not end by it or take too long."""
    # -P: a module that lies in the working directory is not onnxruntime
    words = [sys.executable, "-P", "-c", LOAD, str(path.resolve())]
    nothing = subprocess.DEVNULL
    try:
        with subprocess.Popen(words, stdin=nothing, stdout=nothing, stderr=nothing) as child:
            unfinished.undo.append(child.kill)
            try:
                return child.wait(LONGEST) == 0
            finally:
                unfinished.undo.remove(child.kill)
                child.kill()
    except (OSError, subprocess.TimeoutExpired):
        return False
