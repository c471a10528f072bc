"""faststream-outbox, relaying to RabbitMQ as its documentation says, as one program: migrate, record, relay, latency.

It reads DATABASE_URL, BROKER_URL, QUEUE and VARIANT: default or tuned.
"""

import asyncio
import logging
import os
import random
import sys
import time
from typing import Any

from faststream import FastStream
from faststream.rabbit import RabbitBroker
from faststream_outbox import OutboxBroker, make_outbox_table, outbox_autovacuum_ddl
from sqlalchemy import MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

AT_ONCE = 500  # rows in one transaction, at most
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "tuned": {"max_workers": 16, "fetch_batch_size": 500, "terminal_flush_batch_size": 100},
}
SUBSCRIBER = OPTIONS[os.environ["VARIANT"]]
OUTBOX = "events"

quiet = logging.getLogger("peer")
quiet.setLevel(logging.WARNING)

metadata = MetaData()
table = make_outbox_table(metadata, table_name="outbox")
engine = create_async_engine(
    make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"),
    pool_size=SUBSCRIBER.get("max_workers", 1) + 1,  # what its checklist asks for
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
outbox = OutboxBroker(engine, outbox_table=table, logger=quiet)
rabbit = RabbitBroker(os.environ["BROKER_URL"], logger=quiet)  # with publisher confirms, as it comes


@rabbit.publisher(os.environ["QUEUE"], persist=True)
@outbox.subscriber(OUTBOX, **SUBSCRIBER)
async def forward(body: dict[str, Any]) -> dict[str, Any]:
    return body


def marker(number: int) -> str:
    return f"m{number:09d}m"


def event(number: int) -> dict[str, Any]:
    return {"number": number, "marker": marker(number), "filler": "x" * 240}


async def migrate() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text(outbox_autovacuum_ddl("outbox")))


async def record(count: int) -> None:
    for first in range(0, count, AT_ONCE):
        events = [event(number) for number in range(first, min(first + AT_ONCE, count))]
        async with sessions() as session, session.begin():
            await outbox.publish_batch(*events, queue=OUTBOX, session=session)
    print(f"recorded {count}", flush=True)


async def latency(count: int, pause: float) -> None:
    for number in range(count):
        async with sessions() as session:
            async with session.begin():
                await outbox.publish(event(number), queue=OUTBOX, session=session)
            # Here, not below: giving the connection back to the pool takes its time.
            committed = time.monotonic_ns()
        print(marker(number), committed, flush=True)
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))


async def relay() -> None:
    app = FastStream(outbox, on_startup=[rabbit.connect], logger=quiet)

    @app.after_startup
    async def say() -> None:
        print("relaying", flush=True)

    @app.after_shutdown
    async def close() -> None:
        await rabbit.stop()
        await engine.dispose()

    await app.run()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["migrate"]:
            asyncio.run(migrate())
        case ["record", count]:
            asyncio.run(record(int(count)))
        case ["relay"]:
            asyncio.run(relay())
        case ["latency", count, pause]:
            asyncio.run(latency(int(count), float(pause)))
        case _:
            sys.exit("migrate | record N | relay | latency N SECONDS")
