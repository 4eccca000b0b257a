"""Queues a merge for each line "source target" on standard input."""

import sys

from tasks import app, merge

with app.connection_for_write() as connection:
    with app.amqp.Producer(connection.channel()) as producer:
        for line in sys.stdin:
            source, target = map(int, line.split())
            merge.apply_async(
                (1, source, target, f"bench-2026-{source}", "agent:77", "same person, second address"),
                producer=producer,
            )
