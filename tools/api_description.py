"""Write tests/golden/api/engine-api.json: Docker's description of its API without what only people read.

    .venv/bin/python tools/api_description.py SWAGGER.YAML

The file is ``engine/api/swagger.yaml`` of Docker's sources, as in Debian's source package ``docker.io``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

TARGET = Path(__file__).resolve().parent.parent / "tests/golden/api/engine-api.json"
FOR_PEOPLE = {"description", "example", "examples", "title", "summary", "tags", "x-logo", "x-displayName", "x-go-name"}
NAMES = {"definitions", "properties", "paths", "responses"}  # objects whose keys are names, whatever they are


def plain(value: Any, *, names: bool = False) -> Any:
    """``value`` without what only people read."""
    if isinstance(value, dict):
        kept = {str(key): one for key, one in value.items() if names or key not in FOR_PEOPLE}
        return {key: plain(one, names=key in NAMES and not names) for key, one in kept.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def main() -> int:
    document = plain(yaml.safe_load(Path(sys.argv[1]).read_text()))
    TARGET.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
