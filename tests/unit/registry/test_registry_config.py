"""registries.toml: what it may say, what it means, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.errors import InvalidArgument
from wherry.registry.config import Endpoint, Proxies, RegistryConfig, split_host
from wherry.registry.proxy import from_environment, proxy_for


def load(tmp_path: Path, *texts: str) -> RegistryConfig:
    files = []
    for number, text in enumerate(texts):
        files.append(tmp_path / f"{number}.toml")
        files[-1].write_text(text)
    return RegistryConfig.load([str(file) for file in files] + [str(tmp_path / "missing.toml")])


def test_nothing_configured() -> None:
    config = RegistryConfig.load()
    assert config.endpoints("docker.io") == (Endpoint("registry-1.docker.io", "docker.io"),)
    assert config.endpoints("ghcr.io") == (Endpoint("ghcr.io", "ghcr.io"),)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"])
def test_loopback_may_be_plain(host: str) -> None:
    assert RegistryConfig().endpoints(host) == (Endpoint(host, host, ("https", "http")),)


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "128.0.0.1", "10.0.0.1:5000", "[::2]"])
def test_nothing_else_may(host: str) -> None:
    assert RegistryConfig().endpoints(host) == (Endpoint(host, host, ("https",)),)


def test_mirrors_come_first_in_order(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[registry."docker.io"]\n'
        'mirrors = ["https://mirror.example/cache/hub/", "http://10.0.0.2:5000", "plain.example"]\n',
    )
    assert config.endpoints("docker.io") == (
        Endpoint("mirror.example", "mirror.example", ("https",), "cache/hub", mirror=True),
        Endpoint("10.0.0.2:5000", "10.0.0.2:5000", ("http",), "", mirror=True),
        Endpoint("plain.example", "plain.example", ("https",), "", mirror=True),
        Endpoint("registry-1.docker.io", "docker.io"),
    )


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"])
def test_docker_hub_has_many_names(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, f'[registry."{name}"]\nmirrors = ["https://m"]\n').host("docker.io").mirrors == ("https://m",)


def test_a_user_completes_the_host(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[registry."a:5000"]\ninsecure = true\nmirrors = ["https://one"]\ntrust = ["Auth.example"]\n'
        "[transport]\nretries = 9\n",
        '[registry."a:5000"]\nmirrors = ["https://two"]\n[registry.b]\ninsecure = true\n'
        "[transport]\nread-timeout = 5\n",
    )
    settings = config.host("a:5000")
    assert (settings.insecure, settings.mirrors, settings.trust) == (True, ("https://two",), ("auth.example",))
    assert config.host("b").insecure
    assert not config.host("a").insecure
    assert (config.retry.tries, config.read_timeout, config.connect_timeout) == (10, 5, 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("registry = [", "0.toml: "),
        ("nonsense = 1", "unknown key 'nonsense'"),
        ("registry = 5", "unknown key 'registry'"),
        ('[registry."a"]\ninsekure = true', "registry.\"a\": unknown key 'insekure'"),
        ('[registry."a"]\ninsecure = "yes"', "insecure must be true or false"),
        ('[registry."a"]\nmirrors = "https://x"', "mirrors must be a list of strings"),
        ('[registry."a"]\nmirrors = [1]', "mirrors must be a list of strings"),
        ('[registry."a"]\nmirrors = ["ftp://x"]', "is not the URL of a mirror"),
        ('[registry."a"]\nmirrors = ["https://user:pw@x"]', "is not the URL of a mirror"),
        ('[registry."a"]\nmirrors = ["https://[::1"]', "is not the URL of a mirror"),
        ('[registry."a"]\nca = "relative.crt"', "ca must be an absolute path"),
        ('[registry."a"]\nclient-cert = "/x.cert"', "client-cert and client-key belong together"),
        ('[registry."https://a"]\ninsecure = true', "is not a registry"),
        ('[registry."a/b"]\ninsecure = true', "is not a registry"),
        ('[registry.".."]\ninsecure = true', "is not a registry"),
        ('[registry."a:99999"]\ninsecure = true', "is not a registry"),
        ('[registry."a"]\nmirrors = ["https://a:99999"]', "invalid port"),
        ("[transport]\nretries = 1.5", "retries must be a number"),
        ("[transport]\nread-timeout = 0", "read-timeout must be a number of seconds"),
        ("[transport]\nread-timeout = true", "read-timeout must be a number of seconds"),
        ("[transport]\nspeed = 1", "unknown key 'speed'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(tmp_path, text)
    assert words in caught.value.message
    assert "0.toml" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is a directory"):
        RegistryConfig.load([str(tmp_path)])
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="latin"):
        RegistryConfig.load([str(tmp_path / "latin")])


def test_hosts_and_ports() -> None:
    assert split_host("a:1") == ("a", 1)
    assert split_host("[::1]") == ("[::1]", None)
    assert split_host("[::1]:443") == ("[::1]", 443)
    with pytest.raises(InvalidArgument):
        split_host("a:0")


@pytest.mark.parametrize(
    ("no_proxy", "host", "through"),
    [
        ("", "example.com", True),
        ("example.com", "example.com", False),
        ("example.com", "a.example.com", False),
        ("example.com", "badexample.com", True),
        (".example.com", "example.com", True),
        (".example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", False),
        ("*", "anything", False),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("10.0.0.0/8", "11.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", False),
        ("example.com:443", "example.com", False),
        ("example.com:444", "example.com", True),
        (" , ,x", "example.com", True),
        ("", "127.0.0.1", False),
        ("", "localhost", False),
    ],
)
def test_proxies(no_proxy: str, host: str, through: bool) -> None:
    proxies = Proxies(https="proxy.example:3128", no_proxy=no_proxy)
    assert proxy_for(proxies, "https", host, 443) == ("http://proxy.example:3128" if through else "")
    assert proxy_for(proxies, "http", host, 80) == ""


def test_proxies_of_the_environment() -> None:
    assert from_environment({"HTTPS_PROXY": "a", "https_proxy": "b", "no_proxy": "c"}) == Proxies("", "a", "c")
    assert from_environment({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}) == Proxies()


def test_socks_is_not_there() -> None:
    with pytest.raises(InvalidArgument, match="socks5"):
        proxy_for(Proxies(https="socks5://x"), "https", "example.com", 443)
