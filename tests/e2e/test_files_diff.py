"""`wherry diff`: what a container changed, as root and rootless, running and stopped."""

from __future__ import annotations

from support.command import Wherry

CHANGE = (
    "mkdir -p /a/b && echo x > /a/b/c && rm /etc/group && echo more >> /etc/passwd && chmod 700 /home && "
    "rm -r /opt && mkdir /opt && touch /opt/new && mv /mnt /moved && rm /bin && ln -s usr/sbin /bin && "
    "rm -r /srv && echo file > /srv && touch /usr && ln /etc/passwd /etc/twin"
)
CHANGED = """\
A /a
A /a/b
A /a/b/c
C /bin
A /data
C /etc
D /etc/group
C /etc/passwd
A /etc/twin
C /home
D /mnt
A /moved
C /opt
A /opt/new
C /srv
A /tmpfs
""".splitlines()


def test_added_changed_and_deleted(box: Wherry) -> None:
    options = ["--network", "none", "-v", "/data", "--tmpfs", "/tmpfs"]
    try:
        box.ok("run", "-d", "--name", "changing", *options, "busybox", "sh", "-c",
               f"{CHANGE}; echo in the volume > /data/x; echo ready; sleep 1000")  # fmt: skip
        logs = box.popen("logs", "-f", "changing")
        assert logs.stdout is not None and logs.stdout.readline() == b"ready\n"
        logs.kill()
        logs.communicate()
        assert box.ok("diff", "changing").splitlines() == CHANGED
        box.ok("kill", "changing")
        assert box.ok("container", "diff", "changing").splitlines() == CHANGED
    finally:
        box("rm", "-f", "-v", "changing")


def test_nothing_changed(box: Wherry) -> None:
    box.ok("create", "--name", "same", "--network", "none", "busybox", "true")
    assert box.ok("diff", "same") == ""
    box.ok("start", "-a", "same")
    assert box.ok("diff", "same") == ""
    box.ok("rm", "same")


def test_no_such_container(box: Wherry) -> None:
    result = box("diff", "nosuch")
    assert (result.code, result.out, result.err) == (1, "", "wherry: No such container: nosuch\n")


def test_names_cannot_write_to_the_terminal(box: Wherry) -> None:
    box.ok("run", "--name", "odd", "--network", "none", "busybox", "sh", "-c", 'touch "$(printf "/e\\033[2Jx")"')
    assert box.ok("diff", "odd") == "A /e\\x1b[2Jx\n"
    box.ok("rm", "odd")
