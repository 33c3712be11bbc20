"""Cell timeout and stall warning."""

from __future__ import annotations

_SILENCE_SECONDS = 300.0
_SILENCE_EPOCHS = 10


class Watchdog:
    """Watches over one cell's time; every ``now`` is of one clock, in seconds.

    Args:
        now: When the cell was begun.
        limit: Seconds that it may take, or None.
    """

    def __init__(self, now: float, limit: float | None) -> None:
        self._began = self._last_progress = now
        self._limit, self._longest, self._warned = limit, 0.0, False

    def progress_seen(self, now: float) -> None:
        """The cell has reported."""
        self._longest = max(self._longest, now - self._last_progress)
        self._last_progress, self._warned = now, False

    def timed_out(self, now: float) -> bool:
        """Return whether the cell has taken longer than it may."""
        return self._limit is not None and now - self._began >= self._limit

    def stalled_seconds(self, now: float) -> float | None:
        """Return for how long the cell has been silent if that is worth a word, once a silence; else None.

        It is after ten times the cell's longest epoch, and after five minutes at the earliest.
        """
        if self._warned or now < self._warning_due():
            return None
        self._warned = True
        return now - self._last_progress

    def seconds_to_next_check(self, now: float) -> float | None:
        """Return the seconds until one of the two is due; None if neither can be."""
        due = [] if self._warned else [self._warning_due()]
        if self._limit is not None:
            due.append(self._began + self._limit)
        return max(0.0, min(due) - now) if due else None

    def _warning_due(self) -> float:
        return self._last_progress + max(_SILENCE_SECONDS, _SILENCE_EPOCHS * self._longest)
