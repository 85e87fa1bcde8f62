"""Records what the real docker client prints, for tests that hold our templates and tables to it.

    .venv/bin/python tools/record_docker_client.py [DOCKER]

Serves made-up containers and images on a socket of its own, asks the client for them in many formats and writes
tests/golden/docker/{templates,lists,objects,help,commands}.json.  Needs the client only: no daemon, no network.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import recorded_objects

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden/docker"


def digest(character: str) -> str:
    return "sha256:" + character * 64


CONTAINERS = [
    {
        "Id": "a" * 64,
        "Names": ["/web"],
        "Image": "nginx:latest",
        "ImageID": digest("1"),
        "Command": "nginx -g 'daemon off;'",
        "Created": 1700000000,
        "Ports": [],
        "Labels": {"a": "b", "com.example.some-thing": "d"},
        "State": "running",
        "Status": "Up 2 hours",
        "SizeRw": 12345,
        "SizeRootFs": 123456789,
        "NetworkSettings": {"Networks": {"none": {}}},
        "Mounts": [
            {"Type": "volume", "Name": "f" * 64, "Source": "", "Destination": "/d", "Driver": "local"},
            {"Type": "bind", "Source": "/home/user/some/long/directory", "Destination": "/e"},
        ],
    },
    {
        "Id": "b" * 64,
        "Names": ["/quick_" + "name" * 10],
        "Image": digest("2"),
        "ImageID": digest("2"),
        "Command": "sh",
        "Created": 1500000000,
        "Ports": [],
        "Labels": {},
        "State": "exited",
        "Status": "Exited (0) 3 days ago",
        "NetworkSettings": {"Networks": {"host": {}}},
        "Mounts": [],
    },
]


def image(identity: str, tags: list[str], digests: list[str], created: int, size: int) -> dict[str, Any]:
    return {
        "Id": digest(identity),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": created,
        "Size": size,
        "Labels": None,
        "ParentId": "",
        "SharedSize": -1,
        "Containers": -1,
    }


IMAGES = [
    image("1", ["nginx:latest", "nginx:1"], ["nginx@" + digest("3")], 1700000000, 187654321),
    image("2", [], ["foo/bar@" + digest("4")], 1500000000, 5591300),
    image("5", [], [], 1500000000, 1000),
    image("6", ["localhost:5000/a/b:1"], [], 86400, 0),
]
HISTORY = [
    {
        "Id": digest("1"),
        "Created": 1700000000,
        "CreatedBy": '/bin/sh -c #(nop)  CMD ["nginx" "-g" "daemon off;"]',
        "Tags": ["nginx:latest"],
        "Size": 0,
        "Comment": "",
    },
    {
        "Id": "<missing>",
        "Created": 1500000000,
        "CreatedBy": "RUN /bin/sh -c apt-get update && apt-get install -y foo # buildkit\tx",
        "Tags": None,
        "Size": 12345678,
        "Comment": "buildkit.dockerfile.v0",
    },
]
INSPECT = {
    "Id": digest("1"),
    "RepoTags": ["nginx:latest"],
    "RepoDigests": [],
    "Created": "2023-01-01T00:00:00Z",
    "Config": {
        "Env": ["A=b", "C=d"],
        "Cmd": ["sh"],
        "Labels": {"x": "y", "a.b": "c"},
        "Volumes": None,
        "Entrypoint": None,
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
        "User": "",
    },
    "Architecture": "amd64",
    "Os": "linux",
    "Size": 123456789012,
    "RootFS": {"Type": "layers", "Layers": [digest("a"), digest("b")]},
}

LISTS = [
    *(
        ["ps", *more]
        for more in (
            [],
            ["--no-trunc"],
            ["-s"],
            ["-q"],
            ["-q", "--no-trunc"],
            ["--format", "json"],
            ["--format", "table"],
            ["--format", "raw"],
            ["--format", '{{.ID}} {{.Label "a"}} {{.Names}}'],
            ["--format", 'table {{.ID}}\\t{{.Label "a"}}\\t{{upper .Names}}\\t{{.Mounts}}'],
            ["--format", 'table {{.Label "com.example.some-thing"}}\\t{{.Labels}}\\t{{.Networks}}\\t{{.LocalVolumes}}'],
            ["--format", "table {{.Names}}: {{.State}}\\n{{.ID}}"],
            [
                "--format",
                "{{.ID}}\\t{{.Image}}|{{.Mounts}}|{{.LocalVolumes}}|{{.Networks}}|{{.Command}}|{{.CreatedAt}}",
            ],
            ["--format", "{{.Foo}}"],
            ["--format", "{{"],
            ["--format", "{{json .Names}}{{len .ID}}"],
            ["--format", "{{.Label}}"],
            ["--format", '{{if eq .State "running"}}{{.ID}}{{end}}'],
            ["--format", 'table {{.ID}}\\t{{if eq .State "running"}}{{.Names}}\\t{{end}}x'],
        )
    ),
    *(
        ["images", *more]
        for more in (
            [],
            ["--no-trunc"],
            ["--digests"],
            ["-q"],
            ["-q", "--no-trunc"],
            ["--format", "json"],
            ["--digests", "-q"],
            [
                "--format",
                "{{.ID}} {{.Repository}} {{.Tag}} {{.Digest}} {{.CreatedSince}} {{.CreatedAt}} {{.Size}}",
            ],
            ["--format", "table {{.Repository}}:{{.Tag}}\\t{{.Size}}"],
            ["--digests", "--format", "table {{.Repository}}:{{.Tag}}\\t{{.Digest}}"],
            ["--format", "{{.Nope}}"],
            ["--format", '{{.Repository | printf "%-30s|"}}{{.Tag}}'],
            ["--format", "{{title .Repository}} {{.Tag | upper | lower}}"],
        )
    ),
    *(
        ["history", *more, "x"]
        for more in (
            [],
            ["--no-trunc"],
            ["-q"],
            ["-H=false"],
            ["--format", "json"],
            ["--format", "table {{.ID}}\\t{{.Comment}}\\t{{.CreatedAt}}"],
        )
    ),
    *(
        ["image", "inspect", *more, "x"]
        for more in (
            [],
            ["-f", "json"],
            ["-f", "{{.Config.Env}} {{.Config.Cmd}} {{.Config.Volumes}} {{.Config.Entrypoint}}"],
            ["-f", "{{.Nope}}"],
            ["-f", "{{.Config.Nope}}"],
            ["-f", "{{.Config.ExposedPorts}} {{.Size}} {{.RootFS}}"],
            ["-f", '{{index .Config.Labels "x"}} {{.Config.Labels.nope}} {{index .Config.Labels "nope"}}'],
            ["-f", "{{json .RootFS}} {{json .Config.Env}} {{json .Config.Labels}}"],
            ["-f", "{{range .Config.Env}}{{println .}}{{end}}"],
            ["-f", '{{join .Config.Env ","}}'],
            ["-f", "{{range $k, $v := .Config.ExposedPorts}}{{$k}} {{end}}"],
            ["-f", "{{len .RootFS.Layers}}"],
            ["-f", "{{with .Config.Entrypoint}}{{.}}{{else}}none{{end}}"],
            ["-f", "{{index .RepoTags 0}}"],
            ["-f", '{{(index (split (index .Config.Env 0) "=") 1) | upper}}'],
            ["-f", "{{slice .Id 7 19}}"],
        )
    ),
]


HELPS = (
    "container inspect", "container prune", "create", "history", "image inspect", "images", "info", "inspect", "load",
    "ps", "pull", "rm", "rmi", "run", "save", "tag", "version",
)  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        path = re.sub(r"^/v1\.\d+", "", self.path.partition("?")[0])
        with_ports = [
            {**CONTAINERS[1], "Id": f"{number:064x}", "Ports": ports}
            for number, ports in enumerate(recorded_objects.PORTS)
        ]
        answers: dict[str, Any] = {
            "/_ping": "OK",
            "/containers/json": with_ports if "all=1" in self.path else CONTAINERS,
            "/images/json": IMAGES,
            "/images/x/history": HISTORY,
            "/images/x/json": INSPECT,
            **recorded_objects.ANSWERS,
        }
        body = json.dumps(answers.get(path, {"message": f"no {path}"})).encode()
        self.send_response(200 if path in answers else 404)
        for name, value in (("Api-Version", "1.50"), ("Content-Type", "application/json"), ("Ostype", "linux")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass

    def address_string(self) -> str:
        return ""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def run(docker: str, arguments: list[str], socket: str) -> dict[str, Any]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TZ": "UTC", "DOCKER_HOST": f"unix://{socket}"}
    done = subprocess.run([docker, *arguments], capture_output=True, text=True, env=environment, check=False)
    return {"arguments": arguments, "status": done.returncode, "out": done.stdout, "err": done.stderr}


def commands(docker: str, path: str = "") -> list[str]:
    """Every command of the client, with those of its groups and its other names, as its own help lists them."""
    text = run(docker, [*path.split(), "--help"], "/nowhere")["out"]
    names = re.findall(r"(?m)^  ([a-z][a-z-]*)\*? +[A-Z]", text)
    if not path:
        return [one for name in names for one in [name, *commands(docker, name)]]
    below = [f"{path} {name}" for name in names] if "COMMAND" in text.splitlines()[0] else []
    others = re.findall(r"docker ([a-z][a-z -]*[a-z])", text.partition("Aliases:\n")[2].partition("\n\n")[0])
    return [*others, *[one for name in below for one in [name, *commands(docker, name)]]]


def main() -> int:
    docker = sys.argv[1] if len(sys.argv) > 1 else "docker"
    templates = (GOLDEN / "templates.txt").read_text().splitlines()
    with tempfile.TemporaryDirectory() as directory:
        socket = f"{directory}/docker.sock"
        server = Server(socket, Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        rendered = [run(docker, ["context", "inspect", "--format", text], "/var/run/docker.sock") for text in templates]
        lists = [run(docker, arguments, socket) for arguments in LISTS]
        objects = [run(docker, arguments, socket) for arguments in recorded_objects.RUNS]
        ports = run(docker, ["ps", "-a", "--format", "{{.Ports}}"], socket)["out"].split("\n")[:-1]
        server.shutdown()
    helps = {name: run(docker, [*name.split(), "--help"], "/nowhere")["out"] for name in HELPS}
    version = subprocess.run([docker, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found = {
        "help.json": helps,
        "commands.json": sorted(set(commands(docker))),
        "templates.json": [
            [one["arguments"][-1], one["status"], one["err"].strip() if one["status"] else one["out"]]
            for one in rendered
        ],
        "lists.json": {
            "client": version,
            "recorded": int(time.time()),
            "containers": CONTAINERS,
            "images": IMAGES,
            "history": HISTORY,
            "inspect": INSPECT,
            "runs": lists,
        },
        "objects.json": {
            "recorded": int(time.time()),
            "volumes": recorded_objects.VOLUMES,
            "disk usage": recorded_objects.DISK_USAGE,
            "samples": recorded_objects.SAMPLES,
            "pruned": recorded_objects.PRUNED,
            "ports": [list(one) for one in zip(recorded_objects.PORTS, ports, strict=True)],
            "runs": objects,
        },
    }
    for name, content in found.items():
        (GOLDEN / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
