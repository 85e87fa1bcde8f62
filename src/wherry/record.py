"""Frozen, slotted values without the start-up cost of ``dataclasses``.

``import dataclasses`` pulls in ``inspect`` and costs more than the rest of a ``run`` put together
(docs/decisions/0003-records.md), so values are subclasses of `Record`::

    class Port(Record):
        number: int
        protocol: str = "tcp"

    Port(80).replace(protocol="udp")

Fields are the annotations, in order, base classes first.  Defaults must be immutable.  Type checkers see a
frozen dataclass (`typing.dataclass_transform`, PEP 681).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_options):
        return lambda cls: cls


_MISSING = object()


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Turns a class body's annotations into slots and its assignments into defaults."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RecordType:
        fields: list[str] = []
        defaults: dict[str, Any] = {}
        for base in bases:
            fields += getattr(base, "_fields", ())
            defaults.update(getattr(base, "_defaults", {}))
        own = [field for field in namespace.get("__annotations__", ()) if field not in fields]
        for field in namespace.get("__annotations__", ()):
            if field in namespace:
                defaults[field] = namespace.pop(field)
        namespace["__slots__"] = tuple(own)
        namespace["_fields"] = tuple(fields + own)
        namespace["_defaults"] = defaults
        return super().__new__(mcs, name, bases, namespace)


class Record(metaclass=RecordType):
    """A value: compared, hashed and shown by its fields, and never changed after it is made."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]] = ()
        _defaults: ClassVar[dict[str, Any]] = {}

    else:

        def __init__(self, *args, **kwargs):
            cls = type(self)
            fields = cls._fields
            if len(args) > len(fields):
                raise TypeError(f"{cls.__name__} takes {len(fields)} values, {len(args)} were given")
            put = object.__setattr__
            if not args:
                values = cls._defaults | kwargs
                if len(values) == len(fields):
                    try:
                        for field in fields:
                            put(self, field, values[field])
                        return
                    except KeyError:  # one is missing, another is unknown: what follows says which
                        pass
            for field, value in zip(fields, args, strict=False):
                put(self, field, value)
                if field in kwargs:
                    raise TypeError(f"{cls.__name__} got {field!r} twice")
            for field in fields[len(args) :]:
                value = kwargs.pop(field, _MISSING)
                if value is _MISSING:
                    value = cls._defaults.get(field, _MISSING)
                    if value is _MISSING:
                        raise TypeError(f"{cls.__name__} needs {field!r}")
                put(self, field, value)
            if kwargs:
                raise TypeError(f"{cls.__name__} has no field {next(iter(kwargs))!r}")

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed."""
        return type(self)(**{field: getattr(self, field) for field in self._fields} | changes)

    def as_dict(self) -> dict[str, Any]:
        """Field names and values, one level deep."""
        return {field: getattr(self, field) for field in self._fields}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed; use replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be removed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self._fields)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, field) for field in self._fields)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field) for field in self._fields)
