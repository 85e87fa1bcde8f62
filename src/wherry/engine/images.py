"""What there is in the store, for people and for clients: list, inspect, history; and names given and taken.

The documents are Docker's (Engine API, ``/images``): field names, order of lists and words of errors.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.engine import events
from wherry.engine.remove_image import Removed, remove
from wherry.engine.times import epoch_seconds, rfc3339
from wherry.errors import InvalidArgument, NotFound
from wherry.oci import image as image_configs
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.record import Record
from wherry.store import containers, images, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.oci.image import ImageConfig
    from wherry.store.images import ImageRow, NameRow

__all__ = ("Removed", "Step", "Summary", "history", "inspect", "list_images", "remove", "tag")

_FILTERS = frozenset(("reference", "dangling", "before", "since", "label", "until"))


class Summary(Record):
    """One image in a list.  ``created`` is epoch seconds, ``size`` bytes of all layers unpacked; names as people write
    them; ``containers`` how many were made from it."""

    id: str
    repo_tags: tuple[str, ...]
    repo_digests: tuple[str, ...]
    created: int
    size: int
    labels: tuple[tuple[str, str], ...]
    containers: int
    platform: str
    parent: str = ""


class Step(Record):
    """One line of a history.  ``id`` is the image's for the newest, else ``<missing>``; ``created`` epoch seconds."""

    id: str
    created: int
    created_by: str
    size: int
    comment: str
    tags: tuple[str, ...]


def list_images(engine: Engine, *, filters: Mapping[str, Sequence[str]] | None = None) -> tuple[Summary, ...]:
    """The images, the newest first.

    ``filters`` are Docker's: reference (a pattern), dangling (true or false), before and since (an image), label
    (``name`` or ``name=value``), until (epoch seconds); several values of one are alternatives, of ``label`` all must
    hold.  Raises `InvalidArgument` for an unknown one.
    """
    wanted = dict(filters or {})
    for name in wanted:
        if name not in _FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'")
    names: dict[str, list[NameRow]] = {}
    for name_row in images.names(engine.db):
        names.setdefault(name_row.image_id, []).append(name_row)
    used: dict[str, int] = {}
    for row in containers.list_all(engine.db):
        used[row.image_id] = used.get(row.image_id, 0) + 1
    found = []
    rows = images.list_all(engine.db)
    there = {image.id for image in rows}
    for image in rows:
        tags, by_digest = _familiar(names.get(image.id, ()))
        labels = image_configs.parse(image.config.encode()).labels
        count = used.get(image.id, 0)
        parent = image.parent if image.parent in there else ""
        found.append(
            Summary(image.id, tags, by_digest, image.created, image.size, labels, count, image.platform, parent)
        )
    return tuple(_filter(engine, found, wanted))


def _familiar(names: Iterable[NameRow]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tags and digests as people write them."""
    tags: list[str] = []
    by_digest: list[str] = []
    for name in names:
        reference = references.parse(name.reference)
        (by_digest if reference.digest else tags).append(reference.familiar())
    return tuple(tags), tuple(by_digest)


def _filter(engine: Engine, found: list[Summary], wanted: dict[str, Sequence[str]]) -> list[Summary]:
    for text in wanted.get("before", ()):
        limit = images.resolve(engine.db, text).created
        found = [one for one in found if one.created < limit]
    for text in wanted.get("since", ()):
        limit = images.resolve(engine.db, text).created
        found = [one for one in found if one.created > limit]
    for text in wanted.get("until", ()):
        if not text.lstrip("-").isdigit():
            raise InvalidArgument(f"invalid filter 'until={text}'")
        found = [one for one in found if one.created <= int(text)]
    for text in wanted.get("label", ()):
        name, equals, value = text.partition("=")
        found = [one for one in found if any(k == name and (not equals or v == value) for k, v in one.labels)]
    if "dangling" in wanted:
        values = {_boolean(text) for text in wanted["dangling"]}
        found = [one for one in found if (not one.repo_tags) in values]
    if "reference" in wanted:
        patterns = [_pattern(text) for text in wanted["reference"]]
        matched = [_matching(one, patterns) for one in found]
        found = [one for one in matched if one.repo_tags or one.repo_digests]
    return found


def _boolean(text: str) -> bool:
    if text.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise InvalidArgument(f"invalid filter 'dangling={text}'")
    return text.lower() in ("1", "t", "true")


def _pattern(text: str) -> Any:
    """Go's path.Match: ``*`` and ``?`` stop at a slash."""
    import re

    parts = re.split(r"(\*|\?|\[[^\]]+\])", text)
    special = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(special.get(part, part if part.startswith("[") else re.escape(part)) for part in parts))


def _matching(one: Summary, patterns: list[Any]) -> Summary:
    """The image with those of its names that a pattern fits, with or without the tag."""

    def fits(name: str) -> bool:
        bare = references.parse(name).familiar_name()
        return any(pattern.fullmatch(name) or pattern.fullmatch(bare) for pattern in patterns)

    tags = tuple(name for name in one.repo_tags if fits(name))
    by_digest = tuple(name for name in one.repo_digests if fits(name))
    return one.replace(repo_tags=tags, repo_digests=by_digest)


def check_platform(row: ImageRow, wanted: str) -> None:
    """Raises `NotFound` for an image that is for another platform than ``wanted``, which may be empty."""
    if wanted and platforms.normal(platforms.parse(wanted)) != platforms.normal(platforms.parse(row.platform)):
        raise NotFound("image", wanted, f"image {row.id[:19]} is for {row.platform}, not for {wanted}")


def inspect(engine: Engine, name: str, platform: str = "") -> dict[str, Any]:
    """Docker's JSON of one image (``GET /images/{name}/json``).  Raises `NotFound`."""
    row = images.resolve(engine.db, name)
    check_platform(row, platform)
    raw: dict[str, Any] = fastjson.loads(row.config)
    config = image_configs.parse(row.config.encode())
    tags, by_digest = _familiar(images.names(engine.db, row.id))
    comment = raw.get("comment") or (config.history[-1].comment if config.history else "")
    document: dict[str, Any] = {
        "Id": row.id,
        "RepoTags": list(tags),
        "RepoDigests": list(by_digest),
        "Parent": row.parent if row.parent and images.get(engine.db, row.parent) else "",
        "Comment": comment,
        "Created": config.created or rfc3339(0),
        "DockerVersion": raw.get("docker_version", ""),
        "Author": config.author,
        "Config": _settings(raw.get("config") or {}),
        "Architecture": config.architecture,
    }
    if config.variant:
        document["Variant"] = config.variant
    document["Os"] = config.os or "linux"
    if raw.get("os.version"):
        document["OsVersion"] = raw["os.version"]
    document["Size"] = row.size
    name = "erofs" if row.snapshotter == "erofs" else "overlay2"
    document["GraphDriver"] = {"Data": _directories(engine, row), "Name": name}
    document["RootFS"] = {"Type": "layers", "Layers": list(config.diff_ids)}
    document["Metadata"] = {"LastTagTime": rfc3339(row.tagged)}
    return document


def committed_from(engine: Engine, name: str) -> dict[str, Any]:
    """The container that an image was made of, as Docker showed it until API 1.44.  Raises `NotFound`."""
    raw: dict[str, Any] = fastjson.loads(images.resolve(engine.db, name).config)
    config = raw.get("container_config")
    return {
        "Container": str(raw.get("container") or ""),
        "ContainerConfig": _settings(config if isinstance(config, dict) else {}),
    }


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """A configuration with every field that Docker shows, those that it leaves out when empty left out."""
    document: dict[str, Any] = {"Hostname": "", "Domainname": "", "User": ""}
    document |= {"AttachStdin": False, "AttachStdout": False, "AttachStderr": False}
    document |= _given(given, "ExposedPorts")
    document |= {"Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None}
    document |= _given(given, "Healthcheck", "ArgsEscaped")
    document |= {"Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None}
    document |= _given(given, "StopSignal", "StopTimeout", "Shell")
    document |= {key: value for key, value in given.items() if key in document and value is not None}
    return document


def _given(given: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given[key] for key in keys if given.get(key)}


def _directories(engine: Engine, row: ImageRow) -> dict[str, str]:
    if row.snapshotter == "erofs":
        *tars, image = [engine.tars.path(one) for one in row.stack]
        return {"Image": image, **({"LowerDir": ":".join(reversed(tars))} if tars else {})}
    lower = [engine.snapshotter.path(diff_id) for diff_id in row.stack]
    if not lower:
        return {}
    data = {"UpperDir": lower[-1]}
    if lower[:-1]:
        data = {"LowerDir": ":".join(reversed(lower[:-1])), **data}
    return data


def history(engine: Engine, name: str, platform: str = "") -> tuple[Step, ...]:
    """How an image came to be, the newest step first.  Raises `NotFound`."""
    from wherry.store import layers

    row = images.resolve(engine.db, name)
    check_platform(row, platform)
    config: ImageConfig = image_configs.parse(row.config.encode())
    left = list(config.diff_ids)
    steps = []
    for entry in config.history:
        size = 0
        if not entry.empty_layer and left:
            layer = layers.get(engine.db, left.pop(0))
            size = layer.size if layer else 0
        created = epoch_seconds(entry.created)
        steps.append(Step("<missing>", created, entry.created_by, size, entry.comment, ()))
    for diff_id in left:  # more layers than history tells of
        layer = layers.get(engine.db, diff_id)
        steps.append(Step("<missing>", row.created, "", layer.size if layer else 0, "", ()))
    steps.reverse()
    if steps:
        tags, _by_digest = _familiar(images.names(engine.db, row.id))
        steps[0] = steps[0].replace(id=row.id, tags=tags)
    return tuple(steps)


def tag(engine: Engine, source: str, target: str) -> None:
    """Gives the image ``source`` the name ``target`` as well.  Raises `NotFound`, `InvalidArgument`."""
    reference = references.parse(target)
    if reference.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    if reference.familiar_name() in ("sha256", "sha512"):
        raise InvalidArgument("refusing to create an ambiguous tag using digest algorithm as name")
    with engine.db.transaction():
        row = images.resolve(engine.db, source)
        images.tag(engine.db, reference.tagged(), row.id, _index_of(engine, source))
        events.of_image(engine.db, row.id, "tag", reference.tagged().familiar())
    index.write(engine.layout, engine.db)


def _index_of(engine: Engine, name: str) -> str:
    """The index for several platforms that ``name`` stands for, when it is kept here: another name gets it as well."""
    try:
        target = images.target(engine.db, references.parse(name))
    except InvalidArgument:
        return ""
    return target if target and engine.content.has(target) else ""
