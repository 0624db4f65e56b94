"""Fields at rest: what is sealed opens in its own place, with a key that is still there, and nowhere else."""

from __future__ import annotations

import base64
import os
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora.errors import ConfigError
from sora.store.crypto import Keyring, UnreadableError


def key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


OLD, NEW = key("old"), key("new")
RING = Keyring([OLD])


@dataclass(frozen=True)
class Place:
    table: str
    column: str
    row: str
    owner: str


names = st.text(max_size=20)
places = st.builds(Place, names, names, names, names)


@given(st.binary(max_size=2000), places)
def test_what_is_sealed_opens_in_its_place(plain: bytes, place: Place) -> None:
    sealed = RING.seal(plain, **asdict(place))

    assert RING.open(sealed, **asdict(place)) == plain
    assert len(plain) < 8 or plain not in sealed


@given(places, places)
def test_a_moved_field_does_not_open(place: Place, other: Place) -> None:
    sealed = RING.seal(b"a diary", **asdict(place))

    if place != other:
        with pytest.raises(UnreadableError):
            RING.open(sealed, **asdict(other))


def test_the_parts_of_a_place_are_not_run_together() -> None:
    sealed = RING.seal(b"a diary", table="ab", column="c", row="1", owner="o")

    with pytest.raises(UnreadableError):
        RING.open(sealed, table="a", column="bc", row="1", owner="o")


@given(st.data())
def test_an_altered_or_cut_field_does_not_open(data: st.DataObject) -> None:
    place = asdict(Place("reviews", "body", "1", "o"))
    sealed = bytearray(RING.seal(b"a diary", **place))

    at = data.draw(st.integers(0, len(sealed) - 1))
    if data.draw(st.booleans()):
        sealed[at] ^= data.draw(st.integers(1, 255))
    else:
        del sealed[at:]

    with pytest.raises(UnreadableError):
        RING.open(bytes(sealed), **place)


@given(st.binary(max_size=100))
def test_nothing_made_up_opens(sealed: bytes) -> None:
    with pytest.raises(UnreadableError):
        RING.open(sealed, table="t", column="c", row="r", owner="o")


def test_the_same_plain_text_is_never_sealed_alike() -> None:
    place = asdict(Place("reviews", "body", "1", "o"))

    assert RING.seal(b"a diary", **place) != RING.seal(b"a diary", **place)


def test_rotation_reads_with_every_key_and_writes_with_the_first() -> None:
    place = asdict(Place("reviews", "body", "1", "o"))
    written_before = RING.seal(b"a diary", **place)
    rotating = Keyring([NEW, OLD])

    assert rotating.open(written_before, **place) == b"a diary"
    written_after = rotating.seal(b"a diary", **place)
    assert Keyring([NEW]).open(written_after, **place) == b"a diary"
    with pytest.raises(UnreadableError):
        Keyring([NEW]).open(written_before, **place)


@given(st.binary(), st.binary())
def test_a_mac_tells_equal_from_different(data: bytes, other: bytes) -> None:
    mac = RING.mac(data)

    assert RING.same(mac, data)
    assert RING.same(mac, other) is (data == other)
    assert Keyring([NEW, OLD]).same(mac, data)
    assert not Keyring([NEW]).same(mac, data)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["k1"],
        ["k1:"],
        [":" + base64.b64encode(bytes(32)).decode()],
        ["k1:" + base64.b64encode(bytes(16)).decode()],
        ["k1:not base64!"],
        [OLD, OLD],
    ],
)
def test_a_key_that_cannot_be_used_stops_the_start(keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="SORA_ENCRYPTION_KEYS") as error:
        Keyring(keys)
    assert OLD.partition(":")[2] not in str(error.value)
