"""What a vendor is told when the gateway says no: one table, Dutch first, English beside it.

The text travels in the SFTP status message (draft-ietf-secsh-filexfer-02 §7). It never carries a name or a value that came
from the vendor: a file name may hold anything.
"""

from dataclasses import dataclass
from enum import Enum, auto

from policies.errors import Refused


class Status(Enum):
    """Which SFTP status a refusal becomes."""

    PERMISSION = auto()
    NO_SUCH = auto()
    FAILURE = auto()
    UNSUPPORTED = auto()


@dataclass(frozen=True)
class Text:
    status: Status
    dutch: str
    english: str
    #: whether the refusal is worth an audit entry: an attempt at what is not allowed, not a mere miss
    audited: bool = True


_P, _N, _F, _U = Status.PERMISSION, Status.NO_SUCH, Status.FAILURE, Status.UNSUPPORTED

CATALOGUE: dict[str, Text] = {
    # names
    "name-not-utf8": Text(_F, "De naam is geen geldige UTF-8.", "The name is not valid UTF-8."),
    "name-control": Text(_F, "De naam bevat een stuurteken of onzichtbaar teken.", "The name has a control or invisible character."),
    "name-dots": Text(_F, "Een pad met '..' is niet toegestaan.", "A path with '..' is not allowed."),
    "name-backslash": Text(_F, "De naam bevat een backslash.", "The name has a backslash."),
    "name-leading": Text(_F, "De naam begint met een punt, streepje of spatie.", "The name starts with a dot, a hyphen or a space."),
    "name-trailing": Text(_F, "De naam eindigt op een punt of spatie.", "The name ends with a dot or a space."),
    "name-too-long": Text(_F, "De naam is langer dan 255 bytes.", "The name is longer than 255 bytes."),
    "name-number": Text(
        _F,
        "De naam bevat een getal dat een burgerservicenummer of onderwijsnummer kan zijn.",
        "The name has a number that may be a BSN or an onderwijsnummer.",
    ),
    "name-taken": Text(
        _P, "Onder deze naam is al geleverd; kies een nieuwe naam.", "A file was delivered under this name already; choose a new one."
    ),
    "name-unfinished-taken": Text(
        _F, "Er staat al een onvoltooide upload onder deze naam.", "There is an unfinished upload under this name already."
    ),
    # places
    "no-such-file": Text(_N, "Dit bestand of deze map bestaat niet.", "There is no such file or folder.", audited=False),
    "not-a-place-to-write": Text(
        _P,
        "Hier kan niet geschreven worden; lever aan in leveringen/ of bezwaren/.",
        "Nothing is written here; deliver to leveringen/ or bezwaren/.",
    ),
    "no-reading-back": Text(_P, "Geleverde bestanden kunnen niet worden teruggelezen.", "What was delivered can't be read back."),
    "not-allowed": Text(_P, "Deze handeling is hier niet toegestaan.", "This is not allowed here."),
    "is-a-folder": Text(_F, "Dit is een map.", "This is a folder.", audited=False),
    "unsupported": Text(_U, "Deze handeling wordt niet ondersteund.", "This operation is not supported."),
    # uploads
    "too-large": Text(_F, "Het bestand is groter dan toegestaan.", "The file is larger than allowed."),
    "rewritten": Text(
        _F,
        "Een al ontvangen deel kan niet met andere bytes worden overschreven; begin de upload opnieuw.",
        "A part already received can't be overwritten with other bytes; start the upload anew.",
    ),
    "write-failed": Text(
        _F,
        "Een deel van het bestand is geweigerd; er is niets geleverd.",
        "A part of the file was refused; nothing was delivered.",
        audited=False,
    ),
    "scattered": Text(_F, "De upload komt in te veel losse delen aan.", "The upload arrives in too many separate parts."),
    "has-gaps": Text(
        _F, "Het bestand is niet volledig aangekomen: er ontbreken delen.", "The file did not arrive in full: parts are missing."
    ),
    "taken-over": Text(
        _F, "Deze upload is door een nieuwere verbinding overgenomen.", "A newer connection took this upload over.", audited=False
    ),
    "not-closed": Text(
        _F,
        "De upload is nog niet afgesloten en kan niet worden hernoemd.",
        "The upload was not closed yet and can't be renamed.",
        audited=False,
    ),
    "being-delivered": Text(_F, "Dit bestand wordt juist nu verwerkt.", "This file is being received right now.", audited=False),
    "too-many-unfinished": Text(
        _F, "Er staan te veel onvoltooide uploads; maak er eerst een af.", "There are too many unfinished uploads; finish one first."
    ),
    "too-many-handles": Text(_F, "Er staan te veel bestanden tegelijk open.", "Too many files are open at once.", audited=False),
    "not-received": Text(
        _F,
        "Het bestand kon niet duurzaam worden opgeslagen en is niet geleverd; probeer het opnieuw.",
        "The file could not be stored durably and was not delivered; try again.",
    ),
    "disk-full": Text(_F, "De opslag is vol; probeer het later opnieuw.", "Storage is full; try again later."),
    # sessions
    "too-many-sessions": Text(_F, "Te veel verbindingen tegelijk.", "Too many connections at once."),
}


class IntakeRefused(Refused):
    """A refusal out of the CATALOGUE; `message` is Dutch, `hint` English."""

    def __init__(self, code: str) -> None:
        self.text = CATALOGUE[code]
        super().__init__(code, self.text.dutch, self.text.english)

    @property
    def said(self) -> str:
        """What the client shows: both languages and the code that support can look up."""
        return f"{self.text.dutch} / {self.text.english} [{self.code}]"
