"""Commands that are run in two ways, and what came of them, without what is never the same."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.plain import complaint, plain


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    complaint: str


def prepare(directory: Path) -> Path:
    """What ``DIR`` stands for: the same for both engines, but not shared."""
    (directory / "sub").mkdir(parents=True)
    (directory / "f").write_text("content\n")
    os.chown(directory / "f", 1000, 1000)
    (directory / "sub/g").write_text("")
    (directory / "account").mkdir(mode=0o700)
    (directory / "account/private").write_text("of an account with a large id\n")
    (directory / "account/private").chmod(0o600)
    for path in (directory / "account", directory / "account/private"):
        os.chown(path, 200001, 200001)
    (directory / "env").write_text('A=1\n# no\n  B=2\nFROM_HOST\nNOT_THERE\nC="q"\n\nD=a b \nE=\n')
    directory.chmod(0o755)
    return directory


def start(argv: list[str], env: dict[str, str], cwd: Path, text: bytes) -> subprocess.Popen[bytes]:
    env = env | {"FROM_HOST": "from the host", "TZ": "UTC"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe)
    if process.stdin:
        try:
            process.stdin.write(text)
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdin = None
    return process


def words(step: str, directory: Path, name: str) -> tuple[list[str], bytes]:
    """The arguments and standard input of one step."""
    command, _, text = step.partition("<<<")
    found = ["run", "--rm", "--network", "none"] if command.startswith("R ") else []
    for word in shlex.split(command.removeprefix("R ")):
        found.append(re.sub(r"\bDIR\b", str(directory), word).replace("NAME", name))
    return found, text.strip().encode() + b"\n" if text else b""


def outcome(process: subprocess.Popen[bytes], directory: Path) -> Outcome:
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    texts = [plain(text.decode(errors="replace"), directory) for text in (out, err)]
    if "diff" in process.args:  # dockerd lists siblings in the order of a map
        texts[0] = "".join(sorted(texts[0].splitlines(keepends=True)))
    return Outcome(process.returncode, texts[0], complaint(texts[1]))
