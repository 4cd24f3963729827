"""What a reader must know before trusting an audit: codes are stable, messages are one or two sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analyzer.facts.audit import AuditWarning, LayerVerdicts, ProbeSummary, Withdrawn
from analyzer.facts.bound import firing_bound_of, samples_for_bound
from analyzer.facts.model_io import ConstantOutput, UnusedInput

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
    mixed: Sequence[str] = (),
    unseen: Sequence[str] = (),
    overridable: Sequence[str] = (),
    unused_inputs: Sequence[UnusedInput] = (),
    constant_outputs: Sequence[ConstantOutput] = (),
    withdrawn: Sequence[Withdrawn] = (),
) -> tuple[AuditWarning, ...]:
    """All warnings of one audit, those about the whole audit first.

    `mixed` are audited values through which samples influence each other, `unseen` those that the run could not show;
    `overridable` are stored tensors that are inputs as well; `withdrawn` is what the run contradicted.
    """
    return (
        *_about_the_data(probe, batched=batched, mixed=mixed),
        *_about_the_holdout(layers, holdout),
        *_about_the_model(layers, unseen, overridable),
        *(_about_a_withdrawal(one) for one in withdrawn),
        *_about_the_ports(
            unused_inputs, [o for o in constant_outputs if o.structural or probe is None or probe.samples > 1]
        ),
        *(warning for layer in layers for warning in _about_a_layer(layer)),
    )


def _about_the_data(probe: ProbeSummary | None, *, batched: bool, mixed: Sequence[str]) -> Iterator[AuditWarning]:
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
    if mixed:
        yield AuditWarning(
            "samples-mix",
            f"Samples of one batch influence each other in {_first_of(mixed, 'value')}: nothing seen there on single "
            "samples counts, only what the weights alone decide is listed. Export the model in inference mode (no "
            "statistics over the batch), or with the fixed batch size that it is used with.",
            mixed[0],
        )
    if not batched and probe.samples > 1:
        why = (
            "as they influence each other where the model takes several at once."
            if mixed
            else "as the model (or the data) does not take several at once; a model exported with a dynamic batch "
            "axis is audited faster."
        )
        yield AuditWarning("one-by-one", f"Samples were run one by one, {why}")


def _about_the_holdout(layers: Sequence[LayerVerdicts], holdout: ProbeSummary | None) -> Iterator[AuditWarning]:
    if holdout is None:
        return
    revived = sum(len(layer.revived or ()) for layer in layers)
    if revived:
        verb = "is" if revived == 1 else "are"
        yield AuditWarning(
            "holdout-revives",
            f"{_count(revived, 'unit')} dead on the probe {verb} alive on the holdout: the probe does not "
            "cover what the model will see. Audit again on both sets together before removing anything.",
        )


def _about_the_model(
    layers: Sequence[LayerVerdicts], unseen: Sequence[str], overridable: Sequence[str]
) -> Iterator[AuditWarning]:
    if overridable:
        yield AuditWarning(
            "overridable",
            f"{_first_of(overridable, 'stored tensor')} can be overridden by whoever runs the model, being listed "
            "as inputs: taken for no constants, and left whole. If they are never overridden, export without "
            "keep_initializers_as_inputs.",
            overridable[0],
        )
    if not layers:
        yield AuditWarning(
            "nothing-audited",
            "The model has no activation or layer output whose units can be told apart: nothing to audit.",
        )

    for value in unseen:
        yield AuditWarning(
            "not-seen",
            f"{value} was not looked at: its shape in the run does not show its units. "
            "Only what the weights alone decide is listed for it.",
            value,
        )


def _about_a_withdrawal(withdrawn: Withdrawn) -> AuditWarning:
    return AuditWarning(
        "derivation-withdrawn",
        f"{_count(len(withdrawn.units), 'unit')} of {withdrawn.value} (by {withdrawn.op} {withdrawn.node}) should be "
        f"constant by derivation (the first {withdrawn.derived:g}), but the run showed otherwise ({withdrawn.low:g} to "
        f"{withdrawn.high:g}): that is not believed, nor anything that follows from it.",
        withdrawn.value,
    )


def _about_the_ports(inputs: Sequence[UnusedInput], outputs: Sequence[ConstantOutput]) -> Iterator[AuditWarning]:
    for unused in inputs:
        if unused.whole:
            why = "whatever the data" if unused.structural else "as long as the dead units stay dead"
            yield AuditWarning("input-ignored", f"No output depends on input {unused.name}, {why}.", unused.name)
    for output in outputs:
        whole = output.axis is None or len(output.indices) == output.units
        what = f"Output {output.name}" if whole else f"{len(output.indices)} of {output.units} units of {output.name}"
        verb = "is" if whole or len(output.indices) == 1 else "are"
        when = "whatever the data" if output.structural else "on every sample"
        yield AuditWarning("output-constant", f"{what} {verb} constant {when}.", output.name)


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


def _first_of(names: Sequence[str], noun: str) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {_count(len(names) - 1, f'other {noun}')}"
