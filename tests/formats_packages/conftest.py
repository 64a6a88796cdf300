"""Each file here is for one package and needs it: `make test-formats` has all three, others skip it."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = ("supervision", "transformers", "ultralytics")

collect_ignore = [f"test_{package}.py" for package in PACKAGES if find_spec(package) is None]
