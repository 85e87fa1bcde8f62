"""Hooks of the runtime specification (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

import os
import select
import time

from wherry.errors import WherryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LONGEST_OUTPUT = 4096


class HookFailed(WherryError):
    """A hook could not be run, failed, or took too long."""


def run(stage: str, hooks: list[dict[str, Any]], state: bytes) -> None:
    """Run hooks one after the other with the state document on standard input.

    Raises HookFailed at the first that fails; its standard error is part of the message.
    """
    for number, hook in enumerate(hooks):
        _run_one(f"{stage} hook #{number}", hook, state)


def run_ignoring_failures(stage: str, hooks: list[dict[str, Any]], state: bytes) -> list[str]:
    """Run every hook whatever the others do (``poststart``, ``poststop``); returns what went wrong."""
    failures = []
    for number, hook in enumerate(hooks):
        try:
            _run_one(f"{stage} hook #{number}", hook, state)
        except HookFailed as error:
            failures.append(error.message)
    return failures


def _run_one(name: str, hook: dict[str, Any], state: bytes) -> None:
    path = str(hook.get("path") or "")
    if not path.startswith("/"):
        raise HookFailed(f"{name}: the path {path!r} is not absolute")
    args = [str(one) for one in hook.get("args") or [path]]
    environment = dict(one.split("=", 1) for one in hook.get("env") or () if "=" in one)
    timeout = hook.get("timeout")
    source, sink = os.pipe()
    errors, complaints = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, complaints, 2)]
        try:
            pid = os.posix_spawn(path, args, environment, file_actions=actions)
        except OSError as error:
            raise HookFailed(f"{name}: {path}: {os.strerror(error.errno or 0).lower()}") from None
        finally:
            os.close(source)
            os.close(complaints)
        words, status = _feed(pid, sink, errors, state, float(timeout) if timeout else None)
    finally:
        os.close(sink)
        os.close(errors)
    if status is None:
        raise HookFailed(f"{name}: {path} did not end within {timeout} seconds")
    if status:
        raise HookFailed(f"{name}: {path}: exit status {os.waitstatus_to_exitcode(status)}: {words}".rstrip(": "))


def _feed(pid: int, sink: int, errors: int, state: bytes, timeout: float | None) -> tuple[str, int | None]:
    """Write the state, collect complaints, wait.  The status is None when it took too long and was killed."""
    try:
        os.set_blocking(sink, False)
        os.write(sink, state)  # a pipe holds 64 KiB; a state document has less
    except (BrokenPipeError, BlockingIOError):
        pass
    finally:
        os.dup2(errors, sink, inheritable=False)  # closes the writing end
    until = time.monotonic() + timeout if timeout else None
    pidfd = os.pidfd_open(pid)
    collected = b""
    open_descriptors = [errors]
    try:
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready, _, _ = select.select([pidfd, *open_descriptors], [], [], left)
            if not ready:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                return "", None
            if errors in ready:
                part = os.read(errors, 4096)
                collected = (collected + part)[:_LONGEST_OUTPUT]
                if not part:
                    open_descriptors = []
            elif pidfd in ready:
                return collected.decode("utf-8", "replace").strip(), os.waitpid(pid, 0)[1]
    finally:
        os.close(pidfd)
