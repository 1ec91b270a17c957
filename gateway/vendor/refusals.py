"""What the vendor's side refuses, in both languages side by side. An error is English, as all of ours, and has its Dutch words with it."""

from dataclasses import dataclass

from policies.errors import NotFound, Refused, SluisError, Unsound, WrongUsage


@dataclass(frozen=True)
class Text:
    """A refusal: what is wrong and what to do, with places for facts; never a value out of a file."""

    kind: type[SluisError]
    dutch: str
    dutch_hint: str
    english: str
    english_hint: str


def refusal(code: str, **facts: object) -> SluisError:
    """The error to raise; KeyError for a code that is not in CATALOGUE."""
    text = CATALOGUE[code]
    error = text.kind(code, text.english.format(**facts), text.english_hint.format(**facts))
    error.dutch = (text.dutch.format(**facts), text.dutch_hint.format(**facts))
    return error


#: `other_side` and `introduce` are words of the command that connects: that may be an operator's, to another server
CATALOGUE: dict[str, Text] = {
    # ---------------------------------------------------------------- files
    "no-file": Text(
        NotFound,
        "{path} kan niet gelezen worden.",
        "Noem een bestand dat er is.",
        "{path} can't be read.",
        "Name a file that is there.",
    ),
    "already-encrypted": Text(
        Refused,
        "{name} is versleuteld: alleen Sluis kan het lezen.",
        "Controleer het bestand voordat u het versleutelt.",
        "{name} is encrypted: only the gateway can read it.",
        "Check the file before it is encrypted.",
    ),
    "file-changed": Text(
        Refused,
        "{name} veranderde terwijl het versleuteld werd.",
        "Verstuur het als het af is.",
        "{name} changed while it was encrypted.",
        "Send it once it is complete.",
    ),
    "outbox-unwritable": Text(
        Refused,
        "In {outbox} kan niets klaargezet worden om te versturen.",
        "Maak er ruimte, of noem een andere map met --outbox.",
        "Nothing can be prepared for sending in {outbox}.",
        "Make room there, or name another folder with --outbox.",
    ),
    "file-exists": Text(
        Refused,
        "In {folder} staat een van de bestanden al.",
        "Noem een lege map.",
        "{folder} holds one of the files already.",
        "Name an empty folder.",
    ),
    "folder-unwritable": Text(
        Refused,
        "In {folder} kan niet geschreven worden.",
        "Noem een andere map.",
        "{folder} can't be written.",
        "Name another folder.",
    ),
    "not-fit": Text(
        Refused,
        "Sluis zou {count} van de bestanden weigeren: er is niets verstuurd.",
        "Verbeter wat er van gezegd is.",
        "The gateway would refuse {count} of the files: nothing was sent.",
        "Mend what is said of them.",
    ),
    "wrong-folder": Text(
        Refused,
        "{name} hoort in {folder}/.",
        "Laat --folder weg: de inhoud zegt waar het heen gaat.",
        "{name} belongs in {folder}/.",
        "Leave --folder out: the content says where it goes.",
    ),
    "rules-not-understood": Text(
        Refused,
        "Dit programma kent niet alles wat de regels van Sluis zeggen.",
        "Neem een nieuwere versie, of verstuur met --no-check.",
        "This program does not know all that the gateway's rules say.",
        "Get a newer one, or send with --no-check.",
    ),
    # ---------------------------------------------------------------- whom to believe
    "wrong-gateway-key": Text(
        Refused,
        "Sluis op {address} ondertekent niet met de sleutel die hier bekend is.",
        "Verstuur niets, en bel de beheerder. {dutch_remedy}",
        "The gateway at {address} does not sign with the key that is known here.",
        "Send nothing, and ask its owner. {remedy}",
    ),
    "gateway-keys-forged": Text(
        Unsound,
        "De sleutels om naar te versleutelen zijn niet ondertekend door de Sluis die hier als {address} bekend is.",
        "Verstuur niets, en bel de beheerder.",
        "The keys to encrypt to are not signed by the gateway that is known as {address}.",
        "Send nothing, and ask its owner.",
    ),
    "no-signing-key": Text(
        Unsound,
        "Wat Sluis op {address} uitgeeft als de sleutel waarmee zij ondertekent, is er geen.",
        "Verstuur niets, en bel de beheerder.",
        "What the gateway at {address} hands out as the key that it signs with is none.",
        "Send nothing, and ask its owner.",
    ),
    "not-remembered": Text(
        Refused,
        "{file} kan niet geschreven worden.",
        "Geef de sleutel waarmee Sluis ondertekent zelf mee: --gateway-key.",
        "{file} can't be written.",
        "Give the gateway's signing key as its owner gave it: --gateway-key.",
    ),
    "no-known-gateways": Text(
        NotFound,
        "{file} kan niet gelezen worden.",
        "Herstel het, of geef --gateway-key mee.",
        "{file} can't be read.",
        "Mend it, or give --gateway-key.",
    ),
    "wrong-recipient-key": Text(
        Refused,
        "Sluis neemt een andere sleutel aan dan u opgaf.",
        "Vraag de beheerder of de sleutel vervangen is.",
        "The gateway takes another key than the one you gave.",
        "Ask its owner whether the key was replaced.",
    ),
    "bad-gateway-key": Text(
        Refused,
        "De publieke sleutel van Sluis is geen sleutel van age.",
        "Meld het de beheerder.",
        "The gateway's public key is not an age key.",
        "Tell the gateway's owner.",
    ),
    "receipt-differs": Text(
        Unsound,
        "Het ontvangstbewijs gaat over andere bytes dan verstuurd zijn.",
        "Verstuur niets meer, en bel de beheerder.",
        "The receipt is about other bytes than those sent.",
        "Ask the gateway's owner; send nothing more.",
    ),
    "receipt-forged": Text(
        Unsound,
        "De handtekening onder het ontvangstbewijs is niet die van Sluis.",
        "Verstuur niets meer, en bel de beheerder.",
        "The receipt is not signed by the gateway.",
        "Ask the gateway's owner; send nothing more.",
    ),
    # ---------------------------------------------------------------- the line
    "unreachable": Text(
        Refused,
        "Op {host}, poort {port}, is geen Sluis bereikbaar.",
        "Controleer het adres en uw firewall.",
        "There is no {other_side} at {host}, port {port}.",
        "Check the address and your firewall.",
    ),
    "unknown-host": Text(
        Refused,
        "De Sluis op {address} is hier niet bekend; haar sleutel is {fingerprint}.",
        "Vergelijk hem met wat de beheerder u gaf, en geef hem dan mee met --host-key.",
        "The {other_side} at {address} is not known here; its key is {fingerprint}.",
        "Compare it with what its owner told you, then {introduce}.",
    ),
    "no-known-hosts": Text(
        NotFound,
        "{file} kan niet gelezen worden.",
        "Het hoort een bestand van OpenSSH te zijn, met op elke regel een computer en haar sleutel.",
        "{file} can't be read.",
        "It should be a file of OpenSSH, with a host and its key on each line.",
    ),
    "wrong-host": Text(
        Refused,
        "De computer op dat adres heeft niet de sleutel die verwacht werd.",
        "Verstuur niets, en bel de beheerder.",
        "The {other_side} does not have the key that is expected.",
        "Send nothing, and ask its owner.",
    ),
    "login-refused": Text(
        Refused,
        "Sluis laat {user} met deze sleutel niet binnen.",
        "Heeft de beheerder uw publieke sleutel geregistreerd?",
        "The {other_side} does not let {user} in with this key.",
        "Has its owner registered your public key?",
    ),
    "no-key-file": Text(
        NotFound,
        "{path} is geen leesbaar bestand met een sleutel.",
        "Noem het bestand van uw eigen SSH-sleutel, of dat wat de beheerder u gaf.",
        "There is no key {path}.",
        "Name the file of your private SSH key, or the one that the gateway's owner gave you.",
    ),
    "key-unusable": Text(
        Refused,
        "De sleutel {path} is niet te gebruiken.",
        "Het is geen privésleutel, of de wachtwoordzin klopt niet.",
        "The key {path} can't be used.",
        "It is not a private key, or its passphrase is wrong.",
    ),
    "connection-lost": Text(
        Refused,
        "De verbinding viel {count} keer weg.",
        "Geef de opdracht nog eens: het gaat verder waar het gebleven was.",
        "The connection was lost {count} time(s).",
        "Run the command again: it goes on where it stopped.",
    ),
    "upload-differs": Text(
        Refused,
        "Sluis heeft niet alle bytes.",
        "Geef de opdracht nog eens: het gaat verder waar het gebleven was.",
        "The gateway does not have all bytes.",
        "Run the command again: it goes on where it stopped.",
    ),
    "not-at-gateway": Text(
        NotFound,
        "Sluis heeft geen {path}.",
        "Is het wel een Sluis?",
        "The gateway has no {path}.",
        "Is it a Sluis gateway?",
    ),
    "upload-gone": Text(
        NotFound,
        "Sluis heeft de upload niet meer.",
        "Geef de opdracht nog eens.",
        "The gateway no longer has the upload.",
        "Run the command again.",
    ),
    "name-taken": Text(
        Refused,
        "Sluis heeft al een bestand {name}.",
        "Geef het nieuwe bestand een andere naam.",
        "The gateway has a file {name} already.",
        "Give the new file another name.",
    ),
    "refused-by-gateway": Text(
        Refused,
        "Sluis weigert het bestand: {reason}",
        "Er is niets geleverd.",
        "The gateway refuses the file: {reason}",
        "Nothing was delivered.",
    ),
    # ---------------------------------------------------------------- how the command was given
    "bad-target": Text(
        WrongUsage,
        "Dat is niet het adres van een Sluis.",
        "Schrijf het als sftp://NAAM@ADRES:POORT.",
        "That is not the address of a gateway.",
        "Write it as sftp://NAME@HOST:PORT.",
    ),
    "password-in-target": Text(
        WrongUsage,
        "Sluis neemt geen wachtwoorden aan.",
        "Laat het wachtwoord weg; geef uw SSH-sleutel mee met --key.",
        "The gateway takes no passwords.",
        "Leave the password out; give your SSH key with --key.",
    ),
    "no-such-folder": Text(
        WrongUsage,
        "Sluis heeft zo'n map niet.",
        "Kies {folders}.",
        "The gateway has no such folder.",
        "Choose {folders}.",
    ),
    "no-such-reason": Text(
        WrongUsage,
        "Sluis kent die reden niet.",
        "Kies uit {reasons}.",
        "The gateway does not know that reason.",
        "Choose one of {reasons}.",
    ),
    "not-a-drop": Text(
        WrongUsage,
        "Dat is niet de naam van een levering.",
        "Neem hem over uit het ontvangstbewijs: hij staat daar als `drop`.",
        "That is not the name of a delivery.",
        "Take it from its receipt, where it stands as `drop`.",
    ),
}
