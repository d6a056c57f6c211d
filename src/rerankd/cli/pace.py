"""How fast a long job goes, and how long it will take."""

from typing import TYPE_CHECKING

from rerankd.core.ports import Clock

if TYPE_CHECKING:
    from rerankd.bulk.shard import Receipt

__all__ = ["Pace"]


class Pace:
    """Counts what is done. What an earlier run has done counts as done, and says nothing of the speed."""

    def __init__(self, total: int, clock: Clock) -> None:
        self._total = total
        self._clock = clock
        self._began = clock.now()
        self._rows_now = 0
        self._pairs_now = 0
        self.rows = 0
        """Rows that are done."""

    def done(self, receipt: "Receipt", earlier: bool) -> None:
        self.rows += receipt.rows
        if not earlier:
            self._rows_now += receipt.rows
            self._pairs_now += receipt.pairs

    def words(self) -> str:
        """`1,234 pairs a second, 0:12:34 left`."""
        seconds = self._clock.now() - self._began
        if not self._rows_now or seconds <= 0:
            return "..."
        left = round((self._total - self.rows) * seconds / self._rows_now)
        hours, minutes = divmod(left // 60, 60)
        return f"{self._pairs_now / seconds:,.0f} pairs a second, {hours}:{minutes:02}:{left % 60:02} left"
