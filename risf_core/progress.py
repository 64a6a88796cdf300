"""How long work says how far it is: the two forms of a `progress` callback."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # done, total
PhaseProgress = Callable[[str, str, int, int], None]  # what is being done, the unit counted, done, total
