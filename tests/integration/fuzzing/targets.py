"""All formats by name."""

from __future__ import annotations

import of_benchmarks
import of_people
import of_runs

TARGETS = of_benchmarks.TARGETS | of_runs.TARGETS | of_people.TARGETS
