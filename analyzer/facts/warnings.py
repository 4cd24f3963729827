"""What a reader must know before trusting an audit: codes are stable, messages are one or two sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.facts.audit import AuditWarning, LayerVerdicts, ProbeSummary
from analyzer.facts.bound import firing_bound_of, samples_for_bound

LARGEST_USEFUL_BOUND = 0.05  # a probe that cannot bound the firing share by 5 % is called too small: 59 samples
MOSTLY = 0.5  # share of dead units from which a layer counts as mostly dead (SageMaker's threshold_layer)
FEWEST_UNITS = 4  # in a smaller layer, half of the units says nothing

_HINT = "a forgotten preprocessing step (scaling, channel order) looks just like this, so check the probe first"


def warnings_of(
    layers: Sequence[LayerVerdicts],
    probe: ProbeSummary | None,
    holdout: ProbeSummary | None = None,
    *,
    batched: bool = True,
) -> tuple[AuditWarning, ...]:
    """All warnings of one audit, those about the whole audit first."""
    return (
        *_about_the_data(probe, batched=batched),
        *_about_the_holdout(layers, holdout),
        *_about_the_model(layers),
        *(warning for layer in layers if layer.covered_by is None for warning in _about_a_layer(layer)),
    )


def _about_the_data(probe: ProbeSummary | None, *, batched: bool) -> Iterator[AuditWarning]:
    if probe is None:
        yield AuditWarning(
            "no-probe",
            "No probe data was given: only units that the weights alone decide are listed, "
            "no other unit was looked at.",
        )
        return
    if probe.random:
        yield AuditWarning(
            "random-probe",
            f"The probe is random data ({probe.source}), not data the model was made for: "
            "units listed as dead may well be alive on real inputs.",
        )
    enough = samples_for_bound(LARGEST_USEFUL_BOUND)
    if probe.samples < enough:
        yield AuditWarning(
            "probe-too-small",
            f"{_count(probe.samples, 'sample')} cannot tell much: a unit that never fired on them may "
            f"still fire on up to {100 * firing_bound_of(0, probe.samples):.0f} % of inputs. "
            f"Give at least {enough} samples, better thousands.",
        )
    if not batched and probe.samples > 1:
        yield AuditWarning(
            "one-by-one",
            "Samples were run one by one, as the model (or the data) does not take several at once; a model "
            "exported with a dynamic batch axis is audited faster.",
        )


def _about_the_holdout(layers: Sequence[LayerVerdicts], holdout: ProbeSummary | None) -> Iterator[AuditWarning]:
    if holdout is None:
        return
    revived = sum(len(layer.revived or ()) for layer in layers if layer.covered_by is None)
    if revived:
        verb = "is" if revived == 1 else "are"
        yield AuditWarning(
            "holdout-revives",
            f"{_count(revived, 'unit')} dead on the probe {verb} alive on the holdout: the probe does not "
            "cover what the model will see. Audit again on both sets together before removing anything.",
        )


def _about_the_model(layers: Sequence[LayerVerdicts]) -> Iterator[AuditWarning]:
    if not layers:
        yield AuditWarning(
            "nothing-audited",
            "The model has no activation or layer output whose units can be told apart: nothing to audit.",
        )


def _about_a_layer(layer: LayerVerdicts) -> Iterator[AuditWarning]:
    if layer.nonfinite:
        yield AuditWarning(
            "nonfinite",
            f"{_count(len(layer.nonfinite), 'unit')} of {layer.value} showed NaN or infinity: no verdict.",
            layer.value,
        )
    if not layer.units or layer.dead_share < MOSTLY or (layer.dead_share < 1 and layer.units < FEWEST_UNITS):
        return
    whole = layer.dead_share == 1
    who = (
        f"Every unit of {layer.value} is" if whole else f"{len(layer.dead)} of {layer.units} units of {layer.value} are"
    )
    observed = len(set(layer.dead) - set(layer.structural))
    if observed < MOSTLY * layer.units:
        yield AuditWarning(
            "layer-dead-by-weights", f"{who} dead: most by the weights alone, whatever the data.", layer.value
        )
    else:
        yield AuditWarning("layer-dead" if whole else "layer-mostly-dead", f"{who} dead: {_HINT}.", layer.value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
