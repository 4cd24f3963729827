"""Settings for all tests: Hypothesis profiles."""

from __future__ import annotations

import os

from hypothesis import settings

# dev: quick while writing; ci: the same examples on every run; nightly: a long search for new ones.
settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
