"""Fuzzing: many generated inputs, the same in every run, each of which must end in a result or in a SafreeError."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings


@pytest.fixture
def fuzz(record_property):
    """Call `check(value)` with `count` values of a strategy, and note how many there were."""

    def fuzz(strategy, count: int, check) -> None:
        tried = 0

        @settings(
            max_examples=count,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # the examples are small; shrinking them against a server takes minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        )
        @given(strategy)
        def each(value):
            nonlocal tried
            tried += 1
            check(value)

        each()
        assert tried >= count / 2  # of small strategies there are no more
        record_property("cases", tried)

    return fuzz


@pytest.fixture
def attempt(pack):
    """Call a function: (its result, '') or, where it refuses, (None, the message). Any other exception fails."""

    def attempt(function, *arguments) -> tuple:
        try:
            return function(*arguments), ""
        except pack.safree.SafreeError as refused:
            assert str(refused)  # noqa: PT017
            return None, str(refused)

    return attempt
