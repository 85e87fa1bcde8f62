"""--log-driver and --log-opt: what is refused, in Docker's words, and what the monitor is told."""

from __future__ import annotations

import pytest

from wherry.container.logging import check, journal_name, option, path, settings, tag
from wherry.container.options import ContainerOptions
from wherry.container.record import ContainerRecord
from wherry.errors import InvalidArgument

ID = "0123456789ab" + "c" * 52


def record(driver: str, *opts: str, **options: object) -> ContainerRecord:
    given = tuple(option(text) for text in opts)
    made = ContainerOptions(image="busybox", log_driver=driver, log_opts=given, **options)  # type: ignore[arg-type]
    return ContainerRecord(ID, "web", 1, "sha256:" + "d" * 64, "busybox", made)


@pytest.mark.parametrize(
    ("driver", "opts", "message"),
    [
        ("nope", (), 'error looking up logging plugin nope: plugin "nope" not found'),
        ("syslog", (), 'error looking up logging plugin syslog: plugin "syslog" not found'),
        ("none", ("a=b",), "invalid logging opts for driver none"),
        ("", ("mode=x",), "logger: logging mode not supported: x"),
        ("", ("max-buffer-size=1m",), "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
        (
            "",
            ("mode=non-blocking", "max-buffer-size=zz"),
            "error parsing option max-buffer-size: invalid size: 'zz'",
        ),
        ("", ("foo=bar",), "unknown log opt 'foo' for json-file log driver"),
        ("local", ("foo=bar",), "unknown log opt 'foo' for log driver local"),
        ("journald", ("max-size=1k",), "unknown log opt 'max-size' for journald log driver"),
        ("local", ("max-file=1",), "compression cannot be enabled when max file count is 1"),
        ("", ("max-size=abc",), "invalid size: 'abc'"),
        ("", ("max-size=0",), "max-size must be a positive number"),
        ("", ("max-file=0",), "max-file cannot be less than 1"),
        ("", ("max-file=x",), 'strconv.Atoi: parsing "x": invalid syntax'),
        ("", ("compress=maybe",), 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        ("", ("compress=true",), "compress cannot be true when max-file is less than 2 or max-size is not set"),
        ("", ("tag={{.Foo}}",), "invalid log tag {{.Foo}}: unknown field {{.Foo}}"),
        ("", ("tag={{.Name",), "invalid log tag {{.Name: unknown field {{.Name}}"),
        ("", ("labels-regex=(",), "error parsing regexp: missing ), unterminated subpattern at position 0: `(`"),
    ],
)
def test_refused(driver: str, opts: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(driver, tuple(option(text) for text in opts))
    assert caught.value.message == message


@pytest.mark.parametrize("driver", ["", "json-file", "local", "journald", "none"])
def test_taken(driver: str) -> None:
    check(driver, ())
    if driver != "none":
        check(driver, (("mode", "non-blocking"), ("max-buffer-size", "4m"), ("labels", "a,b"), ("env", "")))


def test_json_file() -> None:
    found = settings(record("", "max-size=10m", "max-file=3", "compress=true", "mode=non-blocking"), "/dir")
    assert found == {
        "driver": "json-file",
        "path": f"/dir/{ID}-json.log",
        "buffer": 1 << 20,
        "rotation": {"max_size": 10_000_000, "max_files": 3, "compress": True},
    }


def test_attributes_are_chosen_labels_and_variables() -> None:
    given = record(
        "json-file",
        "labels=a,none",
        "labels-regex=^b",
        "env=X",
        "env-regex=Y$",
        "tag={{.Name}}/{{.ImageName}}/{{.ID}}/{{.ImageID}}-{{.DaemonName}}",
        labels=(("a", "1"), ("b1", "2"), ("cb", "3")),
        env=("X=x", "MY=y", "Z=z", "bare"),
    )
    found = settings(given, "/dir")
    assert found is not None
    assert found["attributes"] == {
        "a": "1",
        "b1": "2",
        "X": "x",
        "MY": "y",
        "tag": "web/busybox/0123456789ab/dddddddddddd-wherry",
    }


def test_local_has_dockers_defaults() -> None:
    assert settings(record("local"), "/dir") == {
        "driver": "local",
        "path": "/dir/local-logs/container.log",
        "rotation": {"max_size": 20 * 1024 * 1024, "max_files": 5, "compress": True},
    }


def test_journald_has_dockers_fields() -> None:
    found = settings(
        record("journald", "labels=com.example/a,_x", labels=(("com.example/a", "1"), ("_x", "2"))), "/dir"
    )
    assert found is not None
    assert found["fields"] == {
        "CONTAINER_ID": "0123456789ab",
        "CONTAINER_ID_FULL": ID,
        "CONTAINER_NAME": "web",
        "CONTAINER_TAG": "0123456789ab",
        "IMAGE_NAME": "busybox",
        "SYSLOG_IDENTIFIER": "0123456789ab",
        "COM_EXAMPLE_A": "1",
        "X": "2",
    }


def test_none() -> None:
    assert settings(record("none"), "/dir") is None
    assert path("/dir", ID, "none") == ""


def test_names_and_tags() -> None:
    assert journal_name("__a.b-C9é") == "A_B_C9_"
    assert tag("plain", {}) == "plain"
    assert tag("{{ .Name }}-{{.ID}}", {"Name": "n", "ID": "i"}) == "n-i"


def test_what_has_a_file_has_a_format() -> None:
    from wherry.container.logging import DRIVERS
    from wherry.monitor.log_records import FORMATS

    assert {driver for driver in DRIVERS if path("/dir", ID, driver)} == set(FORMATS)
