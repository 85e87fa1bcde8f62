"""Whatever is asked of `wherry serve`: an answer, in time, that is not a 500; and nothing is left of it."""

from __future__ import annotations

import json
import os
import time
import uuid

import pytest

from support.command import Wherry
from support.described import DESCRIPTION
from support.fuzzed import Fuzzer, Request
from support.serving import Served, eventually

SECONDS = float(os.environ.get("WHERRY_FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("WHERRY_FUZZ_SEED", "6"))
PATIENCE = 15  # seconds: an answer takes milliseconds, but the machine may have much else to do
# Its own mistakes are 500; these have that status in Docker as well, or say that another did not answer
_PROMISED = (200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 501, 503)


@pytest.mark.timeout(240)
def test_nothing_that_is_asked_breaks_it(as_root: Wherry) -> None:
    served = Served(as_root)
    made = {kind: set(as_root.ok(*listed).split()) for kind, listed in _LISTS.items()}
    web, net = f"f-{uuid.uuid4().hex[:8]}", f"f-{uuid.uuid4().hex[:8]}"
    try:
        as_root.ok("run", "-d", "--name", web, "busybox", "sleep", "1000")
        as_root.ok("network", "create", net)
        code, answer = served.ask("POST", f"/containers/{web}/exec", b'{"Cmd":["true"]}')
        assert code == 201
        names = {
            "containers": [web],
            "exec": [json.loads(answer)["Id"]],
            "images": ["busybox", "busybox:latest"],
            "networks": [net],
            "volumes": [web],
        }
        fuzzer, before = Fuzzer(json.loads(DESCRIPTION.read_text()), names, SEED), served.descriptors()
        wrong, count = _fuzz(served, fuzzer)
        assert not wrong, f"of {count}:\n" + "\n".join(wrong)
        assert count > 20
        assert served.ok("ps", "-q") is not None
        eventually(lambda: served.descriptors() <= before + 4)
    finally:
        for kind, removing in _REMOVALS.items():
            if left := set(as_root.ok(*_LISTS[kind]).split()) - made[kind]:
                as_root(*removing, *left)
        served.close()


_LISTS = {
    "containers": ("ps", "-aq", "--no-trunc"),
    "networks": ("network", "ls", "-q", "--no-trunc", "-f", "type=custom"),
    "volumes": ("volume", "ls", "-q"),
}
_REMOVALS = {"containers": ("rm", "-f", "-v"), "networks": ("network", "rm"), "volumes": ("volume", "rm")}


def _fuzz(served: Served, fuzzer: Fuzzer) -> tuple[list[str], int]:
    """What came out wrong, and of how many requests."""
    wrong, count, end = [], 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        request = fuzzer.request()
        if _ends_everything(request):
            continue
        count += 1
        try:
            code, answer = served.ask(request.method, request.path, request.body, request.headers, PATIENCE)
        except Exception as error:
            wrong.append(f"{request}\n  {error!r}")
            continue
        if code not in _PROMISED:
            wrong.append(f"{request}\n  {code} {answer[:500]!r}")
        elif code >= 400 and request.method != "HEAD" and set(json.loads(answer)) != {"message"}:
            wrong.append(f"{request}\n  {answer[:500]!r}")
    return wrong, count


def _ends_everything(request: Request) -> bool:
    """What would remove the images that other tests use, or has no end by itself."""
    words = request.path.partition("?")[0].split("/")
    return (
        (request.method == "DELETE" and "images" in words)
        or words[-2:] in (["images", "prune"], ["containers", "prune"])
        or words[-1] in ("wait", "attach", "ws", "pause")
    )
