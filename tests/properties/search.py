"""How far is searched: the same few examples each time; or, with STORIES=5000 in the environment, so many, others each
time. Then give pytest `--timeout 0` as well, and an hour for each two thousand."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_STORIES = os.environ.get("STORIES")
# What a fixture gives here serves for all examples: a database that each fills with names of its own, a folder to copy.
_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
real = settings(
    max_examples=int(_STORIES or 20),
    derandomize=_STORIES is None,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=_FIXTURES,
)
"""For what runs the real service or a database."""
pure = settings(real, max_examples=10 * real.max_examples)
"""For what only computes."""
