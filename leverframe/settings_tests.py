"""Settings of test results."""

from pydantic import Field, model_validator

from leverframe.settings_section import Section


class TestSettings(Section):
    """How long results of tests wait to be folded, and how long they are kept."""

    settle_minutes: int = Field(default=10, ge=1, le=1_440)
    """A run is folded when its newest report is so old: longer than its slowest job takes after the others.
    A report that comes later adds the tests that the run did not have."""
    detail_days: int = Field(default=90, ge=1, le=3_650)
    """Of single attempts of tests that failed, of attempts of CI's jobs, and of what reports there were."""
    rollup_days: int = Field(default=400, ge=1, le=3_650)
    """Of counts by test and day, of runs, and of when tests were quarantined."""

    @model_validator(mode="after")
    def _counts_last_longest(self) -> "TestSettings":
        if self.rollup_days < self.detail_days:
            raise ValueError("rollup_days must be at least detail_days: counts last longer than attempts")
        return self
