"""Lanes: one consumer each for a function where waiting hurts, and whose turn it is."""

from collections.abc import Iterable, Mapping

from events.registry import Function


def lane_consumer(function: str, lane: str) -> str:
    """The name of a lane's consumer. A function's name is an identifier, so the hyphen tells where it ends."""
    return f"{function}-{lane}"


def function_of(consumer: str) -> str:
    """Whose consumer it is, a lane's or its only one."""
    return consumer.partition("-")[0]


def consumer_names(function: Function, lanes: Iterable[str]) -> dict[str, str]:
    """The names of a function's consumers by lane; where it has no lanes, its own, for the lane that is no lane."""
    return {lane: lane_consumer(function.name, lane) for lane in lanes} if function.lanes else {"": function.name}


class Turns:
    """Whose turn it is: of lanes that always have something, each gets deliveries in proportion to its weight.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996) with deliveries of equal length. A lane that had nothing for a
    while is served next and gets no more for it: nobody saves up.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._now = 0.0
        self._due = dict.fromkeys(weights, 0.0)

    def order(self) -> list[str]:
        """The lanes as they should be asked: at one time, the heavier first."""
        return sorted(self._weights, key=lambda lane: (self._start(lane), -self._weights[lane]))

    def served(self, lane: str) -> None:
        """One delivery of the lane has begun."""
        self._now = self._start(lane)
        self._due[lane] = self._now + 1 / self._weights[lane]

    def _start(self, lane: str) -> float:
        return max(self._due[lane], self._now)
