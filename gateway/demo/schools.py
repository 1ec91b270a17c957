"""The demo's schools: those of a DUO register, or a small register made up here; with sizes as in the Netherlands."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from gateway.registers.schools import DuoRegister, SchoolRow

VENDORS = ("cito", "parnassys", "esis")
#: which share of the boards works with which vendor: made up
VENDOR_SHARES = (0.4, 0.45, 0.15)
PUBLISHERS = ("cito", "iep", "boom", "diataal")
PUBLISHER_SHARES = (0.78, 0.12, 0.06, 0.04)

#: Sizes are log-normal: mean 219 pupils (1.37 million in 6,268 schools), and 17 % of the schools with 100 or fewer (domain.md).
MEDIAN_PUPILS = 180.7
SIGMA_PUPILS = 0.62
FEWEST, MOST = 12, 1_200

_PLACES = ("Sluiswijk", "Oudewaard", "Kanaaldorp", "Westerkade", "Molendam", "Lageveen", "Nieuwpolder", "Zandhoek", "Veerstad", "Duinrade")
_NAMES = (
    "De Regenboog", "Het Kompas", "De Sluis", "De Vlieger", "De Brug", "Het Baken", "De Zonnewijzer", "De Fontein", "De Wegwijzer",
    "De Vuurtoren", "De Klimboom", "Het Palet", "De Ark", "De Horizon", "De Sterrenwacht",
    "Prins Willem-Alexanderschool voor daltononderwijs",
)  # fmt: skip
_DENOMINATIONS = ("Openbaar", "Rooms-Katholiek", "Protestants-Christelijk", "Algemeen bijzonder")


@dataclass(frozen=True)
class DemoSchool:
    """A school that takes part: its size [pupils] and whose tests it uses."""

    row: SchoolRow
    pupils: int
    publisher: str
    vendor: str


def made_up_register(boards: int, rng: np.random.Generator) -> bytes:
    """A register of `boards` boards with one to six schools each, in the layout that DUO publishes now."""
    text = io.StringIO()
    columns = (
        "PROVINCIE", "BEVOEGD GEZAG NUMMER", "BEVOEGD GEZAG NAAM", "INSTELLINGSCODE", "VESTIGINGSCODE", "VESTIGINGSNAAM", "STRAATNAAM",
        "HUISNUMMER-TOEVOEGING", "POSTCODE", "PLAATSNAAM", "GEMEENTENAAM", "DENOMINATIE",
    )  # fmt: skip
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    institution = 0
    for board in range(boards):
        number = f"{90001 + board:05}"
        for _ in range(1 + (board + 2) % 6 if board else 3):
            place = _PLACES[int(rng.integers(len(_PLACES)))]
            name = _NAMES[institution % len(_NAMES)]
            code = f"{institution // 260 % 100:02}{chr(65 + institution // 10 % 26)}{chr(65 + institution % 10)}"
            postcode = f"{1000 + int(rng.integers(8999))} {chr(65 + int(rng.integers(18)))}{chr(65 + int(rng.integers(18)))}"
            writer.writerow(
                [
                    "Utrecht", number, f"Stichting Scholen {_PLACES[board % len(_PLACES)]} {board // len(_PLACES) + 1}", code, code + "00",
                    f"Basisschool {name}", "Schoolstraat", str(1 + int(rng.integers(200))), postcode, place.upper(), place.upper(),
                    _DENOMINATIONS[int(rng.integers(len(_DENOMINATIONS)))],
                ]
            )  # fmt: skip
            institution += 1
    return ("\ufeff" + text.getvalue()).encode()


def taking_part(register: DuoRegister, boards: int | None, pupils: int | None, rng: np.random.Generator) -> list[DemoSchool]:
    """The schools of `boards` boards of the register (None: all), by board; `pupils` sets each school's size (None: drawn)."""
    numbers = [board.number for board in register.boards]
    if boards is not None and boards < len(numbers):
        numbers = sorted(rng.choice(numbers, size=boards, replace=False).tolist())
    chosen = set(numbers)
    vendor_of = dict(zip(numbers, rng.choice(VENDORS, size=len(numbers), p=VENDOR_SHARES).tolist(), strict=True))
    for vendor, number in zip(VENDORS, numbers, strict=False):
        vendor_of[number] = vendor  # every vendor delivers something
    rows = sorted(
        (row for row in register.schools if row.board in chosen and row.kind in ("bo", "sbo")), key=lambda row: (row.board, row.code)
    )
    sizes = np.clip(rng.lognormal(np.log(MEDIAN_PUPILS), SIGMA_PUPILS, len(rows)), FEWEST, MOST).astype(int)
    publishers = rng.choice(PUBLISHERS, size=len(rows), p=PUBLISHER_SHARES).tolist()
    return [
        DemoSchool(row, pupils if pupils is not None else int(size), publisher, vendor_of[row.board])
        for row, size, publisher in zip(rows, sizes, publishers, strict=True)
    ]
