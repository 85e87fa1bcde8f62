"""What runs in the throw-away containers, as text: the image's own Python executes it, from 3.8 on."""

from __future__ import annotations

PROBE = """\
import json, os, sys, sysconfig
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (ValueError, OSError):
    libc = ""
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2], "full": sys.version, "executable": os.path.realpath(sys.executable),
    "path": sys.executable, "implementation": sys.implementation.name, "tag": sys.implementation.cache_tag,
    "libc": libc or "", "musl": sysconfig.get_config_var("HOST_GNU_TYPE") or "",
}))
"""
"""Prints what has to be known of an interpreter, as JSON."""

COMPILE = """\
import sys
sys.path[:] = [path for path in sys.path if path]
import marshal, os, struct, zlib, _imp
from importlib._bootstrap_external import MAGIC_NUMBER, _RAW_MAGIC_NUMBER

CODE = type(compile("", "", "exec"))
SORTED = sys.version_info >= (3, 11)  # marshal writes the members of a set in an order of their own

class Unsteady(Exception):
    pass

def by_address(value):
    if isinstance(value, (tuple, frozenset)):
        return any([by_address(one) for one in value])
    return value is None or value is Ellipsis

def hold(value, held):
    # marshal writes an object that nobody else refers to in another way: here somebody does, of everything
    held.append(value)
    if isinstance(value, CODE):
        held += (value.co_name, value.co_filename, getattr(value, "co_qualname", None))
        for names in (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars):
            held.append(names)
            held.extend(names)
        hold(value.co_consts, held)
    elif isinstance(value, (tuple, frozenset)):
        if isinstance(value, frozenset) and not SORTED and by_address(value):
            raise Unsteady  # the order is that of hashes, which for these are where they are in memory
        for one in value:
            hold(one, held)
    elif isinstance(value, slice):
        held += (value.start, value.stop, value.step)

def compiled(source, path):
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except Exception:
        return None
    held = []
    try:
        hold(code, held)
    except Unsteady:
        return None
    head = MAGIC_NUMBER + struct.pack("<I", 1) + _imp.source_hash(_RAW_MAGIC_NUMBER, source)
    return head + marshal.dumps(code)

def work(number):
    with open("/run/in/%d" % number, "rb") as jobs, open("/run/out/%d" % number, "wb") as out:
        while True:
            head = jobs.read(8)
            if not head:
                return
            length, size = struct.unpack("<II", head)
            path = jobs.read(length).decode()
            data = compiled(jobs.read(size), path)
            if data is None:
                out.write(bytes(8))
                continue
            squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
            packed = squeeze.compress(data) + squeeze.flush()
            out.write(struct.pack("<II", len(data), len(packed)) + packed)

if sys.flags.hash_randomization:
    sys.exit("the order of sets is random")
children = []
for number in range(int(sys.argv[1])):
    child = os.fork()
    if not child:
        status = 1
        try:
            work(number)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    children.append(child)
sys.exit(1 if any([os.waitpid(child, 0)[1] for child in children]) else 0)
"""
"""Byte code of the sources in ``/run/in/0`` and so on, one process for each, compressed by the image's zlib.

The same source gives the same bytes whatever was compiled before it.  A source that does not compile (a template, or
one for another version) has none, and before Python 3.11 neither has one with a constant set that has None in it.
"""

BUILD = """\
import importlib, json, os, sys, tarfile, zipfile
name, wanted, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
os.environ.update(HOME="/tmp", TMPDIR="/tmp")
os.makedirs("/tmp/source")
if name.endswith(".zip"):
    with zipfile.ZipFile("/run/in/" + name) as archive:
        archive.extractall("/tmp/source")
else:
    with tarfile.open("/run/in/" + name) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall("/tmp/source", filter="data")
        else:
            archive.extractall("/tmp/source")
tops = os.listdir("/tmp/source")
if len(tops) != 1:
    sys.exit("the source distribution has %d top directories, not one" % len(tops))
os.chdir("/tmp/source/" + tops[0])
sys.path[:] = [os.path.abspath(path) for path in settings["path"]] + [path for path in sys.path if path]
module, _, attributes = settings["backend"].partition(":")
backend = importlib.import_module(module)
for attribute in filter(None, attributes.split(".")):
    backend = getattr(backend, attribute)
if wanted == "requires":
    found = getattr(backend, "get_requires_for_build_wheel", lambda settings: [])({})
    with open("/run/out/requires.json", "w") as out:
        json.dump(list(found), out)
else:
    backend.build_wheel("/run/out", {})
"""
"""Builds a wheel of a source distribution (PEP 517), or writes what its backend needs for that besides."""
