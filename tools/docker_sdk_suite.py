"""Run the integration tests of the docker SDK for Python against Wherry's API, or against Docker's daemon.

    .venv/bin/python tools/docker_sdk_suite.py [--engine wherry|dockerd] [PYTEST ARGUMENTS…]

As root.  The tests are those of the SDK's source distribution, the last that has them; they run in an environment of
their own, with images made of Debian's busybox under the names that they ask for.  What they need and is not there
(a hub, a swarm, plugins, a builder, ssh) fails or is left out below; docs/api.md says which and why.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support import images
from support.command import Wherry
from support.dockerd import Dockerd
from support.serving import Served

VERSION = "7.0.0"
NEEDS = ("requests<2.32", "urllib3<2", "paramiko", "pytest", "pytest-timeout", "websocket-client")
IMAGES = ("alpine:3.10", "alpine:latest", "busybox:latest", "hello-world:latest")
# of a swarm and of plugins, which Wherry does not have; of programs of the client's that are no engine's business
LEFT_OUT = ("service", "swarm", "secret", "config", "nodes", "plugin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("wherry", "dockerd"), default="wherry")
    parser.add_argument("--keep", type=Path, help="where the environment is kept for the next time")
    chosen, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.keep or Path(temporary)
        place.mkdir(exist_ok=True)
        suite = get(place)
        archive = images.busybox().docker_archive(Path(temporary) / "images.tar", *IMAGES)
        if chosen.engine == "dockerd":
            daemon = Dockerd(networks=True, prefix=("unshare", "--net"))
            try:
                return run(place, suite, f"unix://{daemon.socket}", daemon.env, archive, more)
            finally:
                daemon.close()
        wherry = Wherry.make()
        served = Served(wherry)
        try:
            return run(place, suite, f"unix://{served.socket}", served.env, archive, more)
        finally:
            served.close()
            wherry.close()


def get(place: Path) -> Path:
    """The tests, and an environment that they run in; the directory that has ``tests``."""
    python, suite = place / "venv/bin/python", place / f"docker-{VERSION}"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"docker=={VERSION}", *NEEDS], check=True)
    if not suite.exists():
        download = [python, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", f"docker=={VERSION}"]
        subprocess.run([*download, "-d", place], check=True)
        with tarfile.open(place / f"docker-{VERSION}.tar.gz") as archive:
            archive.extractall(place, filter="data")
        shutil.rmtree(suite / "docker")  # the installed one is used
    return suite


def run(place: Path, suite: Path, host: str, env: dict[str, str], archive: Path, more: list[str]) -> int:
    shutil.rmtree(suite / "contexts", ignore_errors=True)  # of the run before
    env = env | {"DOCKER_HOST": host, "DOCKER_TEST_API_VERSION": "1.41", "TMPDIR": str(archive.parent)}
    subprocess.run(["docker", "load", "-i", archive], env=env, check=True, stdout=subprocess.DEVNULL)
    command = [place / "venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", "--timeout", "60", "-q", "-rf"]
    tests = suite / "tests/integration"
    left_out = [path for path in tests.glob("*.py") if any(word in path.name for word in LEFT_OUT)]
    command += [*(f"--ignore={path}" for path in left_out), f"--ignore={tests / 'credentials'}", tests, *more]
    return subprocess.run(command, env=env | {"PATH": os.environ["PATH"]}, cwd=suite, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
