"""JSON that a person names, or that lies beside a model: read whole, up to a size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analyzer.errors import InputError
from analyzer.regular_files import check_regular


def read_json(
    path: Path, kind: str, advice: str, *, most: int, missing: str = "", error: type[InputError] = InputError
) -> Any:
    """What a file of at most so many bytes holds.

    `kind` and `advice` stand in the sentences of what is refused, `missing` is that of a file that is not there.

    Raises:
        InputError: of the class `error`: the file cannot be read, is larger, or holds no JSON.
    """
    try:
        if check_regular(path).stat().st_size > most:
            raise error(f"{path} is larger than any {kind}: {advice}.")
        return json.loads(path.read_bytes())
    except OSError as failure:
        if missing and isinstance(failure, FileNotFoundError) and str(path) != "-":
            raise error(missing) from failure
        raise error(f"{path} cannot be read: {failure.strerror or failure}.") from failure
    except (ValueError, RecursionError) as failure:  # no UTF-8 among them
        raise error(f"{path} is no JSON: {advice}.") from failure
