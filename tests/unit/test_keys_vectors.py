"""The algorithms are the published ones, and what was made before is made the same way today."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.cmac import CMAC

from keys import chunked, sealing
from keys.blocks import double
from keys.derivation import derive
from keys.drop_cipher import DropCipher
from keys.mac import cmac_blocks
from keys.pseudonyms import PseudonymDomain, check_character
from keys.secret import Secret
from tests.support.vectors import load_vectors

CMAC_VECTORS = load_vectors("cmac_aes256_sp800_38b")
SIV_VECTORS = load_vectors("siv_rfc5297")
PSEUDONYM_VECTORS = load_vectors("pseudonyms")


def unhex(document: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(document[name])


@pytest.mark.parametrize("case", CMAC_VECTORS["cases"])
def test_the_library_has_the_cmac_of_sp_800_38b(case: dict[str, str]) -> None:
    mac = CMAC(algorithms.AES(unhex(CMAC_VECTORS, "key")))
    mac.update(unhex(case, "message"))
    assert mac.finalize().hex() == case["mac"]


def test_cmac_of_one_block_is_that_of_sp_800_38b() -> None:
    (case,) = [case for case in CMAC_VECTORS["cases"] if len(case["message"]) == 32]
    block = np.frombuffer(unhex(case, "message"), dtype=np.uint8).reshape(1, 16)
    assert cmac_blocks(Secret(unhex(CMAC_VECTORS, "key")), block).tobytes().hex() == case["mac"]


def test_the_first_subkey_is_that_of_sp_800_38b() -> None:
    encryptor = Cipher(algorithms.AES(unhex(CMAC_VECTORS, "key")), modes.ECB()).encryptor()
    assert double(encryptor.update(bytes(16))).hex() == CMAC_VECTORS["k1"]


def test_doubling_is_that_of_rfc_5297() -> None:
    assert double(unhex(SIV_VECTORS, "cmac_of_zero")).hex() == SIV_VECTORS["doubled"]
    assert double(b"\x80" + bytes(15)) == bytes(15) + b"\x87"


@pytest.mark.parametrize("case", SIV_VECTORS["cases"], ids=lambda case: case["name"])
def test_the_library_has_the_siv_of_rfc_5297(case: dict[str, Any]) -> None:
    associated = [bytes.fromhex(part) for part in case["associated"]]
    assert AESSIV(unhex(case, "key")).encrypt(unhex(case, "plain"), associated).hex() == case["sealed"]


@pytest.mark.parametrize("case", load_vectors("hkdf_sha256_rfc5869")["cases"], ids=lambda case: case["name"])
def test_derivation_is_hkdf_of_rfc_5869(case: dict[str, str]) -> None:
    wanted = unhex(case, "derived")
    assert derive(Secret(unhex(case, "root")), unhex(case, "info"), len(wanted), unhex(case, "salt")).reveal() == wanted


def test_the_check_character_is_that_of_iso_7064_mod_37_36() -> None:
    # the example of the Global Release Identifier standard, which uses the same system: A1-2425G-ABC1234002-M
    assert check_character("a12425gabc1234002") == "m"


@pytest.mark.parametrize("case", PSEUDONYM_VECTORS["cases"])
def test_pseudonyms_stay_what_they_were(case: dict[str, Any]) -> None:
    domain = PseudonymDomain(Secret(unhex(PSEUDONYM_VECTORS, "root")), case["domain"], case["kind"], case["version"])
    assert domain.pseudonym(case["value"]) == case["pseudonym"]
    assert domain.many([case["value"]]) == [case["pseudonym"]]
    assert domain.reveal(case["pseudonym"]) == case["value"]


def test_what_was_sealed_before_still_opens() -> None:
    vector = load_vectors("sealed_age")
    identity = Secret(vector["identity"].encode())
    assert sealing.unseal(unhex(vector, "sealed"), identity).reveal() == unhex(vector, "plain")
    assert sealing.public_half(identity) == vector["public"]


def test_drops_are_stored_as_they_were() -> None:
    vector = load_vectors("drop_cipher")
    cipher = DropCipher(Secret(unhex(vector, "key")))
    assert cipher.transform(vector["offset"], unhex(vector, "plain")).hex() == vector["stored"]


def test_the_drop_cipher_is_aes_of_the_block_number() -> None:
    vector = load_vectors("drop_cipher")
    encryptor = Cipher(algorithms.AES(unhex(vector, "key")), modes.ECB()).encryptor()
    assert encryptor.update(b"".join(block.to_bytes(16, "big") for block in range(3))).hex() == vector["stored"]


def test_chunked_files_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = load_vectors("chunked")
    plain = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(2200))
    assert (len(plain), hashlib.sha256(plain).hexdigest()) == (vector["plain_bytes"], vector["plain_sha256"])
    monkeypatch.setattr("secrets.token_bytes", lambda size: unhex(vector, "salt")[:size])
    target = io.BytesIO()
    assert chunked.encrypt(Secret(unhex(vector, "key")), vector["file_id"], io.BytesIO(plain), target) == len(plain)
    made = target.getvalue()
    assert (len(made), made[-16:].hex()) == (vector["file_bytes"], vector["last_tag"])
    assert hashlib.sha256(made).hexdigest() == vector["file_sha256"]
