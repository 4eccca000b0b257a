"""The same merge as a Celery task: one transaction with psycopg, then the messages with publisher confirms.

Settings as a team that must not lose a task would choose them: quorum queues, late acknowledgement, a connection for
each process, prepared statements.
"""

import os

import psycopg
from celery import Celery
from celery.signals import worker_process_init
from kombu import Exchange, Queue

from merge import merge_users

PREFIX = os.environ["BENCH_PREFIX"]
DELETIONS = f"{PREFIX}.deletion"
EVENTS = Exchange(f"{PREFIX}.events", type="topic", durable=True)

app = Celery("merges", broker=os.environ["BENCH_BROKER_URL"])
app.conf.update(
    task_queues=[Queue(f"{PREFIX}.requests", queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=f"{PREFIX}.requests",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=4,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
)

connection = None


@worker_process_init.connect
def connect(**_):
    """Each process has a connection of its own."""
    global connection
    # Planned as the worker's statements are, whatever the planner believes of tables that just grew.
    options = "-c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c lock_timeout=300"
    connection = psycopg.connect(os.environ["BENCH_DATABASE_URL"], options=options)


@app.task(name="merge", autoretry_for=(psycopg.OperationalError,), retry_backoff=True, max_retries=10)
def merge(account, source, target, key, requested_by=None, reason=None):
    with connection.transaction(), connection.cursor() as cursor:
        deletion, event = merge_users(cursor, account, source, target, key, requested_by, reason)
    with app.producer_pool.acquire(block=True) as producer:
        if deletion is not None:
            producer.publish(
                deletion,
                exchange="",
                routing_key=DELETIONS,
                serializer="json",
                delivery_mode=2,
                message_id=deletion["idempotency_key"],
            )
        producer.publish(
            event,
            exchange=EVENTS,
            declare=[EVENTS],
            routing_key=event["type"],
            serializer="json",
            delivery_mode=2,
            message_id=event["merge_id"],
        )
