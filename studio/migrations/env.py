"""Alembic's entry: runs the migrations on the connection that `studio.database` has opened and locked."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import String
from sqlmodel import SQLModel

from studio import tables


def _render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Revisions name plain SQLAlchemy types, so that they outlive SQLModel's."""
    if kind == "type" and isinstance(item, tables.UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and type(item).__name__ == "AutoString" and isinstance(item.impl_instance, String):
        return "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite cannot alter most columns in place
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
