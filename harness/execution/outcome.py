"""How a run ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        computed: Cells computed now.
        kept: Cells kept from before.
        failures: Why cells have failed, by name.
        given_up: Names of the cells of each model that cannot be trained at all; they are among the failures.
    """

    computed: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, list[str]] = field(default_factory=dict)

    def failure_messages(self) -> list[str]:
        """Say in a line each why cells have failed; of a model that was given up, once."""
        together = {cell for cells in self.given_up.values() for cell in cells}
        once = [f"{len(cells)} cells of {label}: {self.failures[cells[0]]}" for label, cells in self.given_up.items()]
        return once + [f"{cell}: {reason}" for cell, reason in self.failures.items() if cell not in together]
