"""A memory of bounded size that subsets share and worker processes start without."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")


class Cache:
    """Values that were asked for last.

    Args:
        limit: Bytes that it holds at most; the values asked for longest ago go first.
    """

    def __init__(self, limit: int = 512 * 2**20) -> None:
        self.limit = limit
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock, self._bytes = threading.Lock(), 0

    def get(self, key: Hashable, make: Callable[[], Value], cost: Callable[[Value], int]) -> Value:
        """The value of a key, made where it is not there.

        Args:
            key: Of the value.
            make: Makes it.
            cost: Bytes of a value.

        Returns:
            The value.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: Value = self._values[key][0]
                return found
        value = make()
        size = cost(value) + 256
        with self._lock:
            if key not in self._values and size <= self.limit:
                self._values[key] = value, size
                self._bytes += size
                while self._bytes > self.limit:
                    self._bytes -= self._values.popitem(last=False)[1][1]
        return value

    def __getstate__(self) -> int:
        return self.limit

    def __setstate__(self, limit: int) -> None:
        self.__init__(limit)  # type: ignore[misc]
