"""The bytes of nf_tables' messages; the kernel's and nft's reading of them is in tests/kernel."""

from __future__ import annotations

from struct import unpack_from

from wherry.linux import nftables_rules as rule
from wherry.linux.netlink import attributes, each, string
from wherry.linux.nftables import IFNAME, INET_PROTO, INET_SERVICE, IPV4_ADDR, VERDICT, Batch, Element


def messages(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, number, body after the family)."""
    found = []
    while data:
        length, kind, flags, number = unpack_from("=IHHI", data)
        found.append((kind, flags, number, data[20:length]))
        data = data[(length + 3) & ~3 :]
    return found


def test_a_batch_is_an_envelope_and_asks_for_one_answer() -> None:
    batch = Batch("wherry")
    batch.add_table()
    batch.add_chain("to-x")
    found = messages(batch.encode(7))
    assert [(kind, number) for kind, _flags, number, _body in found] == [
        (16, 7), (0xA00, 8), (0xA03, 9), (17, 10),
    ]  # fmt: skip
    assert [bool(flags & 4) for _kind, flags, _number, _body in found] == [False, False, True, False]
    assert batch.encode()[16:20] == b"\0\0\0\x0a"  # no family, version 0, subsystem 10
    assert string(attributes(found[2][3])[3]) == "to-x"


def test_types_of_keys_and_values() -> None:
    batch = Batch("wherry")
    batch.add_map("m", [IPV4_ADDR, INET_PROTO, INET_SERVICE], [IPV4_ADDR, INET_SERVICE])
    batch.add_map("v", [IFNAME], [VERDICT])
    one, two = (attributes(body) for kind, _flags, _number, body in messages(batch.encode()) if kind == 0xA09)
    assert unpack_from(">I", one[4])[0] == (7 << 6 | 12) << 6 | 13
    assert unpack_from(">I", one[5])[0] == 12
    assert (unpack_from(">I", one[6])[0], unpack_from(">I", one[7])[0]) == (7 << 6 | 13, 8)
    assert (unpack_from(">I", two[6])[0], 7 in two) == (0xFFFFFF00, False)
    assert one[10] != two[10], "sets of one transaction have numbers of their own"


def test_many_elements_are_several_messages() -> None:
    batch = Batch("wherry")
    batch.add_elements("m", [Element(number.to_bytes(4, "big"), bytes(8)) for number in range(1000)])
    bodies = [attributes(body) for kind, _flags, _number, body in messages(batch.encode()) if kind == 0xA0C]
    assert sum(len(list(each(body[3]))) for body in bodies) == 1000
    assert len(bodies) == len(batch) == 4


def test_deleting_needs_the_key_alone() -> None:
    batch = Batch("wherry")
    batch.delete_elements("m", [Element(b"abcd", b"value")])
    ((_kind, _flags, _number, body),) = [one for one in messages(batch.encode()) if one[0] == 0xA0E]
    (element,) = each(attributes(body)[3])
    assert attributes(element).keys() == {1}


def test_expressions_carry_their_name_and_data() -> None:
    outer = attributes(rule.dnat(2, 0, 1))[1]
    found = attributes(outer)
    assert string(found[1]) == "nat"
    values = {kind: unpack_from(">I", value)[0] for kind, value in attributes(found[2]).items()}
    assert values == {1: 1, 2: 2, 3: 8, 5: 9, 7: 2}
