"""The private PostgreSQL and Redis start, answer and vanish."""

import psycopg
import pytest
import redis

from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

pytestmark = pytest.mark.servers


def test_a_new_database_takes_rows(postgres: Postgres) -> None:
    url = postgres.create_database("rows")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE numbers (number int)")
        connection.execute("INSERT INTO numbers VALUES (7)")
        assert connection.execute("SELECT number FROM numbers").fetchone() == (7,)


def test_postgres_keeps_its_rows_over_a_restart() -> None:
    with Postgres() as server:
        url = server.create_database("kept")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE numbers AS SELECT 7 AS number")
        server.stop()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT number FROM numbers").fetchone() == (7,)


def test_postgres_syncs_to_disk_unless_told_otherwise() -> None:
    with Postgres() as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_redis_answers(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url()) as client:
        assert client.ping()


def test_an_emptied_redis_has_forgotten_everything(redis_server: Redis) -> None:
    with redis.Redis.from_url(redis_server.url()) as client:
        client.set("key", "value")
        redis_server.empty()
        assert client.get("key") is None
