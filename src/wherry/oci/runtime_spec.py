"""The shape of the OCI runtime spec 1.2, for type checkers; at run time a spec is a plain dictionary.

Only what Wherry writes or reads (https://github.com/opencontainers/runtime-spec, config.md and config-linux.md).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NotRequired, TypedDict

    class User(TypedDict):
        uid: int
        gid: int
        umask: NotRequired[int]
        additionalGids: NotRequired[list[int]]

    class Capabilities(TypedDict, total=False):
        bounding: list[str]
        effective: list[str]
        permitted: list[str]
        inheritable: list[str]
        ambient: list[str]

    class Rlimit(TypedDict):
        type: str
        soft: int
        hard: int

    class ConsoleSize(TypedDict):
        height: int
        width: int

    class Process(TypedDict):
        args: list[str]
        cwd: str
        user: User
        terminal: NotRequired[bool]
        consoleSize: NotRequired[ConsoleSize]
        env: NotRequired[list[str]]
        capabilities: NotRequired[Capabilities]
        rlimits: NotRequired[list[Rlimit]]
        noNewPrivileges: NotRequired[bool]
        oomScoreAdj: NotRequired[int]
        apparmorProfile: NotRequired[str]
        selinuxLabel: NotRequired[str]

    class Root(TypedDict):
        path: str
        readonly: NotRequired[bool]

    class IdMapping(TypedDict):
        containerID: int
        hostID: int
        size: int

    class MountEntry(TypedDict):
        destination: str
        type: NotRequired[str]
        source: NotRequired[str]
        options: NotRequired[list[str]]
        uidMappings: NotRequired[list[IdMapping]]
        gidMappings: NotRequired[list[IdMapping]]

    class Namespace(TypedDict):
        type: str
        path: NotRequired[str]

    class Device(TypedDict):
        type: str
        path: str
        major: NotRequired[int]
        minor: NotRequired[int]
        fileMode: NotRequired[int]
        uid: NotRequired[int]
        gid: NotRequired[int]

    class DeviceRule(TypedDict):
        allow: bool
        type: NotRequired[str]
        major: NotRequired[int]
        minor: NotRequired[int]
        access: NotRequired[str]

    class Memory(TypedDict, total=False):
        limit: int
        reservation: int
        swap: int
        swappiness: int
        disableOOMKiller: bool

    class Cpu(TypedDict, total=False):
        shares: int
        quota: int
        period: int
        realtimeRuntime: int
        realtimePeriod: int
        cpus: str
        mems: str

    class Pids(TypedDict):
        limit: int

    class Resources(TypedDict, total=False):
        devices: list[DeviceRule]
        memory: Memory
        cpu: Cpu
        pids: Pids
        blockIO: dict[str, Any]
        hugepageLimits: list[dict[str, Any]]
        network: dict[str, Any]
        unified: dict[str, str]

    class Linux(TypedDict, total=False):
        namespaces: list[Namespace]
        uidMappings: list[IdMapping]
        gidMappings: list[IdMapping]
        devices: list[Device]
        cgroupsPath: str
        resources: Resources
        rootfsPropagation: str
        seccomp: dict[str, Any]
        sysctl: dict[str, str]
        maskedPaths: list[str]
        readonlyPaths: list[str]
        mountLabel: str

    class Hook(TypedDict):
        path: str
        args: NotRequired[list[str]]
        env: NotRequired[list[str]]
        timeout: NotRequired[int]

    class Spec(TypedDict):
        ociVersion: str
        process: NotRequired[Process]
        root: NotRequired[Root]
        hostname: NotRequired[str]
        domainname: NotRequired[str]
        mounts: NotRequired[list[MountEntry]]
        hooks: NotRequired[dict[str, list[Hook]]]
        annotations: NotRequired[dict[str, str]]
        linux: NotRequired[Linux]

else:
    Spec = dict
