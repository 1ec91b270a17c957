"""One campaign, from an empty folder to a board's opened zip. Each step is a command of the product, SFTP or HTTPS.

The calendar lies in the past but for delivery: enrolment ended two months ago, the objection window closed yesterday. What still
holds the linker back is that the schools' objection registers are not in, and the demo shows that too.
"""

import itertools
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.demo.board import Taken, take_zip
from gateway.demo.commands import Costs, Served, Sluis
from gateway.demo.exports import Round, results_of, rounds, write_export, write_objections
from gateway.demo.population import pupils_of, write_persons
from gateway.demo.schools import VENDORS, DemoSchool, made_up_register, taking_part
from gateway.registers.schools import DuoRegister, read_duo
from policies.calendar import day_of
from policies.errors import Refused

CAMPAIGN = "demo"
#: how long a step may take before the demo gives up [s]
PATIENCE = 3_600.0
#: so many drops at once are exported before they are delivered: bounds the disk that the vendors' side needs
EXPORTS_AT_ONCE = 120


@dataclass(frozen=True)
class Options:
    home: Path
    register: Path | None = None
    boards: int | None = None
    pupils: int | None = None
    seed: int = 1
    database: str = ""  # an empty PostgreSQL database; none: SQLite in the home


@dataclass
class Step:
    name: str
    said: str = ""
    seconds: float = 0.0


@dataclass
class Play:
    """The campaign under way: what the steps leave for each other. `tell` is called at a step's begin and end."""

    options: Options
    now: datetime
    tell: Callable[[Step, bool], None]
    costs: Costs = field(default_factory=Costs)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.options.seed)
        self.sluis = Sluis(self.options.home / "gateway", self.costs)
        self.vendors = self.options.home / "vendors"
        self.today = day_of(self.now)
        self.taken: list[Round] = rounds(self.today)
        self.register: DuoRegister
        self.schools: list[DemoSchool] = []
        self.pupils: pl.DataFrame
        self.ports: dict[str, int] = {}
        self.host_key = ""
        self.delivered: set[str] = set()
        self.served: Served

    # ------------------------------------------------------------ the campaign

    def prepare(self) -> None:
        """Everything before the gateway starts: home, registers, vendors, campaign, enrolments."""
        with self._step("A new home: configuration, keys, database, audit log") as step:
            self.options.home.mkdir(parents=True, exist_ok=True)
            self.ports = {"intake": _free_port(), "portal": _free_port()}
            ports = ("--intake-port", str(self.ports["intake"]), "--portal-port", str(self.ports["portal"]))
            database = ("--database", self.options.database) if self.options.database else ()
            made = self.sluis.run("init", "--authority", "Voorbeeldautoriteit", *ports, *database)
            self.host_key = made["sftp_host_key"]
            step.said = made["home"]
        with self._step("Boards and schools from DUO's register") as step:
            file = self.options.register
            if file is None:
                file = self.options.home / "vestigingen.csv"
                file.write_bytes(made_up_register(max(self.options.boards or 6, 1), self.rng))
            self.register = read_duo(file.read_bytes())
            self.schools = taking_part(self.register, self.options.boards, self.options.pupils, self.rng)
            made = self.sluis.run("register", "schools", file, "--as-of", _ago(self.today, 800))
            step.said = (
                f"{made['boards']:,} boards, {made['schools']:,} schools; taking part: {len(self.boards()):,} and {len(self.schools):,}"
            )
        with self._step("The population register, kept as keyed MACs") as step:
            self.pupils = pupils_of(self.schools, self.taken[0].year, self.rng)
            persons = self.options.home / "personen.csv"
            write_persons(self.pupils, persons, self.today - timedelta(days=30), self.rng)
            made = self.sluis.run("register", "persons", persons)
            persons.unlink()
            step.said = f"{made['persons']:,} persons; {self.pupils.height:,} pupils at the schools"
        with self._step("Three vendors with their SSH keys, a campaign, boards that enrol") as step:
            for vendor in VENDORS:
                self.sluis.run("vendor", "add", vendor, "--ssh-key", self._new_key(vendor), "--from", "127.0.0.0/8")
            self.sluis.run(
                "campaign", "create", CAMPAIGN, "--enrol-until", _ago(self.today, 60), "--objections-from", _ago(self.today, 50),
                "--objections-until", _ago(self.today, 1), "--deliver-until", _ago(self.today, -14), "--publish-from", self.now.isoformat(),
            )  # fmt: skip
            enrolments = self.options.home / "aanmeldingen.csv"
            lines = [
                f"{board};{schools[0].vendor};{_ago(self.today, 75)};{_ago(self.today, 70)}" for board, schools in self.boards().items()
            ]
            enrolments.write_text("\n".join(["board;vendor;contract_on;form_on", *lines, ""]))
            made = self.sluis.run("enrol", "import", enrolments, "--campaign", CAMPAIGN)
            step.said = f"{made['sign_ups']:,} boards signed up"

    def serve(self) -> Served:
        with self._step("The gateway's three roles start: intake, worker, portal") as step:
            self.served = Served(self.sluis, self.options.home / "serve.log")
            deadline = time.monotonic() + 60
            for role, port in self.ports.items():
                while not _answers(port):
                    self.served.check()
                    if time.monotonic() > deadline:
                        raise Refused("demo-serve", f"The {role} does not answer.", f"See {self.options.home / 'serve.log'}.")
                    time.sleep(0.1)  # a port has no event to wait for
            step.said = f"SFTP on {self.ports['intake']}, HTTPS on {self.ports['portal']}"
        return self.served

    def deliver(self) -> None:
        """Vendors export and deliver; what does not belong is refused; nothing is linked yet."""
        with self._step("Vendors deliver encrypted drops by SFTP") as step:
            rows = size = 0
            boards = list(self.boards().items())
            for some in _batched(boards, EXPORTS_AT_ONCE):
                exports: dict[str, list[Path]] = {vendor: [] for vendor in VENDORS}
                for board, schools in some:
                    path = self.vendors / schools[0].vendor / "exports" / f"levering-{board}.csv"
                    rows += self._export(board, schools, path)
                    exports[schools[0].vendor].append(path)
                sent = self._send(exports, "leveringen")
                size += sum(one["bytes"] for one in sent)
                self.delivered |= {one["delivered_as"] for one in sent}
            step.said = f"{len(self.delivered):,} drops, {rows:,} results, {size / 2**20:,.0f} MiB"
        with self._step("A drop with a special-category column, and one cut short, are refused") as step:
            step.said = self._misdeliver()
        with self._step("The drops are checked; without objection registers nothing is linked") as step:
            found = self._wait(lambda drop: drop["file"] in self.delivered, {"accepted"})
            refused = sum(drop["findings"] for drop in found)
            step.said = f"{len(found):,} accepted, {refused:,} findings about rows; 0 linked"

    def object_and_link(self) -> None:
        """Parents' objections come in; linking and erasure follow by themselves."""
        with self._step("Schools' objection registers, encrypted, by SFTP") as step:
            exports: dict[str, list[Path]] = {vendor: [] for vendor in VENDORS}
            count = 0
            for vendor in VENDORS:
                places = [place for place, school in enumerate(self.schools) if school.vendor == vendor]
                if places:
                    path = self.vendors / vendor / "exports" / "bezwaren.csv"
                    pupils = self.pupils.filter(pl.col("at").is_in(places))
                    count += self._objections(pupils, places, path)
                    exports[vendor].append(path)
            self._send(exports, "bezwaren")
            step.said = f"{count:,} objections from {len(self.schools):,} schools"
        with self._step("Pupils are linked, results kept under pseudonyms, identifiers erased") as step:
            found = self._wait(lambda drop: drop["file"] in self.delivered, {"linked"}, erased=True)
            counts = self.sluis.run("campaign", "show", CAMPAIGN)["linking"]
            ways = {name.removeprefix("linked_"): n for name, n in counts.items() if name.startswith("linked_") and name != "linked_rows"}
            left = self.sluis.run("retention", "status")["material"]
            held = [row for row in left if row["kind"] == "drop" and not row["state"].startswith("incomplete")]
            if held:
                raise Refused("demo-erasure", f"{len(held)} drops still hold data.", "`sluis retention status` names them.")
            by = ", ".join(f"{n:,} by {name}" for name, n in ways.items())
            step.said = f"{len(found):,} drops; {sum(ways.values()):,} of {counts['pupils']:,} pupils found a person ({by}); all erased"
        with self._step("A drop's erasure certificate, checked with the public key alone") as step:
            proof = self.options.home / "certificate.json"
            self.sluis.run("audit", "prove", found[0]["drop"], "--to", proof)
            checked = self.sluis.run("audit", "check", proof, "--key", self.sluis.home / "public" / "sluis.vkey.txt")
            step.said = f"{checked['drop']}: {proof.name}"

    def report(self) -> tuple[str, str, Taken]:
        """Reports, bundles, credentials; a board downloads. Answers the board, its password and what it took."""
        with self._step("Growth reports: one PDF per school") as step:
            made = self.sluis.run("report", "build", "--campaign", CAMPAIGN)
            step.said = f"{made['reports']:,} reports"
        with self._step("Bundles per board, encrypted at rest") as step:
            made = self.sluis.run("publish", "--campaign", CAMPAIGN)
            step.said = f"{made['published']:,} bundles"
        with self._step("Credentials, in letters") as step:
            numbers = list(self.boards())
            letters = self.options.home / "brieven"
            everybody = len(numbers) == len(self.register.boards)
            issued = self.sluis.run("credential", "issue", *(["--all"] if everybody else numbers), "--letters", letters)
            step.said = f"{len(issued):,} letters in {letters.name}/"
        with self._step("A board logs in over HTTPS and downloads Rapportages.zip") as step:
            board = numbers[0]
            password = self.sluis.run("credential", "issue", board)[0]["password"]
            certificate = self.sluis.home / "public" / "portal.pem"
            taken = take_zip(self.address, certificate, board, password, CAMPAIGN)
            expected = sum(school.row.board == board for school in self.schools)
            reports = [name for name in taken.names if name.endswith(".pdf")]
            if len(reports) < expected:
                raise Refused("demo-reports", f"The zip holds {len(reports)} reports of {expected} schools.", "See `sluis report build`.")
            step.said = f"board {board}: {taken.bytes / 1024:,.0f} KiB, {len(reports)} PDFs"
        with self._step("The audit log proves itself") as step:
            verdict = self.sluis.run("audit", "verify")
            step.said = f"{verdict['entries']:,} entries: {verdict['what']}"
        return board, password, taken

    @property
    def address(self) -> str:
        return f"https://localhost:{self.ports['portal']}"

    # ------------------------------------------------------------ what the steps are made of

    def boards(self) -> dict[str, list[DemoSchool]]:
        return {board: list(schools) for board, schools in itertools.groupby(self.schools, key=lambda school: school.row.board)}

    @contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        step = Step(name)
        self.steps.append(step)
        self.tell(step, False)
        start = time.monotonic()
        yield step
        step.seconds = time.monotonic() - start
        self.tell(step, True)

    def _new_key(self, vendor: str) -> Path:
        folder = self.vendors / vendor
        (folder / "exports").mkdir(parents=True)
        key = Ed25519PrivateKey.generate()
        private = folder / "id_ed25519"
        private.touch(mode=0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        public = folder / "id_ed25519.pub"
        public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
        return public

    def _export(self, board: str, schools: list[DemoSchool], path: Path) -> int:
        first = next(place for place, school in enumerate(self.schools) if school.row.board == board)
        pupils = self.pupils.filter(pl.col("at").is_between(first, first + len(schools) - 1)).with_columns(pl.col("at") - first)
        frame = results_of(pupils, schools, self.taken, (self.options.seed, first))
        write_export(frame, path)
        return frame.height

    def _objections(self, pupils: pl.DataFrame, places: list[int], path: Path) -> int:
        renumbered = pupils.with_columns(at=pl.col("at").replace_strict(places, list(range(len(places))), return_dtype=pl.UInt32))
        return write_objections(renumbered, [self.schools[place] for place in places], path, self.today - timedelta(days=10))

    def _send(self, exports: dict[str, list[Path]], folder: str, *how: str) -> list[dict[str, Any]]:
        """Every vendor delivers at the same time; the plain exports are removed after."""
        under_way = []
        for vendor, files in exports.items():
            if files:
                given = [*self._account(vendor), "--folder", folder, "--no-wait", *how]
                under_way.append(self.sluis.start("deliver", "send", *files, *given))
        answers = [answer for running in under_way for answer in running.answer()]
        for file in itertools.chain(*exports.values()):
            file.unlink()
        return answers

    def _account(self, vendor: str) -> list[str]:
        place = self.vendors / vendor
        return [
            "--to", f"sftp://{vendor}@127.0.0.1:{self.ports['intake']}", "--key", str(place / "id_ed25519"), "--host-key", self.host_key,
            "--known-hosts", str(place / "known_hosts"), "--outbox", str(place / "outbox"),
            "--gateway-key", str(self.sluis.home / "public" / "sluis.vkey.txt"),
        ]  # fmt: skip

    def _misdeliver(self) -> str:
        """What a vendor must not deliver, delivered: answers what became of it."""
        board, schools = next(iter(self.boards().items()))
        vendor = schools[0].vendor
        folder = self.vendors / vendor / "exports"
        special, cut = folder / "met-dyslexie.csv", folder / "afgebroken.csv.age"
        self._export(board, schools, special)
        cut.write_bytes(_sealed(special, self.sluis.home / "public" / "sluis.age.txt")[:-1_000])
        lines = special.read_text().splitlines()
        special.write_text("\n".join([lines[0] + ";dyslexie", *(line + ";N" for line in lines[1:]), ""]))
        sent = self._send({vendor: [special, cut]}, "leveringen", "--no-check")  # the vendor's own check would stop it
        names = {one["delivered_as"] for one in sent}
        found = self._wait(lambda drop: drop["file"] in names, {"rejected", "incomplete"})
        return ", ".join(sorted(drop["state"] for drop in found))

    def _wait(self, mine: Callable[[dict[str, Any]], bool], states: set[str], erased: bool = False) -> list[dict[str, Any]]:
        """Until every drop that is `mine` is in one of `states`; Refused when one ends elsewhere."""
        final = {"rejected", "incomplete", "expired", "linked"}
        deadline = time.monotonic() + PATIENCE
        while True:
            self.served.check()
            found = [drop for drop in self.sluis.run("drop", "list") if mine(drop)]
            astray = [drop for drop in found if drop["state"] in final - states]
            if astray:
                raise Refused("demo-drop", f"Drop {astray[0]['drop']} is {astray[0]['state']}.", "`sluis drop receipt` tells why.")
            waiting = [drop for drop in found if drop["state"] not in states or (erased and drop["data"] != "erased")]
            if found and not waiting:
                return found
            if time.monotonic() > deadline:
                raise Refused("demo-patience", f"{len(waiting)} drops did not get there in time.", "See serve.log in the demo's folder.")
            time.sleep(1)  # the command line tells states, not changes


def _sealed(file: Path, recipient: Path) -> bytes:
    import pyrage

    public = recipient.read_text().split()[-1]
    return bytes(pyrage.encrypt(file.read_bytes(), [pyrage.x25519.Recipient.from_str(public)]))


def _batched(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _ago(today: date, days: int) -> str:
    return (today - timedelta(days=days)).isoformat()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def empty(folder: Path) -> None:
    """Make room for a demo where an earlier one was; Refused when the folder holds anything else."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / ".sluis-demo").exists():
            raise Refused("demo-home-taken", f"{folder} is not empty and was not made by the demo.", "Choose another --home.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".sluis-demo").touch()
