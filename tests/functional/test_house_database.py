"""The databases that the fixtures hand out are real, empty and the test's own."""

import pytest
from sqlalchemy import create_engine, inspect, text


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_has_an_empty_database(database_url: str, turn: int) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE left_behind (id INTEGER PRIMARY KEY)"))
    assert engine.dialect.name in database_url
    engine.dispose()


def test_the_server_is_not_reachable_by_network(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW listen_addresses")).scalar_one() == ""
    engine.dispose()
