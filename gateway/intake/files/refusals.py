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
    BAD_MESSAGE = auto()


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
    "name-twin": Text(
        _P,
        "Er is al een bestand met vrijwel dezelfde naam (alleen hoofdletters of schrijfwijze verschillen); kies een andere naam.",
        "There is a file of almost the same name (only case or spelling of letters differ); choose another one.",
    ),
    "name-reserved": Text(
        _F,
        'Deze naam kan niet op elk systeem bestaan (apparaatnaam of een van de tekens < > : " | ? *).',
        "This name can't exist on every system (a device's name, or one of the characters < > : \" | ? *).",
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
    # requests
    "bad-handle": Text(_F, "Dit bestand is niet (meer) open.", "This file is not open (any more).", audited=False),
    "bad-message": Text(Status.BAD_MESSAGE, "Deze aanvraag is geen geldig SFTP.", "This request is no valid SFTP."),
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
    "too-far-ahead": Text(
        _F,
        "De upload slaat te veel over; lever de delen op volgorde aan.",
        "The upload leaves out too much; send its parts in order.",
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
    "day-files": Text(
        _F,
        "Het maximum aantal bestanden voor vandaag (UTC) is bereikt; lever morgen verder aan.",
        "The number of files allowed for today (UTC) is reached; go on tomorrow.",
    ),
    "day-bytes": Text(
        _F,
        "De hoeveelheid die u vandaag (UTC) mag aanleveren is bereikt; ga morgen verder, wat ontvangen is blijft staan.",
        "The amount you may deliver today (UTC) is reached; go on tomorrow, what was received is kept.",
    ),
    "store-files": Text(
        _F,
        "Het maximum aantal bestanden dat wij van u bewaren is bereikt; er komt ruimte zodra eerdere leveringen zijn verwerkt en gewist.",
        "The number of files we keep of you is reached; there is room again once earlier deliveries were processed and erased.",
    ),
    "store-bytes": Text(
        _F,
        "De hoeveelheid die wij van u bewaren is bereikt; er komt ruimte zodra eerdere leveringen zijn verwerkt en gewist.",
        "The amount we keep of you is reached; there is room again once earlier deliveries were processed and erased.",
    ),
    "ledger-behind": Text(
        _F,
        "De administratie loopt achter; nieuwe bestanden worden even niet aangenomen. Probeer het over enkele minuten opnieuw.",
        "The records lag behind; new files are not taken for the moment. Try again in a few minutes.",
    ),
    "erasure-overdue": Text(
        _F,
        "Het wissen van eerdere leveringen is te laat; tot dat is gebeurd nemen wij geen nieuwe bestanden aan. Probeer het later opnieuw.",
        "The erasure of earlier deliveries is late; until it is done no new files are taken. Try again later.",
    ),
    "clock-wrong": Text(
        _F,
        "De klok van ons systeem klopt niet; tot dat is hersteld nemen wij geen nieuwe bestanden aan. Probeer het later opnieuw.",
        "Our system's clock is wrong; until that is mended no new files are taken. Try again later.",
    ),
    "disk-full": Text(_F, "De opslag is vol; probeer het later opnieuw.", "Storage is full; try again later."),
    # sessions
    "too-many-attempts": Text(_F, "Te veel pogingen om in te loggen.", "Too many attempts to log in."),
    "login-withdrawn": Text(
        _F, "Deze sleutel of dit account is ingetrokken of verlopen.", "This key or account was withdrawn or has expired."
    ),
    "too-many-sessions": Text(_F, "Te veel verbindingen tegelijk.", "Too many connections at once."),
    "too-many-sessions-in-all": Text(
        _F, "Het is nu te druk; probeer het over enkele minuten opnieuw.", "It is too busy now; try again in a few minutes."
    ),
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
