"""NDR and PDR by MLRsearch (RFC 9971): the highest rates at which no frame is lost, or one in two hundred.

What the generator could not send in time counts as lost: a rate that cannot be offered is none.
"""

from __future__ import annotations

from collections.abc import Callable

from MLRsearch import AbstractMeasurer, Config, MeasurementResult, MultipleLossRatioSearch, SearchGoal

from perf.forwarding.trial import Trial

Offer = Callable[[float, float], Trial]
"""A trial of so many seconds and frames in a second, in each direction."""
NDR, PDR = "NDR", "PDR"
LOSS = {NDR: 0.0, PDR: 0.005}
GOALS: dict[str, dict[str, float]] = {
    # About 15 trials for both.
    "quick": {"exceed_ratio": 0.5, "relative_width": 0.02, "final_trial_duration": 1.0, "duration_sum": 5.0},
    # What CSIT searches for.
    "csit": {"exceed_ratio": 0.5, "relative_width": 0.005, "final_trial_duration": 1.0, "duration_sum": 21.0},
    # RFC 2544, 26.1: one trial of 60 s in which nothing is lost.
    "rfc2544": {"exceed_ratio": 0.0, "relative_width": 0.005, "final_trial_duration": 60.0, "duration_sum": 60.0},
}
_LEAST = 0.02
"""Of the most that came out: what cannot be forwarded without loss at that rate is not searched further."""
_PATIENCE = {"quick": 180.0, "csit": 1200.0, "rfc2544": 3600.0}


class SearchError(RuntimeError):
    """There is no rate, or none was found in time; which, and for what."""


class _Measurer(AbstractMeasurer):  # type: ignore[misc] # without types
    def __init__(self, offer: Offer, directions: int) -> None:
        self.offer, self.directions = offer, directions
        self.trials = 0

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        self.trials += 1
        done = self.offer(intended_duration, intended_load)
        return MeasurementResult(
            intended_duration=intended_duration,
            intended_load=intended_load,
            offered_count=done.sent,
            loss_count=done.lost,
            intended_count=self.directions * int(intended_duration * intended_load),
            offered_duration=done.seconds,
        )


def search(offer: Offer, most: float, goals: str, directions: int = 1) -> dict[str, float]:
    """Frames in a second, over all directions, that meet each goal; `most` is what came out when all was offered.

    Raises:
        SearchError
    """
    if not most:
        raise SearchError("nothing comes out, however much is offered")
    wanted = {
        name: SearchGoal(
            loss_ratio=loss, initial_trial_duration=0.5, preceding_targets=2, fail_fast=False, **GOALS[goals]
        )
        for name, loss in LOSS.items()
    }  # fmt: skip
    config = Config()
    config.goals = tuple(wanted.values())
    config.min_load = _LEAST * most / directions  # first: the other must not be below what stands here
    config.max_load = 2 * most / directions
    config.search_duration_max = _PATIENCE[goals]
    config.warmup_duration = 0.0
    measurer = _Measurer(offer, directions)
    try:
        found = MultipleLossRatioSearch(config).search(measurer, debug=lambda _: None)
    except RuntimeError as error:
        raise SearchError(f"{error} after {measurer.trials} trials") from error
    rates: dict[str, float] = {}
    for name, goal in wanted.items():
        throughput = found[goal].conditional_throughput
        if throughput is None:
            raise SearchError(f"{name}: frames are lost even at {config.min_load:.0f} a second")
        rates[name] = float(throughput) * directions
    return rates
