"""Values that several threads need and only one should make."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Once(Generic[Key, Value]):
    """Values by key, each made by the first thread that asks while the others wait; kept until dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Key, Future[Value]] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of ``key``, from ``make`` if nobody has made it; an error goes to all who wait and is not kept."""
        with self._lock:
            future = self._values.get(key)
            mine = future is None
            if future is None:
                future = self._values[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._values.pop(key, None)
                future.set_exception(error)
        return future.result()

    def drop(self, unwanted: Callable[[Key], bool]) -> None:
        """Forget the values of the keys for which ``unwanted`` is true."""
        with self._lock:
            for key in [key for key in self._values if unwanted(key)]:
                del self._values[key]

    def __len__(self) -> int:
        return len(self._values)
