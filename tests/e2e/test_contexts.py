"""`wherry context` and `docker context` are about the same contexts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Wherry
from support.remote import Far


@pytest.fixture(scope="module")
def here() -> Iterator[Far]:
    wherry = Wherry.make()
    yield Far.of(wherry)
    wherry.close()


@pytest.fixture(autouse=True)
def config(here: Far, tmp_path: Path) -> Path:
    """A directory of Docker's client of the test's own."""
    here.env["DOCKER_CONFIG"] = str(tmp_path / "docker")
    return tmp_path / "docker"


def docker(here: Far, *arguments: str | Path) -> str:
    env = here.environment() | {"PATH": f"{os.environ['PATH']}:/usr/local/bin"}
    done = subprocess.run(
        ["docker", *map(str, arguments)], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("docker-client")
def test_both_command_lines_share_them(here: Far, tmp_path: Path) -> None:
    for file in ("ca", "cert", "key"):
        (tmp_path / file).write_text(f"-- {file}")
    files = ",".join(f"{name}={tmp_path / name}" for name in ("ca", "cert", "key"))
    made = here("context", "create", "ours", "--description", "words", "--docker", f"host=tcp://far:2376,{files}")
    assert (made.code, made.out, made.err) == (0, "ours\n", 'Successfully created context "ours"\n')
    docker(here, "context", "create", "theirs", "--docker", f"host=ssh://me@far,skip-tls-verify=true,{files}")
    for name in ("ours", "theirs"):
        found = json.loads(here.ok("context", "inspect", name)), json.loads(docker(here, "context", "inspect", name))
        for one in (found[0][0], found[1][0]):
            one["TLSMaterial"]["docker"].sort()
        assert found[0] == found[1]
    form = "{{.Name}} {{.Description}} {{.DockerEndpoint}} {{.Current}}"
    ours, theirs = (text.splitlines()[1:] for text in (here.ok("context", "ls", "--format", form),
                                                       docker(here, "context", "ls", "--format", form)))  # fmt: skip
    assert ours == theirs == ["ours words tcp://far:2376 false", "theirs  ssh://me@far false"]


@pytest.mark.needs("docker-client")
def test_what_the_one_uses_the_other_uses(here: Far) -> None:
    here.ok("context", "create", "far", "--docker", "host=unix:///nosuch.sock")
    used = here("context", "use", "far")
    assert (used.code, used.out, used.err) == (0, "far\n", 'Current context is now "far"\n')
    assert docker(here, "context", "show") == here.ok("context", "show") == "far\n"
    result = here("ps")
    assert result.code == 1 and "unix:///nosuch.sock (the context far, currentContext in " in result.err
    assert "wherry --context default" in result.err
    docker(here, "context", "use", "default")
    assert here.ok("context", "show") == "default\n"


@pytest.mark.needs("docker-client")
def test_files_of_the_one_are_read_by_the_other(here: Far, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("-- ca")
    here.ok("context", "create", "far", "--docker", f"host=tcp://far:2376,ca={tmp_path / 'ca'}", "--description", "x")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert here("context", "export", "far", ours).err == f'Written file "{ours}"\n'
    assert ours.stat().st_mode & 0o077 == 0 and here("context", "export", "far", ours).code == 1
    docker(here, "context", "export", "far", theirs)
    docker(here, "context", "import", "one", ours)
    assert here("context", "import", "two", theirs).out == "two\n"
    documents = [json.loads(here.ok("context", "inspect", name))[0] for name in ("one", "two")]
    for document in documents:
        assert document["Endpoints"]["docker"]["Host"] == "tcp://far:2376"
        assert document["Metadata"] == {"Description": "x"} and document["TLSMaterial"] == {"docker": ["ca.pem"]}


def test_changing_and_removing(here: Far, config: Path) -> None:
    here.ok("context", "create", "far", "--docker", "host=unix:///x")
    assert (
        here("context", "create", "far", "--docker", "host=unix:///x").err == 'wherry: context "far" already exists\n'
    )
    here.ok("context", "create", "copy", "--from", "far", "--description", "d")
    here.ok("context", "update", "far", "--docker", "host=unix:///y")
    form = "{{.Endpoints.docker.Host}}"
    assert here.ok("context", "inspect", "-f", form, "far", "copy") == "unix:///y\nunix:///x\n"
    here.ok("context", "use", "far")
    lines = here.ok("context", "ls").splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "copy", "default", "far"] and "far *" in lines[3]
    refused = here("context", "rm", "far", "copy")
    assert (refused.code, refused.out) == (1, "copy\n") and "is in use, set -f flag to force remove" in refused.err
    assert here.ok("context", "rm", "-f", "far") == "far\n" and here.ok("context", "ls", "-q") == "default\n"
    assert "currentContext" not in (config / "config.json").read_text()
    assert "cannot be removed" in here("context", "rm", "default").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "default", "--docker", "host=unix:///x"], '"default" is a reserved context name'),
        (["create", "a/b", "--docker", "host=unix:///x"], 'context name "a/b" is invalid'),
        (["create", "far"], "invalid docker endpoint options"),
        (["create", "far", "--docker", "host=bogus://x"], "unable to parse docker host `bogus://x`"),
        (["create", "far", "--docker", "nonsense=1"], "unrecognized config key: nonsense"),
        (["create", "far", "--docker", "host=unix:///x,cert=/x"], "no such file or directory"),
        (["use", "nosuch"], 'context "nosuch": context not found'),
        (["update", "nosuch"], 'context "nosuch": context not found'),
        (["rm", "nosuch"], 'context "nosuch" does not exist'),
        (["import", "far", "/etc/passwd"], "invalid context: it is no archive of a context"),
    ],
)
def test_what_is_wrong_is_said(here: Far, arguments: list[str], said: str) -> None:
    result = here("context", *arguments)
    assert result.code == 1 and not result.out and said in result.err, result.err
    assert here.ok("context", "ls", "-q") == "default\n"


def test_docker_host_is_stronger_and_options_are_stronger_than_that(here: Far) -> None:
    here.ok("context", "create", "far", "--docker", "host=unix:///of-the-context")
    here.ok("context", "use", "far")
    env = {"DOCKER_HOST": "unix:///of-the-environment"}
    assert "unix:///of-the-environment (DOCKER_HOST)" in here("ps", env=env).err
    assert "unix:///of-the-context (the context far)" in here("--context", "far", "ps", env=env).err
    assert "unix:///of-the-option (-H)" in here("-H", "unix:///of-the-option", "ps", env=env).err
    listed = here("context", "ls", env=env)
    assert "default *" in listed.out and listed.err.startswith("Warning: DOCKER_HOST environment variable overrides")
    assert "unix:///of-the-context (the context far, DOCKER_CONTEXT)" in here("ps", env={"DOCKER_CONTEXT": "far"}).err
