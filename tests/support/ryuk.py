"""An image in the place of testcontainers/ryuk, the reaper: the same protocol, in Python.

Ryuk (github.com/testcontainers/moby-ryuk) listens on port 8080.  Each line of a client is a filter, as a URL's query
has it, and is answered ``ACK``.  When the last client has been gone for RYUK_RECONNECTION_TIMEOUT, it removes whatever
the filters match, containers, networks, volumes, images, over the socket that was mounted into it; and ends.
"""

from __future__ import annotations

from pathlib import Path

from support.images import Built, Image, Layer, python

_PROGRAM = r"""
import contextlib, http.client, json, os, socket, threading, time
from urllib.parse import parse_qsl, quote

QUIET = float(os.environ["RYUK_RECONNECTION_TIMEOUT"].removesuffix("s"))
filters, clients, changed = set(), [0, 0.0], threading.Lock()

def docker(method, path, **query):
    connection = http.client.HTTPConnection("docker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("/var/run/docker.sock")
    words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    connection.request(method, f"/v1.44{path}?{words}")
    answer = connection.getresponse()
    text = answer.read()
    print(method, path, answer.status, text[:200], flush=True)
    return json.loads(text or b"null")

def attend(client):
    with contextlib.suppress(OSError), client, client.makefile("rb") as lines:
        for line in lines:
            for name, value in parse_qsl(line.decode().strip()):
                filters.add((name, value))
            client.sendall(b"ACK\n")
    with changed:
        clients[:] = clients[0] - 1, time.monotonic()

def listen(server):
    while True:
        client = server.accept()[0]
        with changed:
            clients[0] += 1
        threading.Thread(target=attend, args=(client,), daemon=True).start()

docker("GET", "/version")
server = socket.create_server(("", 8080))
print("ryuk Started!", flush=True)
threading.Thread(target=listen, args=(server,), daemon=True).start()
while clients[0] or not clients[1] or time.monotonic() < clients[1] + QUIET:
    time.sleep(0.05)
for name, value in filters:
    chosen = {name: [value]}
    for one in docker("GET", "/containers/json", all="1", filters=json.dumps(chosen)):
        docker("DELETE", "/containers/" + one["Id"], force="1", v="1")
    docker("POST", "/networks/prune", filters=json.dumps(chosen))
    docker("POST", "/volumes/prune", filters=json.dumps({**chosen, "all": ["true"]}))
    docker("POST", "/images/prune", filters=json.dumps({**chosen, "dangling": ["false"]}))
"""


def image(directory: Path) -> Built:
    """The image, as an OCI layout."""
    layer = Layer().file("ryuk.py", _PROGRAM)
    config = {"Cmd": ["python3", "-u", "/ryuk.py"], "ExposedPorts": {"8080/tcp": {}}, "WorkingDir": "/"}
    return Image([layer], config).build(directory, base=python())
