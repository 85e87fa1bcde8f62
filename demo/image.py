"""Write an image as a docker-archive: busybox and Python from this system's packages, and the demo's scripts."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.images import Image, Layer, NoPackages, python

HERE = Path(__file__).parent


def main(target: Path) -> int:
    try:
        base = python()
    except (NoPackages, FileNotFoundError) as error:
        print(f"the demo makes its image out of Debian packages: {error}", file=sys.stderr)
        return 1
    layer = Layer().directory("demo")
    for script in sorted((HERE / "inside").glob("*.py")):
        layer.file(f"demo/{script.name}", script)
    with tempfile.TemporaryDirectory() as scratch:
        image = Image([layer], {"Cmd": ["python3", "/demo/look.py"]}).build(Path(scratch), base=base)
        image.docker_archive(target, "demo:latest")
        size = target.stat().st_size / 1e6
        print(f"{len(image.manifest['layers'])} layers, {size:.0f} MB, image id {image.id[7:19]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
