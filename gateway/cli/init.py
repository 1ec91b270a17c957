"""`sluis init`."""

from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from gateway.cli.context import home_path
from gateway.cli.output import show
from gateway.store.auditing import sequence
from gateway.store.config import Authority, Configuration, Database, Intake, Portal, Sharing
from gateway.store.database import open_database
from gateway.store.home import create_home, upgrade_home
from gateway.store.host_keys import FIRST, public_half
from policies.errors import Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def init(
    ctx: typer.Context,
    authority: Annotated[str, typer.Option(help="Who runs the gateway: on pages, letters and reports.")] = Authority().name,
    hostname: Annotated[str, typer.Option(help="The portal's name, as boards type it.")] = Portal().hostname,
    intake_port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of the SFTP endpoint.")] = Intake().port,
    portal_port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of the HTTPS portal.")] = Portal().port,
    database: Annotated[str, typer.Option(help="postgresql+psycopg://… ; empty: SQLite in the home.")] = "",
    group_access: Annotated[
        bool, typer.Option("--group-access", help="Roles run as several Unix users that share a group (systemd).")
    ] = False,
    upgrade_tables: Annotated[
        bool, typer.Option("--upgrade", help="Bring an existing home's folders and tables to this version instead.")
    ] = False,
) -> None:
    """Make a new home: configuration, keys, database, audit log."""
    path = home_path(ctx)
    if upgrade_tables:
        upgrade_home(path)
        show(ctx, {"home": str(path), "tables": "current"})
        return
    config = Configuration(
        authority=Authority(name=authority),
        database=Database(url=database),
        intake=Intake(port=intake_port),
        portal=Portal(hostname=hostname, port=portal_port),
        sharing=Sharing(group_access=group_access),
    )
    if database:
        _reach(database)
    home = create_home(path, config)
    sequence(home)
    show(
        ctx,
        {
            "home": str(path),
            "configuration": str(path / "sluis.toml"),
            "public_key_for_vendors": home.recipients.public(),
            "sftp_host_key": public_half(home, FIRST).fingerprint,
            "audit_log": home.audit_origin,
            "portal": home.portal_address,
        },
    )


def _reach(database: str) -> None:
    """Refused when the database can't be opened: a home is not begun that can't be finished."""
    try:
        engine = open_database(database)
        engine.connect().close()
        engine.dispose()
    except SQLAlchemyError:  # its text would repeat the address, and the password in it
        raise Refused("database-unreachable", "The database can't be opened.", "Is it running, and is --database right?") from None
