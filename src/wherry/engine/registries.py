"""What is configured about registries, for the use cases that talk to them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.oci.reference import Reference
    from wherry.registry.client import Client
    from wherry.registry.config import RegistryConfig
    from wherry.registry.policy import Rule


def registry_config(engine: Engine) -> RegistryConfig:
    """What is configured about registries for this caller.  Raises `InvalidArgument` for a malformed file."""
    from wherry.registry import proxy
    from wherry.registry.config import RegistryConfig

    paths, given = engine.paths, engine.credentials
    found = RegistryConfig.load(
        [f"{directory}/registries.toml" for directory in paths.config],
        certificates=("/etc/docker/certs.d", *(f"{directory}/certs.d" for directory in paths.config)),
        docker_config=f"{paths.docker_config}/config.json" if given is None else "",
        proxies=proxy.from_environment(dict(paths.proxies)),
    )
    return found.replace(credentials=given or ())


def check_policy(engine: Engine, reference: Reference) -> tuple[Rule, ...]:
    """The rules under which an image of this name must be signed.

    Raises `Forbidden` when it may not be pulled at all, `InvalidArgument` for a malformed policy.
    """
    import os

    files = [f"{directory}/policy.toml" for directory in engine.paths.config]
    if not any(map(os.path.lexists, files)):
        return ()
    from wherry.registry import policy

    return policy.decide(policy.load(files), reference)


def check_signatures(client: Client, reference: Reference, found: tuple[str, ...], rules: tuple[Rule, ...]) -> None:
    """Sees to it that the image, known by any of the digests ``found``, is signed by the ``rules``.

    Raises `Forbidden`, `NotSupported`, `Unavailable`.
    """
    if rules:
        from wherry.registry import signatures

        signatures.verify(client, reference, found, rules)
