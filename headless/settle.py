"""Values on a graph, each worked out once and without recursion: the reason why the check takes linear time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Settled(Generic[Key, Value]):
    """`settled[key]`, made of the values of the keys that it depends on; a circle gets the value `circle`.

    expand: key -> (keys that it depends on, function of their values that makes its own)
    work: how many keys and dependencies were looked at so far; tests count it instead of time
    """

    def __init__(self, expand: Callable[[Key], tuple[Sequence[Key], Callable[[list[Value]], Value]]], circle: Value):
        self._expand, self._circle = expand, circle
        self._done: dict[Key, Value] = {}
        self.work = 0

    def __contains__(self, key: Key) -> bool:
        """Whether the value of `key` is worked out already."""
        return key in self._done

    def __getitem__(self, key: Key) -> Value:
        waiting, opened = [key], {}
        while waiting:
            top = waiting[-1]
            if top in self._done:
                waiting.pop()
            elif top in opened:  # what it depends on is done, or is on the way that led here: a circle
                needed, fold = opened[top]
                self._done[top] = fold([self._done.get(one, self._circle) for one in needed])
            else:
                needed, fold = opened[top] = self._expand(top)
                self.work += 1 + len(needed)
                waiting += [one for one in needed if one not in self._done and one not in opened]
        return self._done[key]
