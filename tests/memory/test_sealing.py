"""A sealed record opens in its own place, under its own key, and nowhere else."""

import hashlib
import hmac
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from rerankd.errors import SealError
from rerankd.memory.sealing import (
    MOST_SEALS,
    DataKey,
    Record,
    Sealer,
    TamperedError,
    derive,
    encode_fields,
    open_record,
    seal_record,
)

KEY = DataKey(b"k" * 16, b"s" * 32)
SUBJECT, ROW = UUID(int=1), UUID(int=2)
PLACE = {"table": "memory_chunks", "column": "text_cipher", "row": ROW}


def sealer(key: DataKey = KEY, subject: UUID = SUBJECT, seals: int = 0) -> Sealer:
    return Sealer(key, subject, seals=seals)


FEFF = "feffe9928665731c6d6a8f9467308308" * 2
PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
)
CIPHER = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
)


@pytest.mark.parametrize(
    ("key", "nonce", "plain", "aad", "cipher", "tag"),
    [
        ("00" * 32, "00" * 12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (
            "00" * 32,
            "00" * 12,
            "00" * 16,
            "",
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (FEFF, "cafebabefacedbaddecaf888", PLAIN, "", CIPHER, "b094dac5d93471bdec1a502270e3cc6c"),
        (
            FEFF,
            "cafebabefacedbaddecaf888",
            PLAIN[:120],
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            CIPHER[:120],
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ],
    ids=["13", "14", "15", "16"],
)
def test_the_cipher_gives_the_published_results(
    key: str, nonce: str, plain: str, aad: str, cipher: str, tag: str
) -> None:
    """Test cases 13 to 16 of McGrew and Viega, "The Galois/Counter Mode of Operation": AES-256."""
    sealed = AESGCM(bytes.fromhex(key)).encrypt(
        bytes.fromhex(nonce), bytes.fromhex(plain), bytes.fromhex(aad)
    )
    assert sealed.hex() == cipher + tag


def test_a_record_is_that_cipher_over_the_documented_additional_data() -> None:
    def field(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    nonce = bytes(range(12))
    sealed = seal_record(KEY.secret, KEY.id, b"plain", b"table", b"column", nonce=nonce)
    aad = field(b"\x01") + field(b"table") + field(b"column") + field(KEY.id)
    assert sealed == b"\x01\x10" + KEY.id + nonce + AESGCM(KEY.secret).encrypt(nonce, b"plain", aad)


def test_a_derived_key_is_hkdf_with_sha_256() -> None:
    """RFC 5869 with an empty salt, written out."""
    extracted = hmac.digest(b"\0" * 32, b"secret", hashlib.sha256)
    info = encode_fields(b"rerankd", b"labels", b"context")
    assert derive(b"secret", "labels", b"context") == hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def test_keys_of_different_purposes_and_users_differ() -> None:
    keys = {
        sealer().derive("labels"),
        sealer().derive("other"),
        sealer(subject=uuid4()).derive("labels"),
        sealer(DataKey.new()).derive("labels"),
    }
    assert len(keys) == 4


@given(plain=st.binary(max_size=300))
def test_what_was_sealed_opens_again(plain: bytes) -> None:
    sealed = sealer().seal(plain, **PLACE)
    assert sealer().open(sealed, **PLACE) == plain
    assert len(sealed) == 2 + 16 + 12 + len(plain) + 16


def test_no_two_records_share_a_nonce() -> None:
    one = sealer()
    assert len({Record.parse(one.seal(b"same", **PLACE)).nonce for _ in range(1_000)}) == 1_000


@given(data=st.data(), plain=st.binary(max_size=60))
def test_a_record_with_any_changed_byte_does_not_open(data: st.DataObject, plain: bytes) -> None:
    forged = bytearray(sealer().seal(plain, **PLACE))
    at = data.draw(st.integers(0, len(forged) - 1))
    forged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TamperedError):
        sealer().open(bytes(forged), **PLACE)


@given(data=st.data())
def test_a_record_that_was_cut_or_lengthened_does_not_open(data: st.DataObject) -> None:
    sealed = sealer().seal(b"some text", **PLACE)
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    longer = sealed + data.draw(st.binary(min_size=1, max_size=40))
    for forged in (cut, longer):
        with pytest.raises(TamperedError):
            sealer().open(forged, **PLACE)


@given(forged=st.binary(max_size=200))
def test_bytes_that_were_never_sealed_do_not_open(forged: bytes) -> None:
    with pytest.raises(TamperedError):
        sealer().open(forged, **PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"table": "memory_users"},
        {"column": "meta_cipher"},
        {"row": UUID(int=3)},
        # the same letters with the border between two fields elsewhere
        {"table": "memory_chunkstext", "column": "_cipher"},
    ],
    ids=["table", "column", "row", "border"],
)
def test_a_record_does_not_open_in_another_place(elsewhere: dict[str, object]) -> None:
    sealed = sealer().seal(b"text", **PLACE)
    with pytest.raises(TamperedError):
        sealer().open(sealed, **(PLACE | elsewhere))


def test_a_record_does_not_open_for_another_user_even_under_the_same_key() -> None:
    sealed = sealer().seal(b"text", **PLACE)
    with pytest.raises(TamperedError):
        sealer(subject=UUID(int=9)).open(sealed, **PLACE)


def test_the_key_id_alone_decides_which_key_is_tried() -> None:
    """Never trial decryption: the right secret under another id is refused, and so is a swapped id."""
    sealed = sealer().seal(b"text", **PLACE)
    renamed = DataKey(b"o" * 16, KEY.secret)
    with pytest.raises(TamperedError, match="another key"):
        sealer(renamed).open(sealed, **PLACE)
    swapped = sealed[:2] + renamed.id + sealed[18:]
    with pytest.raises(TamperedError, match="changed or moved"):
        sealer(renamed).open(swapped, **PLACE)
    with pytest.raises(TamperedError, match="changed or moved"):
        sealer(DataKey(KEY.id, b"t" * 32)).open(sealed, **PLACE)


def test_a_record_of_another_version_is_refused_by_its_number() -> None:
    sealed = sealer().seal(b"text", **PLACE)
    with pytest.raises(TamperedError, match="version 2"):
        sealer().open(b"\x02" + sealed[1:], **PLACE)


def test_a_key_stops_before_it_has_sealed_two_to_the_31() -> None:
    tired = sealer(seals=MOST_SEALS - 3)
    tired.seal(b"the last but one", **PLACE)
    tired.seal(b"the last", **PLACE)
    with pytest.raises(SealError, match=r"2\^31"):
        tired.seal(b"one too many", **PLACE)
    assert tired.sealed == 2


def test_a_data_key_survives_being_written_and_read() -> None:
    key = DataKey.new()
    assert DataKey.parse(bytes(key)) == key
    with pytest.raises(SealError, match="48 bytes"):
        DataKey.parse(bytes(key)[:-1])


def test_a_key_is_not_shown() -> None:
    assert "sss" not in repr(KEY)


@pytest.mark.parametrize("key_id", [b"", b"x" * 256], ids=["empty", "long"])
def test_a_key_id_that_the_record_cannot_hold_is_refused(key_id: bytes) -> None:
    with pytest.raises(SealError, match="key id"):
        seal_record(KEY.secret, key_id, b"plain")


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(SealError, match="32 bytes"):
        open_record(b"short", KEY.id, b"")


@given(one=st.lists(st.binary(max_size=6), max_size=4), other=st.lists(st.binary(max_size=6), max_size=4))
def test_different_fields_never_give_the_same_additional_data(one: list[bytes], other: list[bytes]) -> None:
    assert (encode_fields(*one) == encode_fields(*other)) == (one == other)


@given(data=st.data())
def test_a_whole_column_opens_as_its_records_do_one_by_one(data: st.DataObject) -> None:
    one = sealer()
    rows = [UUID(int=number) for number in range(8)]
    records = [
        (row, one.seal(bytes([row.int]), table="memory_chunks", column="text_cipher", row=row))
        for row in rows
    ]
    at, byte = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 46))
    forged = bytearray(records[at][1])
    forged[byte] ^= data.draw(st.integers(1, 255))
    records[at] = rows[at], bytes(forged)
    swapped = data.draw(st.integers(0, 6))
    records[swapped], records[swapped + 1] = (
        (records[swapped][0], records[swapped + 1][1]),
        (records[swapped + 1][0], records[swapped][1]),
    )
    cut = data.draw(st.integers(0, 7))
    records[cut] = records[cut][0], records[cut][1][: data.draw(st.integers(0, 46))]

    def opened(row: UUID, record: bytes) -> bytes | None:
        try:
            return one.open(record, table="memory_chunks", column="text_cipher", row=row)
        except TamperedError:
            return None

    whole = list(one.open_column(records, table="memory_chunks", column="text_cipher"))
    assert whole == [opened(*record) for record in records]
    assert whole.count(None) >= 1
