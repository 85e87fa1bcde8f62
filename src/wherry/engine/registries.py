"""What is configured about registries, for the use cases that talk to them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.registry.config import RegistryConfig


def registry_config(engine: Engine) -> RegistryConfig:
    """What is configured about registries for this caller.  Raises `InvalidArgument` for a malformed file."""
    from wherry.registry import proxy
    from wherry.registry.config import RegistryConfig

    paths = engine.paths
    return RegistryConfig.load(
        [f"{directory}/registries.toml" for directory in paths.config],
        certificates=("/etc/docker/certs.d", *(f"{directory}/certs.d" for directory in paths.config)),
        docker_config=f"{paths.docker_config}/config.json",
        proxies=proxy.from_environment(dict(paths.proxies)),
    )
