"""The simulator's model in virtual time: when every token of every request is due, without a server."""

from collections.abc import Sequence

from perfkit.simulator import Simulation
from perfkit.simulator.model import SECOND, Work, make_schedule


def simulate_arrivals(
    arrivals: Sequence[float], simulation: Simulation, work: Work | Sequence[Work]
) -> list[list[float]]:
    """Run a server's model in virtual time: when every token of every request is due.

    Parameters
    ----------
    arrivals : sequence of float, seconds
        When each request arrives, in order.
    simulation : Simulation
        With ``slots`` an engine, without them exact pacing.
    work : Work, or one per arrival
        How many tokens each request brings and wants.

    Returns
    -------
    list of list of float, seconds
        Per request the due time of each of its tokens, on the clock of ``arrivals``.

    Raises
    ------
    ValueError
        The arrivals are not in order, or there are not as many works.

    Examples
    --------
    >>> [times] = simulate_arrivals([1.0], Simulation(slots=32, base_latency=0.0), Work(2000, 2))
    >>> [round(time, 3) for time in times]
    [1.11, 1.12]
    """
    works = [work] * len(arrivals) if isinstance(work, Work) else list(work)
    times = [round(arrival * SECOND) for arrival in arrivals]
    if times != sorted(times):
        raise ValueError("arrivals must be in order of time; sort them")
    schedule = make_schedule(simulation)
    due: list[list[float]] = [[] for _ in times]
    for number, (arrival, each) in enumerate(zip(times, works, strict=True)):
        # Up to the moment before: requests that arrive together go into the same step.
        taken = schedule.take(arrival - 1)
        schedule.arrive(number, arrival, each)
        for time, of in taken:
            due[of].append(time / SECOND)
    while (last := schedule.next_due()) is not None:
        for time, of in schedule.take(last):
            due[of].append(time / SECOND)
    return due
