"""What is counted, for Prometheus. Labels are few and bounded: never a run, a user or a text.

With PROMETHEUS_MULTIPROC_DIR set before the first import (`sora.serving` sets it) the workers of a server share their numbers.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_TOKEN_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

runs_started = Counter("sora_runs_started", "Runs started.", ["kind"])
runs_ended = Counter("sora_runs_ended", "Runs ended.", ["kind", "status"])
first_token = Histogram(
    "sora_time_to_first_token_seconds",
    "From the start of a run to its first delta.",
    ["kind"],
    buckets=_SECONDS,
)
per_token = Histogram(
    "sora_time_per_output_token_seconds",
    "Mean time between two deltas of an answer.",
    ["kind"],
    buckets=_TOKEN_SECONDS,
)
tokens_per_second = Histogram(
    "sora_output_tokens_per_second",
    "Deltas per second of an answer.",
    ["kind"],
    buckets=(1, 5, 10, 20, 40, 80, 160, 320, 1000),
)
tokens = Counter("sora_tokens", "Tokens as the provider counted them.", ["kind", "direction"])
deltas = Counter("sora_deltas", "Deltas received from providers.", ["kind"])
active_runs = Gauge("sora_active_runs", "Runs under way.", multiprocess_mode="livesum")
active_readers = Gauge("sora_active_readers", "Readers connected.", multiprocess_mode="livesum")
readers_left = Counter("sora_readers_left", "Readers that ended, by the way they did.", ["exit"])
pushed = Counter("sora_pushed_pieces", "Pieces that went straight to a reader's socket, past its greenlet.")
reconnects = Counter("sora_reconnects", "Readers that came back with a cursor.")
resets = Counter("sora_resets", "Readers told to drop what a crash took back.")
errors = Counter("sora_errors", "Errors that ended runs or refused requests, by code.", ["code"])
save_retries = Counter("sora_save_retries", "Final saves tried again because the database did not answer.")
spooled = Counter("sora_spooled", "Endings put on disk because the database was away at shutdown.")
taken_over = Counter("sora_runs_taken_over", "Unfinished runs taken from workers that were given up.")
embedding_failures = Counter(
    "sora_embedding_failures", "Embeddings that did not come, by what they were for.", ["use"]
)
outbox_depth = Gauge(
    "sora_outbox_depth", "Finished reviews waiting to be delivered elsewhere.", multiprocess_mode="livemax"
)
outbox_oldest = Gauge(
    "sora_outbox_oldest_seconds",
    "Age of the oldest review that waits for delivery.",
    multiprocess_mode="livemax",
)
outbox_dead = Gauge(
    "sora_outbox_dead", "Reviews refused for good by the app server.", multiprocess_mode="livemax"
)
outbox_deliveries = Counter("sora_outbox_deliveries", "Deliveries tried, by what came of them.", ["outcome"])
pool_wait = Histogram(
    "sora_database_wait_seconds",
    "Wait for a connection of the pool.",
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
)


def render() -> tuple[bytes, str]:
    """All of it in Prometheus' text format, over every worker of this server; and the content type."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST
