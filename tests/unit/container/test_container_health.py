"""Health checks: what is run, when, and what a result means."""

from __future__ import annotations

import pytest

from wherry.container import health
from wherry.container.health import Health, Result
from wherry.container.merge import merge
from wherry.container.options import ContainerOptions
from wherry.errors import InvalidArgument
from wherry.oci.image import Healthcheck, ImageConfig

S = 1_000_000_000


def failing(times: int, options: ContainerOptions, *, age: float = 100.0, before: Health | None = None) -> Health:
    found = before or Health()
    for _ in range(times):
        found = found.after(Result(1, 2, 1, "no"), options, age)
    return found


@pytest.mark.parametrize(
    ("test", "command"),
    [(("CMD", "a", "b"), ("a", "b")), (("CMD-SHELL", "a b"), ("/bin/sh", "-c", "a b")), (("NONE",), ()), ((), ()),
     (("CMD",), ()), (("ELSE", "a"), ())],
)  # fmt: skip
def test_what_is_run(test: tuple[str, ...], command: tuple[str, ...]) -> None:
    assert health.command(ContainerOptions(health_test=test)) == command


def test_three_failures_in_a_row_are_too_many() -> None:
    options = ContainerOptions()
    assert (failing(2, options).status, failing(3, options).status) == ("starting", "unhealthy")
    well = failing(2, options).after(Result(1, 2, 0, ""), options, 1.0)
    assert (well.status, well.streak) == ("healthy", 0)
    assert failing(2, options, before=well).status == "healthy"
    assert failing(1, ContainerOptions(health_retries=1)).status == "unhealthy"


def test_failures_while_it_starts_do_not_count() -> None:
    options = ContainerOptions(health_start_period=60 * S)
    starting = failing(9, options, age=59.0)
    assert (starting.status, starting.streak, len(starting.log)) == ("starting", 0, 5)
    assert failing(3, options, age=60.0, before=starting).status == "unhealthy"
    well = starting.after(Result(1, 2, 0, ""), options, 1.0)
    assert failing(3, options, age=2.0, before=well).status == "unhealthy"  # it had started


def test_the_last_results_are_kept() -> None:
    found = Health()
    for code in range(7):
        found = found.after(Result(code, code, code, str(code)), ContainerOptions(), 0.0)
    assert [result.exit_code for result in found.log] == [2, 3, 4, 5, 6]


def test_when_the_next_one_is_due() -> None:
    options = ContainerOptions()
    assert [health.interval(options, status, 0.0) for status in ("starting", "healthy")] == [30.0, 30.0]
    options = ContainerOptions(health_interval=7 * S, health_start_period=60 * S)
    assert health.interval(options, "starting", 59.0) == 5.0
    assert health.interval(options, "starting", 60.0) == 7.0
    assert health.interval(options, "healthy", 1.0) == 7.0
    assert health.interval(options.replace(health_start_interval=S // 2), "starting", 1.0) == 0.5


def test_output_is_cut() -> None:
    assert health.shortened(b"x" * 4096) == "x" * 4096
    assert health.shortened(b"x" * 4097) == "x" * 4096 + "..."


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(300_000_000, "300ms"), (1_500_000_000, "1.5s"), (90 * S, "1m30s"), (3600 * S, "1h0m0s"), (30 * S, "30s"),
     (1_500_000, "1.5ms"), (S, "1s")],
)  # fmt: skip
def test_lengths_of_time(nanoseconds: int, text: str) -> None:
    assert health.go_duration(nanoseconds) == text


def test_what_the_image_says_is_taken_where_nothing_else_was() -> None:
    image = ImageConfig(cmd=("true",), healthcheck=Healthcheck(("CMD", "check"), interval=9 * S, retries=4))
    merged = merge(ContainerOptions(health_retries=2), image)
    assert (merged.health_test, merged.health_interval, merged.health_retries) == (("CMD", "check"), 9 * S, 2)
    assert health.command(merge(ContainerOptions(health_test=("NONE",)), image)) == ()


@pytest.mark.parametrize("field", ["interval", "timeout", "start_period", "start_interval"])
def test_times_that_cannot_be(field: str) -> None:
    with pytest.raises(InvalidArgument, match="in Healthcheck cannot be less than 1ms"):
        health.check(ContainerOptions(**{f"health_{field}": 999_999}))
