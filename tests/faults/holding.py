"""Keeping the service from starting a workflow for a row that it has just committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from sqlalchemy import make_url


@contextmanager
def workflows_held(database_url: str) -> Iterator[None]:
    """As long as the context lasts no workflow can be noted down, since others hold the place where they are: a process
    comes as far as having stored what is wanted."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(f"{url.database}.workflows", isolation_level=None, timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(database_url) as server, server.transaction(force_rollback=True):
        server.execute("LOCK TABLE dbos.workflow_status IN EXCLUSIVE MODE")
        yield
