"""Runs one container for a test, in an interpreter of its own: JSON in on descriptor 3, one JSON line out on 4.

The runtime wants a single-threaded caller, and pytest is not one.  The container has this process's 0, 1 and 2.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src"))


def main() -> None:
    import json

    with open(3, "rb") as source:
        request = json.load(source)
    if request.get("uid"):
        os.setgroups([])
        os.setgid(request["uid"])
        os.setuid(request["uid"])
        from wherry.linux import prctl

        prctl.set_dumpable(True)  # as after an execve(2): /proc/PID of our children is ours
    if request.get("tell_imports"):
        _tell_imports(os.getpid())
    from wherry.errors import WherryError

    answer: dict[str, object] = {}
    try:
        _run(request, answer)
    except WherryError as error:
        answer["error"] = [type(error).__name__, error.message, error.hint, error.exit_code]
    os.write(4, json.dumps(answer).encode())
    os._exit(0)


def _tell_imports(parent: int) -> None:
    """Let every import in a forked child show up on standard error."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "import" and os.getpid() != parent:
            os.write(2, f"IMPORT {arguments[0]}\n".encode())

    sys.addaudithook(hook)


def _run(request: dict, answer: dict) -> None:
    from wherry.linux.host import probe
    from wherry.oci.mount import Mount
    from wherry.runtime.create import Stdio, create

    host = probe()
    rootfs = None
    if request.get("rootfs"):
        fields = request["rootfs"]
        rootfs = Mount(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
    name = request["id"]
    common = {
        "host": host,
        "rootfs": rootfs,
        "bundle": request["bundle"],
        "container_id": name,
        "stdio": Stdio(0, 1, 2),
    }
    if request.get("program"):
        from wherry.runtime.external import create_external

        process = create_external(request["spec"], program=request["program"], **common)
    else:
        process = create(request["spec"], extra_fds=tuple(request.get("extra_fds") or ()), **common)
    try:
        answer["pid"] = process.pid
        process.start()
        if request.get("exec"):
            answer["exec"] = [_exec(request, process, host, one) for one in request["exec"]]
        if request.get("beside"):
            answer["beside"] = _beside(request["beside"], process, host)
        if request.get("signal"):
            if request.get("wait_for"):
                _until_exists(request["wait_for"])
            process.kill(request["signal"])
        if process.console is not None:
            answer["terminal"] = _read(process.console, request.get("type"))
            os.close(process.console)
        answer["code"] = os.waitstatus_to_exitcode(process.wait())
    finally:
        process.delete()


def _beside(asked: dict, container: object, host: object) -> dict:
    """A second container that joins namespaces of the first."""
    from wherry.errors import WherryError
    from wherry.oci.mount import Mount
    from wherry.runtime.create import Stdio, create

    kinds = ("user", "pid", "ipc", "net")
    found: dict[str, object] = {"namespaces": {kind: os.readlink(f"/proc/{container.pid}/ns/{kind}") for kind in kinds}}
    for one in asked["spec"]["linux"]["namespaces"]:
        if "path" in one:
            one["path"] = one["path"].format(pid=container.pid)
    fields = asked["rootfs"]
    rootfs = Mount(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
    read, write = os.pipe()
    try:
        process = create(asked["spec"], host=host, rootfs=rootfs, stdio=Stdio(0, write, write), container_id="beside")
        try:
            process.start()
            os.close(write)
            write = -1
            found["out"] = _read(read, None)
            found["code"] = os.waitstatus_to_exitcode(process.wait())
        finally:
            process.delete()
    except WherryError as error:
        found["error"] = [type(error).__name__, error.message, error.hint, error.exit_code]
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    return found


def _exec(request: dict, container: object, host: object, one: dict) -> dict:
    from wherry.errors import WherryError
    from wherry.runtime.create import Stdio
    from wherry.runtime.exec import exec_process

    read, write = os.pipe()
    found: dict[str, object] = {}
    process = None
    try:
        process = exec_process(
            one,
            spec=request["spec"],
            host=host,
            pid=container.pid,
            pidfd=container.pidfd,
            cgroup=container.cgroup,
            stdio=Stdio(0, write, write),
        )
        process.start()
        os.close(write)
        write = -1
        if process.console is not None:
            found["terminal"] = _read(process.console, None)
            os.close(process.console)
        found["out"] = _read(read, None)
        found["code"] = os.waitstatus_to_exitcode(process.wait())
    except WherryError as error:
        found["error"] = [type(error).__name__, error.message, error.hint, error.exit_code]
    finally:
        if process is not None:
            process.delete()
        os.close(read)
        if write >= 0:
            os.close(write)
    return found


def _read(descriptor: int, typed: str | None) -> str:
    found = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            break
        if not part:
            break
        found += part
        if typed and b"ready" in found:
            os.write(descriptor, typed.encode())
            typed = None
    return found.decode("utf-8", "replace")


def _until_exists(path: str) -> None:
    import time

    for _ in range(500):
        if os.path.exists(path):
            return
        time.sleep(0.01)


main()
