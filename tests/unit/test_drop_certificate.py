"""The certificate in Dutch: everything that is signed has its words, and no more is promised than is so."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import certificate
from audit.certificate import DeadKey
from gateway.drop.certificate import (
    EPOCH_LOST,
    NOTES,
    SANITISED_BY,
    VERIFICATION,
    VERIFICATION_OF_EPOCH,
    certificate_name,
    dutch,
    statements,
)
from gateway.drop.lifecycle import MAY_ERASE
from tests.support.certificates import DROP, ERASURE, RECEIVED, certified


def row(rows: list[list[str]], name: str) -> list[str]:
    (found,) = [rest for first, *rest in rows if first == name]
    return found


def texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text for item in value for text in texts(item)]


def test_the_facts_stand_there_in_dutch_time_and_in_utc(tmp_path: Path) -> None:
    said = dutch(certified(tmp_path))
    assert row(said["received"], "Levering") == [DROP] and row(said["received"], "Leverancier") == ["parnassys"]
    assert row(said["received"], "Omvang") == ["111.222.333 bytes"]
    assert said["times"] == [
        ["Ontvangen", "02-11-2026 09:15:00", "2026-11-02 08:15:00"],
        ["Gekoppeld", "04-11-2026 09:14:00", "2026-11-04 08:14:00"],
        ["Gewist", "04-11-2026 09:15:00", "2026-11-04 08:15:00"],
        ["Uiterlijk te wissen", "23-11-2026 09:15:00", "2026-11-23 08:15:00"],
    ]
    assert said["keys"] == [
        ["Leveringssleutel", DROP, "AES-256-CTR", "04-11-2026 09:15:00 (2026-11-04 08:15:00 UTC)"],
        ["Dagsleutel", "2026-11-02", "X25519", "04-11-2026 14:15:00 (2026-11-04 13:15:00 UTC)"],
    ]
    assert row(said["log"], "Vermelding") == ["nummer 300 van 310, geteld vanaf 0"]
    assert row(said["log"], "Inhoud") == ["drop.erasure-verified, door worker, 04-11-2026 09:15:00"]
    assert said["root"] in said["proof"].split("\n")
    assert said["file"] == certificate_name(DROP) == f"{DROP}.certificaat.json"


def test_summer_time_is_dutch_time(tmp_path: Path) -> None:
    summer = RECEIVED.replace(month=7)
    assert dutch(certified(tmp_path, received_at=summer))["times"][0][1] == "02-07-2026 10:15:00"


def test_it_says_why_there_is_no_digest_of_what_was_not_encrypted(tmp_path: Path) -> None:
    assert dutch(certified(tmp_path, sha256=""))["sha256"] == "niet bewaard: het bestand was niet versleuteld"


def test_every_sentence_that_is_signed_has_its_dutch(tmp_path: Path) -> None:
    """None of the English that Sluis writes is left, whoever erased and whether or not the day's key has ended."""
    constants = ("METHOD", "NO_MEDIUM", "MEDIA", "METHOD_TYPE", "BEFORE", "DESTINATION", "LOCATION", "BACKUP", "SIGNATURE")
    english = [
        *VERIFICATION,
        VERIFICATION_OF_EPOCH,
        *NOTES,
        EPOCH_LOST,
        *SANITISED_BY.values(),
        *(getattr(certificate, name) for name in constants),
    ]
    assert len(set(english)) == len(english)
    for number, (actor, lives) in enumerate((actor, lives) for actor in SANITISED_BY for lives in (True, False)):
        found = certified(tmp_path / str(number), epoch_lives=lives, sanitised_by=SANITISED_BY[actor], notes=(*NOTES, EPOCH_LOST))
        said = dutch(found)
        assert not [text for text in texts(list(said.values())) for sentence in english if sentence in text]
        assert len(said["verification"]) == len(found["verification"]) and len(said["notes"]) == len(NOTES) + 1


def test_a_sentence_of_another_version_is_shown_as_it_was_signed(tmp_path: Path) -> None:
    said = dutch(certified(tmp_path, method="Shredded.", verification=["Looked twice."], reason="melted", sanitised_by="Somebody"))
    assert (said["method"], said["verification"]) == ("Shredded.", ["Looked twice."])
    assert row(said["received"], "Afloop") == ["melted"]
    assert row(said["nist"], "Uitgevoerd door") == ["Somebody, 04-11-2026 09:15:00"]


def test_every_end_of_a_drop_has_its_words(tmp_path: Path) -> None:
    said = {str(state): row(dutch(certified(tmp_path / state, reason=state))["received"], "Afloop") for state in MAY_ERASE}
    assert all(words != [state] for state, words in said.items())
    assert "vervallen" in said["expired"][0] and said["linked"][0].startswith("gekoppeld")


def test_a_drop_that_was_never_linked_says_so(tmp_path: Path) -> None:
    assert row(dutch(certified(tmp_path, linked_at=None))["times"], "Gekoppeld") == ["niet gebeurd", "–"]


def test_as_long_as_the_days_key_lives_that_is_said_everywhere(tmp_path: Path) -> None:
    ended, living = dutch(certified(tmp_path / "a")), dutch(certified(tmp_path / "b", epoch_lives=True))
    assert living["keys"][1][3] == "bestaat nog, uiterlijk tot 24-11-2026 01:00:00"
    for text in (living["summary"], row(living["nist"], "Vertrouwelijkheid achteraf")[0]):
        assert "uiterlijk tot 24-11-2026 01:00:00" in text and "kopie" in text
    assert "vervangt een nieuw certificaat dit" in living["summary"]
    for text in (ended["summary"], row(ended["nist"], "Vertrouwelijkheid achteraf")[0]):
        assert "geen enkele overgebleven sleutel" in text and "bestaat nog" not in text
    assert len(ended["verification"]) == len(living["verification"]) + 1
    assert statements(True)[:-1] == statements(False)


def test_a_days_key_that_nobody_destroyed_is_not_said_to_be_destroyed(tmp_path: Path) -> None:
    keys = [ERASURE.keys[0], DeadKey("epoch", "2026-11-02", "X25519", None)]
    said = dutch(certified(tmp_path, keys=keys, verification=statements(False), notes=(*NOTES, EPOCH_LOST)))
    assert said["keys"][1][3] == "niet aantoonbaar" and "niet aantoonbaar vernietigd" in said["summary"]
    assert "kopie" in row(said["nist"], "Vertrouwelijkheid achteraf")[0] and "verloren" in said["notes"][-1]


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (timedelta(days=19), "Dit is op tijd: 19 dagen vóór de uiterste datum."),
        (timedelta(days=1, hours=2), "Dit is op tijd: 1 dag vóór de uiterste datum."),
        (timedelta(hours=2), "Dit is op tijd: minder dan een dag vóór de uiterste datum."),
        (timedelta(0), "Dit is op tijd: minder dan een dag vóór de uiterste datum."),
        (-timedelta(seconds=1), "Dit is na de uiterste datum."),
    ],
)
def test_whether_it_was_in_time(left: timedelta, says: str, tmp_path: Path) -> None:
    erased = RECEIVED + timedelta(days=2)
    assert dutch(certified(tmp_path, erase_before=erased + left))["margin"] == says


def test_what_is_not_known_is_not_left_empty(tmp_path: Path) -> None:
    said = dutch(certified(tmp_path, contact="", organisation="", address=""))
    assert row(said["nist"], "Contact") == row(said["nist"], "Organisatie") == ["niet opgegeven"]
