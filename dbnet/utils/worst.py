import heapq
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Worst(Generic[Item]):
    """Keep the items of the highest ranks, `capacity` of them, and make no others.

    >>> worst = Worst[str](2)
    >>> for rank in (3, 1, 5, 2):
    ...     worst.add((rank,), lambda: "an expensive drawing")
    >>> [rank for rank, _ in worst.in_order()]
    [(5,), (3,)]
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.kept: list[tuple[Any, Item]] = []  # a heap of (rank, item)

    def add(self, rank: tuple, make: Callable[[], Item]) -> None:
        """Keep what `make` returns if its rank is among the highest so far."""
        if len(self.kept) < self.capacity or rank > self.kept[0][0]:
            heapq.heappush(self.kept, (rank, make()))
            if len(self.kept) > self.capacity:
                heapq.heappop(self.kept)

    def in_order(self) -> list[tuple[Any, Item]]:
        """List ranks and items, the worst first."""
        return sorted(self.kept, key=lambda ranked: ranked[0], reverse=True)
