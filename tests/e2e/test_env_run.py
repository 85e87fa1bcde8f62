"""``wherry env run``, ``shell``, ``exec`` and ``notebook``: commands in the environment of a folder."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support import environments, wheels
from support.command import Wherry, wait_for

pytestmark = pytest.mark.needs("registry", "debian", "busybox")

JUPYTER = """\
import http.server, os, sys
port = next(word.partition("=")[2] for word in sys.argv if word.startswith("--port="))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.path == "/api" or self.path.endswith("?token=" + os.environ["JUPYTER_TOKEN"])
        self.send_response(200 if good else 403)
        self.end_headers()
        self.wfile.write(os.getcwd().encode())
    def log_message(self, *_arguments):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(port)), Handler).serve_forever()
"""


def own(wherry: Wherry, folder: Path) -> None:
    """The folder belongs to who runs the command."""
    if wherry.user is not None and os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{wherry.user.uid}:{wherry.user.gid}", folder], check=True)


def uid(wherry: Wherry) -> int:
    return wherry.user.uid if wherry.user is not None else os.geteuid()


def test_a_folder_is_built_and_run(anyone: Wherry, env_project: Path) -> None:
    """The folder is there, what is written belongs to who calls, and it is built once."""
    own(anyone, env_project)
    code = (
        "import os, beta; os.mkdir('made'); open('made/file', 'w').write(os.environ['GREETING'] + os.environ['X']); "
        "print(os.getcwd(), sorted(os.listdir('.')))"
    )
    first = anyone("env", "run", "-e", "X=!", "--network=none", "--", "python", "-c", code, cwd=str(env_project))
    assert (first.code, first.out) == (0, "/workspace ['made', 'pylock.toml']\n"), first
    assert "Built" in first.err
    for path in (env_project / "made", env_project / "made" / "file"):
        assert path.stat().st_uid == uid(anyone)
    assert (env_project / "made" / "file").read_text() == "hello!"
    again = anyone("env", "run", "--network=none", env_project, "--", "sh", "-c", "cat; exit 7", input="from here\n")
    assert (again.code, again.out, again.err) == (7, "from here\n", "")
    assert anyone.ok("env", "run", "--network=none", "project-env", "--", "sh", "-c", "ls; echo $0") == (
        "".join(f"{name}\n" for name in sorted(os.listdir(anyone.directory))) + "sh\n"
    ), "an image has the folder that the command was given in"
    assert anyone.ok("ps", "-aq") == ""


def test_what_run_understands_is_understood(wherry: Wherry, env_project: Path) -> None:
    line = "echo $(id -u) $(pwd) $(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>&1)"
    options = ("-u", "1000", "-w", "/tmp", "-m", "64m", "--network=none", "--name", "mine", "--rm=false")
    out = wherry.ok("env", "run", *options, env_project, "--", "sh", "-c", line)
    assert out.startswith("1000 /tmp ") and "67108864" in out
    assert wherry.ok("ps", "-a", "--format", '{{.Names}} {{.Label "wherry.env.folder"}}') == f"mine {env_project}\n"
    wherry.ok("rm", "mine")
    out = wherry.ok("env", "run", "--network=none", "-v", "/etc:/workspace:ro", env_project, "--", "ls", "/workspace")
    assert "passwd" in out.split()


def test_a_changed_lock_is_built_again_and_a_broken_one_told(
    wherry: Wherry, env_project: Path, env_base: tuple[str, str], scratch: Path
) -> None:
    run = ("env", "run", "--network=none", env_project, "--", "python", "-c")
    wherry.ok(*run, "import beta")
    first = wherry.ok("images", "-q", "project-env").strip()
    (env_project / "data.csv").write_text("1\n")
    assert wherry(*run, "pass").err == ""
    environments.write(env_project, env_base, [wheels.make(scratch / "index", "gamma", files={"gamma.py": ""})])
    wherry.ok(*run, "import gamma")
    assert wherry.ok("images", "-q", "project-env").strip() != first
    wherry.ok("rmi", "project-env")
    wherry.ok(*run, "import gamma")
    (env_project / "pylock.toml").write_text("[nonsense")
    result = wherry(*run, "pass")
    assert result.code == 125 and "pylock.toml" in result.err
    (env_project / "pylock.toml").unlink()
    result = wherry(*run, "pass")
    assert result.code != 0 and "project" in result.err and result.out == ""
    missing = wherry("env", "run", "./nothing", "--", "true")
    assert (missing.code, missing.err) == (125, "wherry: there is no folder ./nothing\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_ends(wherry: Wherry, env_project: Path, number: signal.Signals) -> None:
    """Though a program that has no handler would ignore it as the container's first process."""
    process = wherry.popen("env", "run", "--network=none", env_project, "--", "sh", "-c", "echo x; exec sleep 1000")
    assert process.stdout is not None
    assert process.stdout.read(1) == b"x"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert wherry.ok("ps", "-aq") == ""


def test_exec_and_shell(wherry: Wherry, env_project: Path) -> None:
    result = wherry("env", "exec", env_project, "--", "true")
    assert result.code != 0 and f"no container runs for {env_project}" in result.err
    identity = wherry.ok("env", "run", "-d", "--network=none", env_project, "--", "sleep", "1000").strip()
    assert wherry.ok("env", "exec", "-e", "A=b", env_project, "--", "sh", "-c", "echo $A $(pwd)") == "b /workspace\n"
    assert wherry("env", "exec", env_project, "--", "sh", "-c", "cat; exit 3", input="x").out == "x"
    assert wherry("env", "exec", "--", "false", cwd=str(env_project)).code == 1
    assert wherry.ok("env", "exec", identity, "--", "hostname") == identity[:12] + "\n"
    assert wherry("env", "exec", env_project).code == 1
    wherry.ok("rm", "-f", identity)
    out = wherry.ok("env", "shell", "--network=none", env_project, input="beta=1; echo $(pwd) $-; exit 0\n")
    assert out.startswith("/workspace ")


def test_a_terminal_is_one_inside(wherry: Wherry, env_project: Path) -> None:
    """Without options, as with ``-it``."""
    wherry.ok("env", "build", env_project)
    ours, theirs = pty.openpty()
    process = wherry.popen(
        "env",
        "shell",
        "--network=none",
        env_project,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, b"test -t 0 -a -t 1 && echo terminal-$((40 + 2)); exit 5\n")
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:
        pass  # the other end is gone
    assert process.wait(60) == 5
    assert b"terminal-42" in seen
    os.close(ours)


@pytest.mark.needs("root")
def test_sudo_keeps_who_calls(wherry: Wherry, env_project: Path) -> None:
    os.chown(env_project, 1234, 1234)
    env = {"SUDO_UID": "1234", "SUDO_GID": "1234"}
    code = "import os; open('file', 'w'); print(os.getuid(), os.environ['HOME'])"
    assert wherry.ok("env", "run", "--network=none", env_project, "--", "python", "-c", code, env=env) == "1234 /tmp\n"
    assert (env_project / "file").stat().st_uid == 1234


@pytest.mark.needs("root")
def test_jupyter_is_published_with_a_token(
    wherry: Wherry, env_project: Path, env_base: tuple[str, str], scratch: Path
) -> None:
    result = wherry("env", "notebook", env_project)
    assert result.code == 125 and "the environment has no Jupyter" in result.err and "jupyterlab" in result.err
    fake = wheels.make(scratch / "index", "jupyterlab", files={"jupyterlab/__main__.py": JUPYTER})
    environments.write(env_project, env_base, [fake])
    process = wherry.popen("env", "notebook", "--no-browser", env_project)
    assert process.stdout is not None
    seen: list[str] = []
    os.set_blocking(process.stdout.fileno(), False)

    def address() -> bool:
        seen.append((process.stdout.read() or b"").decode())  # type: ignore[union-attr]
        return "token=" in "".join(seen) or process.poll() is not None

    wait_for(address, 60)
    found = re.search(r"Jupyter is at (http://127\.0\.0\.1:(\d+)/lab\?token=[0-9a-f]{48})\n", "".join(seen))
    assert found, (seen, process.stderr and process.stderr.read())
    with urllib.request.urlopen(found[1], timeout=10) as answer:
        assert answer.read() == b"/workspace"
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(found[1][:-1], timeout=10)
    taken = wherry("env", "notebook", "--no-browser", "--port", found[2], env_project)
    assert taken.code == 125 and f"port {found[2]} of 127.0.0.1 cannot be had" in taken.err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert wherry.ok("ps", "-aq") == ""
