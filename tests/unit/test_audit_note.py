"""Signed notes, checkpoints and proofs as text: the reference example, and everything that is not one."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import merkle, note
from audit.checkpoint import Checkpoint, peek, read_checkpoint
from audit.proof import Consistency, Inclusion
from policies.errors import Unsound, WrongUsage
from tests.support.audit_logs import ORIGIN, signer
from tests.support.vectors import load_vectors

GO = load_vectors("audit/sumdb_note")
TEXT = "Aan de sluis\nvan de gegevens\n"


def code_of(note_bytes: bytes, *verifiers: note.Verifier) -> str:
    with pytest.raises(Unsound) as refusal:
        note.read(note_bytes, verifiers or [signer().verifier])
    return refusal.value.code


def test_the_example_of_the_go_implementation_verifies() -> None:
    assert note.read(GO["note"].encode(), [note.Verifier.parse(GO["vkey"])]) == GO["text"]


def test_its_private_key_signs_the_same_bytes() -> None:
    *_, text = GO["skey"].split("+", 4)
    raw = base64.b64decode(text)
    assert raw[:1] == note.ED25519
    maker = note.Signer("PeterNeumann", Ed25519PrivateKey.from_private_bytes(raw[1:]))
    assert maker.verifier.vkey == GO["vkey"]
    assert maker.sign(GO["text"]) == GO["note"].encode()


def test_a_public_key_is_read_from_its_line() -> None:
    verifier = signer().verifier
    again = note.Verifier.parse(f"  {verifier.vkey}\n")
    assert (again.name, again.raw, again.key_id) == (verifier.name, verifier.raw, verifier.key_id)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000+AQ==",
        GO["vkey"].replace("c74f20a3", "c74f20a4"),
        GO["vkey"].replace("PeterNeumann", "Peter Neumann"),
        GO["vkey"].replace("PeterNeumann", ""),
        GO["vkey"].replace("+AR", "+Ah"),
        GO["vkey"] + "A",
        GO["skey"],
    ],
)
def test_other_lines_are_no_public_key(vkey: str) -> None:
    with pytest.raises(WrongUsage) as refusal:
        note.Verifier.parse(vkey)
    assert refusal.value.code == "bad-public-key"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\tb", "a\x01"])
def test_a_name_that_no_note_can_hold_is_refused(name: str) -> None:
    with pytest.raises(WrongUsage):
        signer(name)


@pytest.mark.parametrize("text", ["", "no new line", "bell\a\n", "tab\t\n"])
def test_a_text_that_no_note_can_hold_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        signer().sign(text)


def test_a_text_may_have_empty_lines() -> None:
    text = "first\n\nsecond\n\n\n"
    assert note.read(signer().sign(text), [signer().verifier]) == text


def test_any_other_byte_anywhere_is_found() -> None:
    good = signer().sign(TEXT)
    for at in range(len(good)):
        for flip in (0x01, 0x20, 0x80):
            bad = bytearray(good)
            bad[at] ^= flip
            with pytest.raises(Unsound):
                note.read(bytes(bad), [signer().verifier])


def test_any_end_cut_off_is_found() -> None:
    good = signer().sign(TEXT)
    for size in range(len(good)):
        with pytest.raises(Unsound):
            note.read(good[:size], [signer().verifier])


def test_signatures_of_strangers_are_ignored() -> None:
    good = signer().sign(TEXT)
    witness = signer("witness.example/w1", 9)
    both = good + f"{witness.signature(TEXT).line}\n".encode()
    assert note.read(both, [signer().verifier]) == TEXT
    assert note.read(both, [witness.verifier]) == TEXT
    assert note.read(both, [witness.verifier, signer().verifier]) == TEXT
    assert code_of(good, witness.verifier) == "note-unsigned"
    assert code_of(good, signer(seed=8).verifier) == "note-unsigned"  # the same name, another key


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    witness = signer("witness.example/w1", 9)
    spoiled = signer().sign(TEXT) + (witness.signature("other\n").line + "\n").encode()
    assert code_of(spoiled, signer().verifier, witness.verifier) == "note-forged"
    assert note.read(spoiled, [signer().verifier]) == TEXT


def test_a_note_has_bounds() -> None:
    line = f"{signer().signature(TEXT).line}\n"
    assert note.read(f"{TEXT}\n{line * note.MOST_SIGNATURES}".encode(), [signer().verifier]) == TEXT
    assert code_of(f"{TEXT}\n{line * (note.MOST_SIGNATURES + 1)}".encode()) == "note-malformed"
    assert code_of(b"a" * note.LARGEST + b"\n") == "note-malformed"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "- x AAAAAAAA",
        "\u2014 x",
        "\u2014 x AAAA",
        "\u2014 x+y AAAAAAAA",
        "\u2014 x A",
        "\u2014 x AAAAAAAB\u00e9",
        "\u2014 x AAAAAAA= y",
    ],
)
def test_other_lines_are_no_signature(line: str) -> None:
    assert note.parse_signature(line) is None
    assert code_of(f"{TEXT}\n{line}\n".encode()) == "note-malformed"


# ---------------------------------------------------------------- checkpoints

POINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))


def test_a_checkpoint_has_three_lines() -> None:
    assert POINT.text == f"{ORIGIN}\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert Checkpoint.parse(POINT.text) == POINT
    assert read_checkpoint(signer().sign(POINT.text), ORIGIN, [signer().verifier]) == POINT
    assert peek(signer().sign(POINT.text), ORIGIN) == POINT


def test_extension_lines_are_kept() -> None:
    point = Checkpoint(ORIGIN, 0, merkle.EMPTY, ("one", "two"))
    assert Checkpoint.parse(point.text) == point


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        POINT.text[:-1],
        POINT.text.replace("20852163", "020852163"),
        POINT.text.replace("20852163", "-1"),
        POINT.text.replace("20852163", "\u0661"),
        POINT.text.replace("AAEC", "AAE"),
        POINT.text.replace("Hh8=", "Hh9="),
        POINT.text.replace(ORIGIN, ""),
        POINT.text + "\n",
    ],
)
def test_another_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(Unsound) as refusal:
        Checkpoint.parse(text)
    assert refusal.value.code == "checkpoint-malformed"


def test_a_checkpoint_of_another_log_is_refused() -> None:
    for read in (lambda data: read_checkpoint(data, "other", [signer().verifier]), lambda data: peek(data, "other")):
        with pytest.raises(Unsound) as refusal:
            read(signer().sign(POINT.text))
        assert refusal.value.code == "checkpoint-foreign"


# ---------------------------------------------------------------- proofs

LEFT, RIGHT = merkle.leaf_hash(b"left"), merkle.leaf_hash(b"right")
TWO = Checkpoint(ORIGIN, 2, merkle.node_hash(LEFT, RIGHT))
PROOF = Inclusion(1, (LEFT,), signer().sign(TWO.text))


def test_a_proof_goes_through_its_text() -> None:
    assert Inclusion.parse(PROOF.text) == PROOF
    assert PROOF.verify(b"right", ORIGIN, [signer().verifier]) == TWO
    assert Inclusion.parse(PROOF.text.replace("index", "extra AAAA\nindex")) == PROOF


def test_a_proof_of_something_else_is_refused() -> None:
    with pytest.raises(Unsound) as refusal:
        PROOF.verify(b"left", ORIGIN, [signer().verifier])
    assert refusal.value.code == "not-included"


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROOF.text.replace("v1", "v2"),
        PROOF.text.replace("index 1", "index 01"),
        PROOF.text.replace("index 1", "number 1"),
        PROOF.text.replace("\n\n", "\n", 1).replace("\n\n", "\n"),
        PROOF.text.replace("\n\n", "\nAAAA\n\n", 1),
        PROOF.text.replace("\n\n", "\n!\n\n", 1),
        PROOF.text.replace("\n\n", "\n" + (base64.b64encode(LEFT).decode() + "\n") * 64 + "\n", 1),
        "c2sp.org/tlog-proof@v1\n\nx",
    ],
)
def test_another_text_is_no_proof(text: str) -> None:
    with pytest.raises(Unsound) as refusal:
        Inclusion.parse(text)
    assert refusal.value.code == "proof-malformed"


def test_consistency_is_of_one_log() -> None:
    one = Checkpoint(ORIGIN, 1, LEFT)
    assert Consistency(one, TWO, (RIGHT,)).holds
    assert not Consistency(Checkpoint("other", 1, LEFT), TWO, (RIGHT,)).holds
