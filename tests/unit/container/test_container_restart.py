"""Restart policies: what may be asked, what is decided, how long the pauses are."""

from __future__ import annotations

import pytest

from wherry.container import restart
from wherry.container.options import ContainerOptions
from wherry.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "found"),
    [("no", ("no", 0)), ("", ("", 0)), ("on-failure:3", ("on-failure", 3)), ("always:", ("always", 0)),
     ("on-failure:-1", ("on-failure", -1)), ("on-failure:+2", ("on-failure", 2))],
)  # fmt: skip
def test_a_policy_is_read(text: str, found: tuple[str, int]) -> None:
    assert restart.parse(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [(":3", "no policy provided before colon"), ("on-failure:x", "must be an integer"),
     ("on-failure:2:3", "must be an integer"), ("on-failure:-", "must be an integer"),
     ("on-failure:-1", "cannot be negative"), ("always:2", "can only be used with 'on-failure'"),
     ("no:1", "can only be used with 'on-failure'"), ("sometimes", "unknown policy 'sometimes'")],
)  # fmt: skip
def test_a_policy_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        restart.check(*restart.parse(text))


@pytest.mark.parametrize(
    ("policy", "retries", "code", "count", "wanted"),
    [("", 0, 1, 0, False), ("always", 0, 0, 99, True), ("unless-stopped", 0, 1, 99, True),
     ("on-failure", 0, 0, 0, False), ("on-failure", 0, 1, 99, True), ("on-failure", 2, 1, 1, True),
     ("on-failure", 2, 1, 2, False)],
)  # fmt: skip
def test_what_is_started_again(policy: str, retries: int, code: int, count: int, wanted: bool) -> None:
    options = ContainerOptions(restart_policy=policy, restart_retries=retries)
    assert restart.is_wanted(options, code, count) is wanted


def test_what_is_started_at_boot() -> None:
    def wanted(policy: str) -> list[bool]:
        options = ContainerOptions(restart_policy=policy)
        cases = [(False, False), (True, False), (False, True), (True, True)]
        return [restart.starts_at_boot(options, stopped=stopped, same_boot=same) for stopped, same in cases]

    assert wanted("always") == [True, True, True, False]
    assert wanted("unless-stopped") == [True, False, True, False]
    assert wanted("on-failure") == wanted("") == [False] * 4


def test_pauses_double_up_to_a_minute_and_begin_again() -> None:
    back_off = restart.BackOff()
    assert [back_off.next(0.5) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert [back_off.next(9.9) for _ in range(8)][-2:] == [60.0, 60.0]
    assert back_off.next(10.0) == 0.1
    assert back_off.next(0.0) == 0.2
