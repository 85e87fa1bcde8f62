"""Images over an API."""

from __future__ import annotations

from wherry.client.credentials import header
from wherry.client.http import named
from wherry.client.told import show
from wherry.engine.images import Removed, Step, Summary
from wherry.errors import InvalidArgument, NotSupported, WherryError
from wherry.oci.reference import parse
from wherry.registry.search import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wherry.client.http import Remote
    from wherry.engine.import_image import ImportOptions
    from wherry.engine.progress import Progress
    from wherry.engine.pull import Pulled
    from wherry.engine.push import Pushed
    from wherry.engine.recompress import Compression
    from wherry.layers.compression import Readable
    from wherry.layers.pack import Writable
    from wherry.oci.reference import Reference

    Filters = Mapping[str, Sequence[str]]

_PIECE = 1 << 20
_PLATFORM_OF_ARCHIVE = (1, 48)
_PLATFORM_OF_PUSH = (1, 46)
_PLATFORM_OF_IMPORT = (1, 32)


def of(name: str) -> str:
    """The path of an image."""
    return f"/images/{named('image', name, safe='/:@')}"


def list_images(remote: Remote, *, filters: Filters | None = None) -> tuple[Summary, ...]:
    """See `wherry.engine.images.list_images`; whether something was made from them is not told."""
    return tuple([summary(one) for one in remote.call("GET", "/images/json", {"filters": dict(filters or {})})])


def summary(one: Mapping[str, Any]) -> Summary:
    """One line of a list, from Docker's JSON."""
    none = ("<none>:<none>", "<none>@<none>")
    return Summary(
        id=one["Id"],
        repo_tags=tuple([name for name in one.get("RepoTags") or () if name not in none]),
        repo_digests=tuple([name for name in one.get("RepoDigests") or () if name not in none]),
        created=one["Created"],
        size=one["Size"],
        labels=tuple((one.get("Labels") or {}).items()),
        containers=one.get("Containers", -1),
        platform="",
    )


def inspect(remote: Remote, name: str) -> dict[str, Any]:
    """See `wherry.engine.images.inspect`."""
    found: dict[str, Any] = remote.call("GET", f"{of(name)}/json")
    return found


def history(remote: Remote, name: str) -> tuple[Step, ...]:
    """See `wherry.engine.images.history`."""
    return tuple(
        [
            Step(one["Id"], one["Created"], one["CreatedBy"], one["Size"], one["Comment"], tuple(one["Tags"] or ()))
            for one in remote.call("GET", f"{of(name)}/history")
        ]
    )


def remove(remote: Remote, name: str, *, force: bool = False, no_prune: bool = False) -> tuple[Removed, ...]:
    """See `wherry.engine.images.remove`."""
    return removed(remote.call("DELETE", of(name), {"force": force, "noprune": no_prune}))


def removed(found: Sequence[Mapping[str, str]] | None) -> tuple[Removed, ...]:
    """What happened, from Docker's JSON."""
    return tuple([Removed(one.get("Untagged", ""), one.get("Deleted", "")) for one in found or ()])


def tag(remote: Remote, source: str, target: str) -> None:
    """See `wherry.engine.images.tag`."""
    name = parse(target)
    if name.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    remote.call("POST", f"{of(source)}/tag", {"repo": name.familiar_name(), "tag": name.tag or "latest"})


def prune_images(remote: Remote, filters: Filters, *, everything: bool) -> tuple[list[Removed], int]:
    """See `wherry.engine.prune.prune_images`."""
    wanted = {**filters, "dangling": ["false"]} if everything else dict(filters)
    found = remote.call("POST", "/images/prune", {"filters": wanted})
    return list(removed(found.get("ImagesDeleted"))), found.get("SpaceReclaimed") or 0


def pull(
    remote: Remote,
    reference: str,
    *,
    platform: str = "",
    all_platforms: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """See `wherry.engine.pull.pull`; the credentials are those that are kept here."""
    from wherry.engine.pull import Pulled

    if all_platforms:
        raise NotSupported("--all-platforms is not supported over an API", hint="pull for one --platform after another")
    name = parse(reference)
    if not name.tag and not name.digest:
        if progress is not None:
            progress.message("Using default tag: latest")
        name = name.tagged()
    query = {"fromImage": name.familiar_name(), "tag": name.digest or name.tag, "platform": platform}
    digest, newer = "", False
    auth = header(remote.directory, name.domain)
    with remote.stream("POST", "/images/create", query, X_Registry_Auth=auth) as answer:
        for status in show(answer.documents(), progress, unsaid=("Digest: ", "Status: ")):
            digest = status.removeprefix("Digest: ") if status.startswith("Digest: ") else digest
            newer = newer or status.startswith("Status: Downloaded newer image")
    found = inspect(remote, name.familiar())
    return Pulled(str(name), found["Id"], digest, newer)


def push(
    remote: Remote,
    name: str,
    *,
    all_tags: bool = False,
    all_platforms: bool = False,
    platform: str = "",
    compression: Compression | None = None,
    progress: Progress | None = None,
) -> tuple[Pushed, ...]:
    """See `wherry.engine.push.push`; the credentials are those that are kept here."""
    if all_platforms or compression is not None:
        option = "--all-platforms" if all_platforms else "--compression"
        raise NotSupported(f"{option} is not supported over an API", hint="push on the machine that has the image")
    reference = parse(name)
    if reference.digest:
        raise InvalidArgument("cannot push a digest reference", hint="give the image a tag, and push that")
    if all_tags and reference.tag:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    if not reference.tag and not all_tags and progress is not None:
        progress.message("Using default tag: latest")
    query = {"tag": "" if all_tags else reference.tag or "latest", "platform": _platform(remote, platform)}
    # engines of Docker's want the header, be it empty
    auth = header(remote.directory, reference.domain) or header("", "")
    with remote.stream("POST", f"{of(reference.familiar_name())}/push", query, X_Registry_Auth=auth) as answer:
        done: list[Pushed] = []
        for _status in show(answer.documents(), progress, aux=lambda one: done.append(_pushed(reference, one))):
            continue
    return tuple(done)


def _pushed(reference: Reference, one: Mapping[str, Any]) -> Pushed:
    from wherry.engine.push import Pushed

    return Pushed(str(reference.replace(tag=one["Tag"])), one["Tag"], one["Digest"], one["Size"])


def _platform(remote: Remote, platform: str) -> str:
    if not platform:
        return ""
    import json

    from wherry.oci import platform as platforms

    remote.needs(_PLATFORM_OF_PUSH, "push --platform")
    one = platforms.parse(platform)
    found = {"os": one.os, "architecture": one.architecture} | ({"variant": one.variant} if one.variant else {})
    return json.dumps(found)


def search(remote: Remote, term: str, *, limit: int = 25, filters: Filters | None = None) -> tuple[Result, ...]:
    """See `wherry.engine.search.search`."""
    host = parse(term).domain if "/" in term else ""
    query = {"term": term, "limit": limit, "filters": dict(filters or {})}
    found = remote.call("GET", "/images/search", query, X_Registry_Auth=header(remote.directory, host))
    return tuple([Result(one["name"], one["description"], one["star_count"], one["is_official"]) for one in found])


def save(
    remote: Remote, names: Sequence[str], out: Writable, *, format: str = "docker-archive", platform: str = ""
) -> None:
    """See `wherry.engine.save.save`."""
    if format != "docker-archive":
        raise NotSupported(f"--format {format} is not supported over an API", hint="leave it out")
    if platform:
        remote.needs(_PLATFORM_OF_ARCHIVE, "save --platform")
    query = {"names": list(names), "platform": _platform(remote, platform)}
    with remote.stream("GET", "/images/get", query) as answer:
        while piece := answer.read(_PIECE):
            out.write(piece)


def load(remote: Remote, stream: Readable, progress: Progress | None = None, *, platform: str = "") -> tuple[str, ...]:
    """See `wherry.engine.load.load`."""
    if platform:
        remote.needs(_PLATFORM_OF_ARCHIVE, "load --platform")
    names: list[str] = []
    query = {"platform": _platform(remote, platform)}
    with remote.upload("POST", "/images/load", query, pieces(stream)) as answer:
        for text in show(answer.documents(), progress, unsaid=("Loaded image",)):
            for line in text.splitlines():
                if line.startswith("Loaded image"):
                    names.append(line.partition(": ")[2])
    return tuple(names)


def import_image(remote: Remote, stream: Readable, options: ImportOptions) -> str:
    """See `wherry.engine.import_image.import_image`; ``origin`` "-" is the stream."""
    if options.platform:
        remote.needs(_PLATFORM_OF_IMPORT, "import --platform")
    name = parse(options.reference) if options.reference else None
    query = {
        "fromSrc": "-",
        "repo": name.familiar_name() if name else "",
        "tag": name.tag if name else "",
        "message": options.message,
        "changes": list(options.changes),
        "platform": options.platform,
    }
    last = ""
    with remote.upload("POST", "/images/create", query, pieces(stream)) as answer:
        for status in show(answer.documents(), None):
            last = status
    if not last.startswith("sha256:"):
        raise WherryError("the engine did not say which image it has made")
    return last


def pieces(stream: Readable) -> Any:
    """A stream as the body of a request."""
    while piece := stream.read(_PIECE):
        yield piece
