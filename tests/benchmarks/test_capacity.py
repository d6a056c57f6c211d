"""The capacity model adds up, and the disk that it foresees is what a real database takes."""

import re
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from benchmarks.capacity import Costs, Size, needed

from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.postgres import PostgresStore
from tests.memory.database import run_server
from tests.memory.store.make import NEVER, add_user, new_rows

SIZE = Size(users=1_000_000, memories=500, rate=200)


def test_twice_the_questions_take_twice_the_cores_and_no_more_disk() -> None:
    one, two = needed(SIZE, Costs()), needed(replace(SIZE, rate=400), Costs())
    assert two.scorer_cores == pytest.approx(2 * one.scorer_cores, abs=1)
    assert two.scorer_gpus == pytest.approx(2 * one.scorer_gpus, abs=1)
    assert two.database_disk_gb == one.database_disk_gb


def test_a_small_service_needs_one_of_each_and_no_partitions() -> None:
    need = needed(Size(users=100, memories=100, rate=1), Costs())
    assert (need.scorer_cores, need.ingress_cores, need.database_cores) == (1, 1, 1)
    assert (need.partitions, need.database_servers) == (0, 1)


def test_partitions_come_before_servers_and_are_a_power_of_two() -> None:
    needs = [
        needed(replace(SIZE, users=users), Costs()) for users in (10_000, 100_000, 1_000_000, 10_000_000)
    ]
    assert [need.partitions for need in needs] == [0, 8, 64, 512]
    assert [need.database_servers for need in needs] == [1, 1, 1, 10]


def test_prices_add_up() -> None:
    costs = Costs(core_hour=0.05)
    need = needed(SIZE, costs)
    cores = need.scorer_cores + need.ingress_cores + 2 * need.database_cores
    assert need.month == pytest.approx(cores * 0.05 * 730)
    assert needed(SIZE, Costs()).month == 0


async def test_a_memory_takes_as_much_disk_as_the_model_says() -> None:
    characters, rows = 350, 600
    with run_server() as server:
        urls = server.database()
        store = PostgresStore(urls.app, StorePolicy(pool_max=2))
        await store.open()
        user = await add_user(store)
        for _ in range(3):
            given = new_rows(rows // 3, text=b"x" * (characters + 28))  # a nonce and a tag around the text
            await store.insert(user, given, seals=rows, deadline=NEVER)
        await store.close()
        with psycopg.connect(urls.maintain) as connection:
            row = connection.execute("SELECT pg_total_relation_size('memory_chunks')").fetchone()
    taken = (row or (0,))[0] / rows
    foreseen = Costs().row_bytes + characters
    assert 0.85 < taken / foreseen < 1.15, f"{taken:.0f} bytes, not {foreseen:.0f}"


def test_the_table_in_the_docs_is_the_model_s() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "scale.md").read_text("utf-8")
    rows = re.findall(
        r"^\| ([\d,]+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \| (\d+) \| ([\d,.]+) GB \|", text, re.MULTILINE
    )
    assert len(rows) >= 4
    for users, memories, rate, cores, database, disk in (
        [each.replace(",", "") for each in row] for row in rows
    ):
        need = needed(Size(users=int(users), memories=int(memories), rate=float(rate)), Costs())
        assert (need.scorer_cores, need.database_cores) == (int(cores), int(database))
        assert need.database_disk_gb == float(disk)
