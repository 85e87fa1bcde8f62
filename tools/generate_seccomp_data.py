#!/usr/bin/env python3
"""Write the seccomp data of the package: system call tables and Docker's default profile.

    tools/generate_seccomp_data.py --headers UAPI --profile default.json [--check]

UAPI is a directory of the kernel's exported headers with one subdirectory for each architecture, such as
``usr/lib/linux/uapi`` of Debian's linux-libc-dev (``dpkg -x linux-libc-dev_*_all.deb DIR``).  The profile is moby's
``seccomp/default.json`` (Apache-2.0); it is kept as it is, without white space.  Results go to src/wherry/data.
With ``--check`` nothing is written and the exit status is 1 when the files differ.

The tables are numbers that the kernel's ABI fixes for good; a newer kernel only adds some.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "src" / "wherry" / "data"

#: Architecture as `uname -m` or libseccomp names it → header that defines the numbers, offset added to them.
HEADERS = {
    "x86_64": ("x86/asm/unistd_64.h", 0),
    "x86": ("x86/asm/unistd_32.h", 0),
    "x32": ("x86/asm/unistd_x32.h", 0x40000000),
    "aarch64": ("arm64/asm/unistd_64.h", 0),
    "arm": ("arm/asm/unistd-eabi.h", 0),
}

#: What headers define outside their tables (arm/asm/unistd.h), and second names in use for the same call.
EXTRA = {
    "arm": {
        "breakpoint": 0xF0001,
        "cacheflush": 0xF0002,
        "usr26": 0xF0003,
        "usr32": 0xF0004,
        "set_tls": 0xF0005,
        "get_tls": 0xF0006,
        "sync_file_range2": 341,
    },
}

_DEFINE = re.compile(
    r"^#define\s+__NR_(\w+)\s+(?:(\d+)|\(\s*(?:__X32_SYSCALL_BIT|__NR_SYSCALL_BASE)\s*\+\s*(\d+)\s*\))"
)


def table(uapi: Path, architecture: str) -> dict[str, int]:
    """Name → number, sorted by number."""
    header, offset = HEADERS[architecture]
    found = dict(EXTRA.get(architecture, {}))
    for line in (uapi / header).read_text().splitlines():
        match = _DEFINE.match(line)
        if match:
            found[match[1]] = int(match[2] or match[3]) + offset
    if len(found) < 300:
        raise SystemExit(f"{header} defines only {len(found)} system calls")
    return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def tables_text(uapi: Path) -> str:
    """One line for each architecture, so that a change shows as one."""
    lines = [f"{json.dumps(name)}: {json.dumps(table(uapi, name), separators=(',', ':'))}" for name in HEADERS]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def profile_text(source: Path) -> str:
    """The profile, one rule on each line."""
    profile = json.loads(source.read_text())
    compact = lambda value: json.dumps(value, separators=(",", ":"))  # noqa: E731
    rules = ",\n".join(compact(rule) for rule in profile.pop("syscalls"))
    head = ",\n".join(f"{json.dumps(key)}:{compact(value)}" for key, value in profile.items())
    return f'{{\n{head},\n"syscalls":[\n{rules}\n]\n}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headers", type=Path, metavar="UAPI")
    parser.add_argument("--profile", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    made = {}
    if given.headers:
        made["syscalls.json"] = tables_text(given.headers)
    if given.profile:
        made["seccomp.json"] = profile_text(given.profile)
    if not made:
        parser.error("nothing to do: give --headers, --profile or both")
    status = 0
    for name, text in made.items():
        path = DATA / name
        if given.check:
            if not path.exists() or path.read_text() != text:
                sys.stderr.write(f"{path} differs\n")
                status = 1
        else:
            path.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
