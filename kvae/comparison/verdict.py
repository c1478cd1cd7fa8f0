"""What a comparison shows, in two sentences that are computed from its numbers: who is better, and what a loss says."""

from collections.abc import Sequence

from kvae.bundle import comparable
from kvae.comparison import settings
from kvae.comparison.measuring import Result
from kvae.evaluation import evaluation
from kvae.evaluation.estimates import Estimate
from kvae.runs import progress_of

NUM_ERRORS = 2.0
"""A difference of at most this many standard errors cannot be told from none."""
MAX_NAMES = 3
"""The most settings that are named one by one."""


def verdict(results: Sequence[Result]) -> str:
    """The verdict on a comparison, for people.

    Args:
        results: from `kvae.comparison.sweeps.compare`, at least one. If they are not all on one scale, each group of
            `groups` gets a verdict of its own.
    """
    early = _too_early(results)
    if early:
        return early
    found = groups(results)
    verdicts = [_of_group(group) for group in found if len(group) > 1]
    if len(found) > 1:
        reason = comparable.why_not(found[0][0].evaluation.measured, found[1][0].evaluation.measured)
        names = f"{found[0][0].setting.name} and {found[1][0].setting.name}"
        verdicts.append(f"Not all settings can be compared: of {names}, {reason}.")
    return " ".join(verdicts)


def groups(results: Sequence[Result]) -> list[list[Result]]:
    """The results whose numbers are on one scale, group by group; see `kvae.bundle.comparable.why_not`."""
    found: list[list[Result]] = []
    for result in results:
        for group in found:
            if comparable.why_not(group[0].evaluation.measured, result.evaluation.measured) is None:
                group.append(result)
                break
        else:
            found.append([result])
    return found


def _too_early(results: Sequence[Result]) -> str:
    """What to say if some trainings had not come to rest; empty if all had."""
    short = [result for result in results if len(result.history[progress_of.LOSS]) < progress_of.MIN_EPOCHS]
    if short:
        return (
            f"Too early to compare: {_names(short)} trained for fewer than {progress_of.MIN_EPOCHS} epochs. Train with "
            f"more --epochs."
        )
    falling = [result for result in results if progress_of.still_falling(result.history)]
    if not falling:
        return ""
    falls = [progress_of.last_fall(result.history) for result in falling]
    most = max(falls, key=lambda fall: fall.nats)
    return (
        f"Still falling: too early to compare. Over its last {most.epochs} epochs the validation loss of "
        f"{_names(falling)} still fell by {'up to ' if len(falls) > 1 else ''}{most.nats:.2f} nats; the order may "
        f"change with more --epochs."
    )


def _of_group(group: Sequence[Result]) -> str:
    ranked = sorted(group, key=_nll)
    sound = [result for result in ranked if result.evaluation.nll_is_believable]
    bounds = [result for result in ranked if not result.evaluation.nll_is_believable]
    if len(sound) < 2 or ranked[0] is not sound[0]:
        return f"{_not_ranked(ranked, bounds)} {_about_losses(None, ranked)}".rstrip()
    left_out = f" Left out: {_names(bounds)}, whose NLL is only an upper bound." if bounds else ""
    return f"{_who_is_better(sound)} {_about_losses(sound[0], ranked)}{left_out}"


def _not_ranked(ranked: Sequence[Result], bounds: Sequence[Result]) -> str:
    samples = ranked[0].evaluation.importance_samples
    return (
        f"The NLLs cannot be ranked: {samples:,} importance samples are too few for {_names(bounds)}, whose NLL is "
        f"only an upper bound; use more --importance-samples."
    )


def _who_is_better(ranked: Sequence[Result]) -> str:
    best, second = ranked[:2]
    base = group_reference(ranked)
    other = base if base is not best else second
    difference = evaluation.paired(other.evaluation, best.evaluation).get("nll")
    if difference is None:
        return f"The NLLs of {best.setting.name} and {other.setting.name} cannot be subtracted."
    if not _is_seen(difference):
        return (
            f"The NLLs of {best.setting.name} and {other.setting.name} do not differ measurably: "
            f"{_with_error(difference)} nats per image."
        )
    return (
        f"{best.setting.name} has the better NLL, {_nll(best):.2f} nats per image: {_with_error(difference)} below "
        f"that of {other.setting.name}, paired image by image."
    )


def _about_losses(best: Result | None, group: Sequence[Result]) -> str:
    """Whether the best one's loss is a bound, if one is best, and what the lowest loss is worth if it is another's."""
    lowest = min(group, key=lambda result: result.loss.value)
    name = lowest.setting.name
    trap = f"the lowest loss, {lowest.loss.value:.2f} of {name}, is not a bound on the NLL and promises nothing"
    if best is None:
        return "" if _is_bound(lowest) else f"{trap[0].upper()}{trap[1:]}."
    own = "Its loss is a bound on it" if _is_bound(best) else f"Its loss is not a bound: {best.evaluation.loss_caveat}"
    if lowest is best or _is_bound(lowest):
        return f"{own}."
    difference = evaluation.paired(lowest.evaluation, best.evaluation).get("nll")
    worth = "is only an upper bound" if difference is None else f"is {_with_error(difference)} nats higher"
    return f"{own}; {trap}: the NLL there {worth}."


def _is_bound(result: Result) -> bool:
    """Whether the loss bounds -log p(x); `kvae.bundle.caveats` says so in words, for every objective."""
    return "not a bound" not in (result.evaluation.loss_caveat or "")


def group_reference(group: Sequence[Result]) -> Result:
    """The result that the others of its group are compared with."""
    return group[settings.reference([result.setting for result in group])]


def _nll(result: Result) -> float:
    return result.evaluation.metrics["nll"].value


def _is_seen(difference: Estimate) -> bool:
    return abs(difference.value) > NUM_ERRORS * difference.standard_error


def _with_error(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ± {estimate.standard_error:.2f}"


def _names(results: Sequence[Result]) -> str:
    """ "a", "a and b", "a, b and c", or "a, b, c and 2 more"."""
    names = [result.setting.name for result in results]
    if len(names) > MAX_NAMES + 1:
        names = [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
