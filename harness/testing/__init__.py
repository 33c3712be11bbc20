"""Checks for authors of models: cases of pytest, or ``harness plugins check``."""

from __future__ import annotations

from harness.plugin_api.conformance import CheckError
from harness.testing.cases import parametrize_with_checks
from harness.testing.checks import CHECKS
from harness.testing.outcomes import CheckResult, run_checks

__all__ = ["CHECKS", "CheckError", "CheckResult", "parametrize_with_checks", "run_checks"]
