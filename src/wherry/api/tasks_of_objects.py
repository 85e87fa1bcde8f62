"""What workers do with images, volumes and networks; see `wherry.api.tasks`."""

from __future__ import annotations

from contextlib import contextmanager

from wherry.errors import Corrupt, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from wherry.api.spawner import Worker
    from wherry.engine.engine import Engine

    Filters = dict[str, list[str]]


@contextmanager
def from_client() -> Iterator[None]:
    """What is wrong with bytes that the client sent is the client's mistake."""
    try:
        yield
    except Corrupt as error:
        raise InvalidArgument(error.message, hint=error.hint) from None


def create_volume(engine: Engine, _worker: Worker, body: bytes) -> dict[str, Any]:
    """``POST /volumes/create``."""
    from wherry.api.fields import parse
    from wherry.engine.volume_objects import NewVolume, create, document
    from wherry.errors import NotSupported

    asked = parse(body)
    if asked.has("ClusterVolumeSpec"):
        raise NotSupported("cluster volumes need a swarm, and wherry has none")
    new = NewVolume(asked.text("Name"), asked.text("Driver"), asked.pairs("DriverOpts"), asked.pairs("Labels"))
    return document(engine, create(engine, new))


def remove_volume(engine: Engine, _worker: Worker, name: str, force: bool) -> None:
    """``DELETE /volumes/{name}``."""
    from wherry.engine.volume_objects import remove
    from wherry.errors import NotFound

    try:
        remove(engine, name)
    except NotFound:
        if not force:
            raise


def prune_volumes(engine: Engine, _worker: Worker, filters: Filters, everything: bool) -> tuple[list[str], int]:
    """``POST /volumes/prune``."""
    from wherry.engine.volume_objects import prune

    return prune(engine, filters, everything=everything)


def create_network(engine: Engine, _worker: Worker, body: bytes) -> tuple[str, str]:
    """``POST /networks/create``; the id, and what of the request has no effect."""
    from wherry.api.fields import parse
    from wherry.engine.networks import create
    from wherry.errors import Forbidden, NotSupported
    from wherry.network.request import NetworkRequest, warnings

    asked = parse(body)
    if asked.boolean("Ingress") or asked.boolean("ConfigOnly") or asked.part("ConfigFrom").text("Network"):
        raise NotSupported("networks of a swarm and configuration-only networks are not supported")
    if asked.text("Scope") == "swarm":
        raise Forbidden("cannot create a swarm scoped network when swarm is not active")
    ipam = asked.part("IPAM")
    if ipam.text("Driver") not in ("", "default") or ipam.pairs("Options"):
        raise InvalidArgument(f"invalid ipam driver {ipam.text('Driver')!r}: the only one is default")
    ranges = ipam.objects("Config")
    request = NetworkRequest(
        asked.text("Name"),
        asked.text("Driver") or "bridge",
        tuple([one.text("Subnet") for one in ranges if one.text("Subnet")]),
        tuple([one.text("IPRange") for one in ranges if one.text("IPRange")]),
        tuple([one.text("Gateway") for one in ranges if one.text("Gateway")]),
        tuple([pair for one in ranges for pair in one.pairs("AuxiliaryAddresses")]),
        asked.boolean("Internal"),
        asked.boolean("Attachable"),
        asked.boolean("EnableIPv4") if asked.has("EnableIPv4") else True,
        asked.boolean("EnableIPv6"),
        asked.pairs("Options"),
        asked.pairs("Labels"),
        ipam.value("Options") is not None,
    )
    return create(engine, request), "; ".join(warnings(request))


def remove_network(engine: Engine, _worker: Worker, name: str) -> None:
    """``DELETE /networks/{name}``."""
    from wherry.engine.networks import remove

    remove(engine, name)


def prune_networks(engine: Engine, _worker: Worker, filters: Filters) -> list[str]:
    """``POST /networks/prune``; the names."""
    from wherry.engine.networks import prune

    return prune(engine, filters)


def connect(engine: Engine, _worker: Worker, name: str, body: bytes) -> None:
    """``POST /networks/{name}/connect``."""
    from wherry.api.container_request import network_option
    from wherry.api.fields import parse
    from wherry.engine.connections import connect

    asked = parse(body)
    connect(engine, network_option(name, asked.part("EndpointConfig")), asked.text("Container"))


def disconnect(engine: Engine, _worker: Worker, name: str, body: bytes) -> None:
    """``POST /networks/{name}/disconnect``."""
    from wherry.api.fields import parse
    from wherry.engine.connections import disconnect

    asked = parse(body)
    disconnect(engine, name, asked.text("Container"), force=asked.boolean("Force"))


def pull(engine: Engine, worker: Worker, name: str, platform: str, auth: str) -> None:
    """``POST /images/create``: Docker's progress messages."""
    from wherry.api.auth import use
    from wherry.api.progress import Told
    from wherry.engine.pull import pull, tags
    from wherry.oci.reference import parse

    worker.end_with_client()
    use(engine, auth, name)
    reference = parse(name)
    wanted = [reference] if reference.tag or reference.digest else []
    for one in wanted or [parse(f"{name}:{tag}") for tag in tags(engine, reference)]:
        pulled = pull(engine, one.familiar(), platform=platform, progress=Told(worker))
        state = "Downloaded newer image" if pulled.newer else "Image is up to date"
        worker.tell({"status": f"Digest: {pulled.digest}"})
        worker.tell({"status": f"Status: {state} for {one.familiar()}"})


def push(engine: Engine, worker: Worker, name: str, tag: str, platform: str, auth: str) -> None:
    """``POST /images/{name}/push``; without ``tag`` every tag."""
    from wherry.api.auth import use
    from wherry.api.progress import Told
    from wherry.engine.push import push

    worker.end_with_client()
    use(engine, auth, name)
    whole = f"{name}:{tag}" if tag else name
    for one in push(engine, whole, all_tags=not tag, platform=platform, progress=Told(worker)):
        worker.tell({"progressDetail": {}, "aux": {"Tag": one.tag, "Digest": one.digest, "Size": one.size}})


def tag(engine: Engine, _worker: Worker, name: str, target: str) -> None:
    """``POST /images/{name}/tag``."""
    from wherry.engine.images import tag

    tag(engine, name, target)


def remove_image(
    engine: Engine, _worker: Worker, name: str, force: bool, prune: bool, platforms: list[str]
) -> list[dict[str, str]]:
    """``DELETE /images/{name}``; one that is for none of ``platforms``, if any are named, stays."""
    from wherry.engine.images import check_platform, remove
    from wherry.errors import NotFound
    from wherry.store import images

    for at, platform in enumerate(platforms):
        try:
            check_platform(images.resolve(engine.db, name), platform)
            break
        except NotFound:
            if at == len(platforms) - 1:
                raise
    removed = remove(engine, name, force=force, no_prune=not prune)
    return [{"Untagged": one.untagged} if one.untagged else {"Deleted": one.deleted} for one in removed]


def prune_images(engine: Engine, _worker: Worker, filters: Filters) -> tuple[list[dict[str, str]], int]:
    """``POST /images/prune``."""
    from wherry.engine.prune import prune_images

    removed, freed = prune_images(engine, filters, everything=False)
    return [{"Untagged": one.untagged} if one.untagged else {"Deleted": one.deleted} for one in removed], freed


def search(engine: Engine, _worker: Worker, term: str, limit: int, filters: Filters, auth: str) -> list[dict[str, Any]]:
    """``GET /images/search``."""
    from wherry.api.auth import use
    from wherry.engine.search import search

    use(engine, auth, term)
    return [
        {
            "name": one.name,
            "description": one.description,
            "star_count": one.stars,
            "is_official": one.official,
            "is_automated": False,
        }
        for one in search(engine, term, limit=limit, filters=filters)
    ]


def check_login(engine: Engine, _worker: Worker, body: bytes) -> str:
    """``POST /auth``; an identity token where the registry gives one.  Nothing is kept here."""
    from wherry.api.fields import parse
    from wherry.engine.login import verify

    asked = parse(body)
    return verify(engine, asked.text("serveraddress"), asked.text("username"), asked.text("password"))


def distribution(engine: Engine, _worker: Worker, name: str, auth: str) -> dict[str, Any]:
    """``GET /distribution/{name}/json``."""
    from wherry.api.auth import use
    from wherry.engine.distribution import describe

    use(engine, auth, name)
    return describe(engine, name)


def commit(engine: Engine, _worker: Worker, name: str, asked: dict[str, Any], body: bytes) -> str:
    """``POST /commit``; the id."""
    from wherry.api.container_request import image_config_of
    from wherry.api.fields import parse
    from wherry.engine.commit import CommitOptions, commit

    return commit(engine, name, CommitOptions(config=tuple(image_config_of(parse(body)).items()), **asked)).image_id


def import_image(engine: Engine, worker: Worker, asked: dict[str, Any]) -> None:
    """``POST /images/create?fromSrc=``: a tar through the descriptor, or from where ``origin`` says."""
    from wherry.engine.import_image import ImportOptions, import_image, open_url

    worker.end_with_client()
    options = ImportOptions(**asked)
    if options.origin != "-":
        worker.tell({"status": f"Downloading from {options.origin}"})
        worker.tell({"status": import_image(engine, open_url(engine, options.origin), options)})
        return
    with from_client(), open(worker.descriptors[0], "rb", buffering=0) as archive:
        worker.tell({"status": import_image(engine, archive, options)})


def load(engine: Engine, worker: Worker, quiet: bool, platform: str) -> None:
    """``POST /images/load``: the archive comes through the descriptor that was sent along."""
    from wherry.api.progress import Told
    from wherry.engine.load import load
    from wherry.engine.progress import Silent

    with from_client(), open(worker.descriptors[0], "rb", buffering=0) as archive:
        loaded = load(engine, archive, Silent() if quiet else Told(worker), platform=platform)
    for name in loaded:
        kind = "Loaded image ID" if name.startswith("sha256:") else "Loaded image"
        worker.tell({"stream": f"{kind}: {name}\n"})


def save(engine: Engine, worker: Worker, names: list[str], platform: str) -> None:
    """``GET /images/get``: the archive goes through the descriptor that was sent along."""
    from wherry.engine.save import save

    with open(worker.descriptors[0], "wb") as archive:
        save(engine, names, archive, platform=platform)


TASKS = (
    create_volume,
    remove_volume,
    prune_volumes,
    create_network,
    remove_network,
    prune_networks,
    connect,
    disconnect,
    pull,
    push,
    tag,
    remove_image,
    prune_images,
    search,
    check_login,
    distribution,
    commit,
    import_image,
    load,
    save,
)
