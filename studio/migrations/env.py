"""Alembic's entry: runs the migrations on the connection that `studio.database` has opened and locked."""

from alembic import context
from sqlmodel import SQLModel

import studio.tables  # noqa: F401  (fills the metadata)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite cannot alter most columns in place
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
