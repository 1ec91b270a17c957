"""Days and moments as options: a day is a day in Europe/Amsterdam, a moment without a zone is meant there too."""

from datetime import date, datetime, time, timedelta
from typing import Any

import typer

from policies.calendar import AMSTERDAM


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a day as 2026-02-15") from None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write a moment as 2026-04-01T09:00 (Amsterdam) or with its zone: 2026-04-01T09:00+02:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=AMSTERDAM)


def _first(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), AMSTERDAM)
    except ValueError:
        return _moment(text)


def _after(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), AMSTERDAM)
    except ValueError:
        return _moment(text) + datetime.resolution


def day(name: str, help: str) -> Any:
    """An option that takes a day; its value is a date."""
    return typer.Option(name, help=help, parser=_day, metavar="DAY")


def moment(name: str, help: str) -> Any:
    """An option that takes a point in time; its value is an aware datetime."""
    return typer.Option(name, help=help, parser=_moment, metavar="MOMENT")


def since(name: str, help: str) -> Any:
    """An option that takes a day or a moment; its value is the first moment that is meant."""
    return typer.Option(name, help=help, parser=_first, metavar="DAY|MOMENT")


def until(name: str, help: str) -> Any:
    """The same, for what is still meant; its value is the first moment that is not."""
    return typer.Option(name, help=help, parser=_after, metavar="DAY|MOMENT")
