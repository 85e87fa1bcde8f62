"""A bill of materials: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), the same for the same lock."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any
from urllib.parse import quote

from wherry import __version__
from wherry.env.debian.package import DebianBase, DebPackage
from wherry.env.inputs.requirements import name_of
from wherry.env.lock import ImageBase, Lock, LockedFile, LockedPackage
from wherry.env.lock_file import write

_ROOT = "environment"


def cyclonedx(lock: Lock, architecture: str, name: str) -> str:
    """The document for an architecture; ``name`` is what the environment is called in it."""
    packages = lock.of(architecture)
    debs = lock.base.of(architecture) if isinstance(lock.base, DebianBase) else ()
    asked = {name_of(each) for each in lock.requirements}
    components = [_package(one) for one in packages]
    components += [_deb(one, lock.base.release) for one in debs if isinstance(lock.base, DebianBase)]
    if isinstance(lock.base, ImageBase):
        components.append(_image(lock.base))
    references = {one.name: _purl(one) for one in packages}
    direct = [references[one.name] for one in packages if one.name in asked]
    base = [each["bom-ref"] for each in components if each["bom-ref"] not in references.values()]
    dependencies = [{"ref": _ROOT, "dependsOn": sorted({*direct, *base})}]
    dependencies += [
        {
            "ref": references[one.name],
            "dependsOn": sorted({references[each] for each in one.requires if each in references}),
        }
        for one in packages
    ]
    identity = uuid.UUID(bytes=hashlib.sha256(f"{write(lock)}{architecture}".encode()).digest()[:16], version=4)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{identity}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "wherry", "version": __version__}]},
            "component": {"type": "container", "bom-ref": _ROOT, "name": name},
            "properties": [
                {"name": "wherry:python", "value": lock.python},
                {"name": "wherry:architecture", "value": architecture},
            ],
        },
        "components": components,
        "dependencies": dependencies,
    }
    return json.dumps(document, indent=2) + "\n"


def _purl(package: LockedPackage) -> str:
    return f"pkg:pypi/{package.name}@{quote(package.version, safe='')}"


def _package(package: LockedPackage) -> dict[str, Any]:
    files = [*package.wheels, *([package.sdist] if package.sdist else [])]
    return {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package.name,
        "version": package.version,
        "purl": _purl(package),
        "externalReferences": [_reference(file) for file in files],
    }


def _reference(file: LockedFile) -> dict[str, Any]:
    return {
        "type": "distribution",
        "url": file.url,
        "comment": file.name,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
    }


def _deb(package: DebPackage, release: str) -> dict[str, Any]:
    version = quote(package.version, safe="")
    purl = f"pkg:deb/debian/{quote(package.name, safe='')}@{version}?arch={package.architecture}&distro={release}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": package.sha256}],
    }


def _image(base: ImageBase) -> dict[str, Any]:
    return {
        "type": "container",
        "bom-ref": f"{base.reference}@{base.digest}",
        "name": base.reference,
        "hashes": [{"alg": "SHA-256", "content": base.digest.partition(":")[2]}],
    }
