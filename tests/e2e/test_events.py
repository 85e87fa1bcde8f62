"""`events` as people and scripts use it: what each command tells, whoever it is that does it."""

from __future__ import annotations

import json
import time
import uuid

from support.command import Wherry, wait_for
from support.terminal import Terminal


def name() -> str:
    return "e-" + uuid.uuid4().hex[:12]


def events(box: Wherry, *filters: str, since: str = "1h") -> list[dict[str, object]]:
    options = [part for text in filters for part in ("--filter", text)]
    out = box.ok("events", "--since", since, "--until", "0s", "--format", "json", *options)
    return [json.loads(line) for line in out.splitlines()]


def actions(box: Wherry, container: str) -> list[str]:
    """The actions of a container, which is identified by whatever name it has had."""
    return [str(one["Action"]) for one in events(box, f"container={container}")]


def test_the_life_of_a_container(box: Wherry) -> None:
    container = name()
    identity = box.ok(
        "run", "-d", "--name", container, "--label", "a.b=c", "busybox", "sh", "-c", "trap : TERM; sleep 60"
    ).strip()
    box.ok("exec", container, "sh", "-c", "exit 0")
    box.ok("exec", container, "true")
    wait_for(lambda: actions(box, identity).count("exec_die") == 2)
    box.ok("rename", container, f"{container}-2")
    box.ok("kill", "-s", "KILL", f"{container}-2")
    box.ok("wait", f"{container}-2")
    box.ok("start", f"{container}-2")
    box.ok("stop", "-t", "0", f"{container}-2")
    box.ok("rm", f"{container}-2")
    found = actions(box, identity)
    assert found == [
        "create", "start", "exec_create: sh -c exit 0", "exec_start: sh -c exit 0", "exec_die", "exec_create: true ",
        "exec_start: true ", "exec_die", "rename", "kill", "die", "start", "kill", "kill", "die", "stop", "destroy",
    ]  # fmt: skip
    last = events(box, f"container={identity}", "event=die")[0]
    attributes = last["Actor"]["Attributes"]  # type: ignore[index]
    assert attributes.pop("execDuration").isdigit()
    assert attributes == {"image": "busybox", "name": f"{container}-2", "a.b": "c", "exitCode": "137"}
    assert (last["status"], last["id"], last["from"], last["scope"]) == ("die", identity, "busybox", "local")
    renamed = events(box, f"container={identity}", "event=rename")[0]
    assert renamed["Actor"]["Attributes"]["oldName"] == f"/{container}"  # type: ignore[index]


def test_a_run_that_is_watched_and_one_that_cannot_start(box: Wherry) -> None:
    container = name()
    box.ok("run", "--rm", "--name", container, "busybox", "true")
    assert actions(box, container) == ["create", "attach", "start", "die", "destroy"]
    assert box("run", "--rm", "--name", f"{container}-2", "busybox", "nothere").code == 127
    wait_for(lambda: actions(box, f"{container}-2") == ["create", "destroy"])


def test_who_watches_and_leaves(box: Wherry) -> None:
    container = name()
    with Terminal(box, "run", "-it", "--name", container, "busybox", "sh", "-c", "echo here; sleep 60") as terminal:
        terminal.expect("here")
        terminal.type("\x10\x11")
        assert terminal.end() == 0
    found = actions(box, container)
    assert [one for one in found if one != "resize"] == ["create", "attach", "start", "detach"] and "resize" in found
    box.ok("kill", container)
    box.ok("wait", container)
    with Terminal(box, "start", "-ai", container) as terminal:
        terminal.expect("here")
        terminal.type("\x10\x11")
        assert terminal.end() == 0
    found = [one for one in actions(box, container) if one != "resize"]
    assert found[4:] == ["kill", "die", "attach", "start", "detach"]
    box.ok("rm", "-f", container)


def test_volumes_are_mounted_and_go(box: Wherry) -> None:
    container = name()
    box.ok("run", "--rm", "--name", container, "-v", "/data", "busybox", "true")
    identity = str(events(box, f"container={container}")[0]["id"])
    of_it = [one for one in events(box, "type=volume") if one["Actor"]["Attributes"].get("container") == identity]  # type: ignore[index]
    volume = of_it[0]["Actor"]["ID"]  # type: ignore[index]
    wait_for(lambda: [one["Action"] for one in events(box, f"volume={volume}")][-1] == "destroy")
    assert [one["Action"] for one in of_it] == ["mount", "unmount"]
    assert of_it[0]["Actor"]["Attributes"] == {  # type: ignore[index]
        "container": identity, "destination": "/data", "driver": "local", "propagation": "", "read/write": "true"
    }  # fmt: skip


def test_lines_and_templates(box: Wherry) -> None:
    container = name()
    identity = box.ok("create", "--name", container, "--label", "z=1", "busybox").strip()
    options = ["--since", "1h", "--until", "0s", "--filter", f"container={container}"]
    line = box.ok("events", *options)
    moment, rest = line.split(" ", 1)
    assert rest == f"container create {identity} (image=busybox, name={container}, z=1)\n"
    assert len(moment) == len("2006-01-02T15:04:05.000000000Z") or len(moment) == 35
    form = '{{.Type}} {{.Action}} {{.Actor.ID}} {{index .Actor.Attributes "z"}} {{.From}} {{json .Actor.Attributes}}'
    expected = f'container create {identity} 1 busybox {{"image":"busybox","name":"{container}","z":"1"}}\n'
    assert box.ok("system", "events", *options, "--format", form) == expected
    assert box("events", *options, "--format", "{{").code == 64
    result = box("events", *options, "--format", "{{.Nope}}")
    assert result.code == 1 and "Nope" in result.err
    assert "invalid filter 'nope'" in box("events", "--filter", "nope=1", "--until", "0s").err
    assert "cannot be after" in box("events", "--since", "1m", "--until", "1h").err
    box.ok("rm", container)


def test_a_follower_misses_nothing_of_what_several_do_at_once(box: Wherry) -> None:
    label, marker, names = name(), name(), [name() for _ in range(8)]
    form = "{{.Action}} {{.Actor.Attributes.name}}"
    watching = box.popen("events", "--since", "1m", "--filter", f"label={label}", "--format", form)
    try:
        assert watching.stdout is not None
        box.ok("create", "--name", marker, "--label", label, "busybox")
        assert watching.stdout.readline() == f"create {marker}\n".encode()  # it follows from here on
        commands = [box.popen("create", "--name", one, "--label", label, "busybox") for one in names]
        seen = [watching.stdout.readline().decode().split() for _ in names]
        assert [command.communicate() and command.returncode for command in commands] == [0] * len(names)
        assert sorted(seen) == sorted(["create", one] for one in names)
        box.ok("rm", marker, *names)
        seen = [watching.stdout.readline().decode().split() for _ in (marker, *names)]
        assert seen == [["destroy", one] for one in (marker, *names)]
    finally:
        watching.kill()
        watching.communicate()


def test_a_follower_ends_when_its_time_has_come(box: Wherry) -> None:
    container = name()
    watching = box.popen("events", "--until", f"{time.time() + 1.5:.3f}", "--filter", f"container={container}")
    box.ok("create", "--name", container, "busybox")
    out, err = watching.communicate(timeout=60)
    assert (watching.returncode, err) == (0, b"")
    assert out.count(b"\n") <= 1  # made in time or not: this machine may be slow
    box.ok("rm", container)
