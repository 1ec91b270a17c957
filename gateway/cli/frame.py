"""How every program of Sluis runs a command and tells an error: one line with a hint, an exit status, never a traceback."""

import sys
from typing import Any

import structlog
import typer

from gateway.cli.logging import configure_logging
from policies.errors import SluisError


def run_program(app: typer.Typer, program: str, arguments: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 the home is not sound."""
    configure_logging()
    given = _json_anywhere(list(sys.argv[1:] if arguments is None else arguments))
    command: Any = typer.main.get_command(app)
    try:
        answer = command.main(given, prog_name=program, standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except SluisError as error:
        _tell(program, error.message, error.hint)
        return error.exit_status
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # `sluis campaign` alone: its help is the answer
            print(error.format_message(), file=sys.stderr)
            return 2
        _tell(program, error.format_message(), f"`{program} --help` lists the commands; `{program} COMMAND --help` tells what one takes.")
        return 2
    except (typer.Abort, KeyboardInterrupt):
        _tell(program, "Stopped.", "")
        return 130
    except typer.Exit as leave:
        return leave.exit_code
    except BrokenPipeError:
        return 0
    except Exception as error:  # a fault of ours: its type and place in the log, never a traceback with values on the screen
        structlog.get_logger().error("command failed", error=type(error).__name__, exc_info=True)
        what = "Something went wrong inside Sluis."
        _tell(program, what, "The log line above names the place; nothing was half done that a repeat would not mend.")
        return 3


def _json_anywhere(arguments: list[str]) -> list[str]:
    """`sluis drop list --json` and `sluis --json drop list` mean the same."""
    if "--json" in arguments and "--" not in arguments:
        return ["--json", *(argument for argument in arguments if argument != "--json")]
    return arguments


def _tell(program: str, message: str, hint: str) -> None:
    print(f"{program}: {message}" + (f"\n{' ' * (len(program) + 2)}{hint}" if hint else ""), file=sys.stderr)
