"""`sluis`: every command and its global flags."""

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli.frame import run_program
from gateway.cli.settings import Settings
from policies.errors import NotFound

#: command → (module, what `sluis --help` says). Modules are imported when their command is used: a linker's libraries are slow to load.
COMMANDS = {
    "init": ("init", "Make a new home: configuration, keys, database, audit log."),
    "serve": ("serve", "Run intake, worker or portal in the foreground; none named: all three."),
    "demo": ("demo", "Play one whole campaign on this machine with real parts."),
    "vendor": ("vendor", "Vendor accounts and their SSH keys."),
    "register": ("register", "Import schools, persons and background characteristics."),
    "campaign": ("campaign", "Collection rounds and their calendar."),
    "enrol": ("enrol", "Boards that take part, and the consent given through a vendor."),
    "objection": ("objection", "Objection registers of schools."),
    "drop": ("drop", "Deliveries and their life."),
    "policy": ("policy", "The rules of deliveries, and what an administrator adds to them."),
    "retention": ("retention", "Ages and deadlines of what still identifies; erase what is due."),
    "report": ("report", "Growth reports, and regular reports made elsewhere."),
    "publish": ("publish", "Make and publish the bundles of a campaign, per board."),
    "withdraw": ("withdraw", "Withdraw published bundles and destroy their keys."),
    "credential": ("credential", "Boards' logins and the letters that carry them."),
    "dataset": ("dataset", "Pseudonymised data for one research project."),
    "key": ("key", "Which keys exist, since when, for what; never the keys themselves."),
    "audit": ("audit", "The log, its proof, and one drop's certificate."),
    "backup": ("backup", "All of the home in one sealed file, but the keys that must die."),
    "restore": ("restore", "Make a home out of a backup, after ending what the audit log says has ended."),
    "doctor": ("doctor", "Check the home and say what to do."),
    "deliver": ("deliver", "The vendor's side: check a file, encrypt it, send it, wait for the receipt."),
}


#: packages of our own: one that is missing is a fault, any other was not asked for when Sluis was installed
OURS = ("gateway", "keys", "policies", "audit")


class Commands(TyperGroup):
    """Finds a command's module by its name, and loads it only then."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, summary = COMMANDS[cmd_name]
        try:
            command = typer.main.get_command(importlib.import_module(f"gateway.cli.{module}").app)
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.partition(".")[0] in OURS:
                raise
            raise NotFound(
                "not-installed", f"`sluis {cmd_name}` needs {missing.name}, which is not installed.", "Install sluis[server]."
            ) from None
        command.name = cmd_name
        command.short_help = summary
        command.help = command.help or summary
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def settings(
    ctx: typer.Context,
    home: Annotated[Path | None, typer.Option("--home", envvar="SLUIS_HOME", help="The folder this gateway lives in.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document on standard output.")] = False,
) -> None:
    """Sluis: pupils' test results go in encrypted, reports per school come out, identifiers end on the way."""
    ctx.obj = Settings(home=home, json=as_json)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 the home is not sound."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    return run_program(app, "sluis", arguments)
