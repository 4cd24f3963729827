"""Which branches a run takes: asked from the outside in, as an inner condition is computed in the branch around it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from analyzer.graph import LoadedModel
from analyzer.graph.open_branches import with_branches
from analyzer.graph.reveal import computing
from analyzer.probes.fitting import Feeds
from analyzer.runtime.opening import Optimization
from analyzer.runtime.session import Session


def taken_branches(
    loaded: LoadedModel, feeds: Feeds, threads: int | None, varying: Collection[str] = ()
) -> dict[str, int]:
    """Per choice that this feed comes to, by its first output, the branch that it takes: 0 for true.

    Not asked are choices whose condition is one of `varying`, as other samples take another branch, with all that is
    within these; and choices in the bodies of loops, which may take one branch in one step, and another in the next.

    Raises:
        RunError: onnxruntime refuses the model, or it does not run on this feed.
    """
    decided, taken = loaded.graph.decided, dict[str, int]()
    for node in loaded.graph.nodes:
        if node.key in decided and node.inputs[0] not in varying:
            taken[node.key] = decided[node.key]
    while True:
        opened = with_branches(loaded, taken)
        choices = [n for n in opened.graph.nodes if n.key and not n.place and n.key not in taken]
        conditions = {n.key: n.inputs[0] for n in choices if n.inputs[0] not in varying}
        if not conditions:
            return taken
        deciding, shown = computing(opened, dict.fromkeys(conditions.values()))
        with Session(deciding, threads=threads, optimization=Optimization.NONE, few_runs=True) as session:
            results = session.run(feeds)
        taken |= {key: int(not np.ravel(results[shown[name]])[0]) for key, name in conditions.items()}
