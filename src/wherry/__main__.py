"""`python -I -S …/wherry/__main__.py ARGUMENTS`: the command line (docs/decisions/0060-start-up.md).

This file is compiled anew at every start, so it does no more than find the package.
"""

import sys
from posix import _exit, umask

umask(umask(0o022) | 0o022)  # else others could put code where the interpreter keeps what it compiled

if not __package__:
    root = __file__[: -len("wherry/__main__.py")]
    sys.path.append(root)
    from wherry import precompiled

    precompiled.install(root)

    from wherry import fastos

    fastos.install()

from wherry.cli.main import main  # noqa: E402

status = 1
try:
    status = main(sys.argv[1:])
finally:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        _exit(status)  # nothing is left to tear down, and doing it costs more than a fork
