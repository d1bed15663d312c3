"""Second tries: fencing, voices that may have been made, recordings kept for another attempt, files without a row"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Processes that live say so again within seconds, then with a token.
    op.execute("DELETE FROM executors")
    with op.batch_alter_table("executors", schema=None) as batch_op:
        batch_op.add_column(sa.Column("life", sa.String(), nullable=False))
    with op.batch_alter_table("clones", schema=None) as batch_op:
        batch_op.add_column(sa.Column("making_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("retry_of", sa.String(), nullable=True))
        batch_op.create_unique_constraint("clones_retry_of_key", ["retry_of"])
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.add_column(sa.Column("keep_until", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "unclaimed_files",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def downgrade() -> None:
    op.drop_table("unclaimed_files")
    with op.batch_alter_table("recordings", schema=None) as batch_op:
        batch_op.drop_column("keep_until")
    with op.batch_alter_table("clones", schema=None) as batch_op:
        batch_op.drop_constraint("clones_retry_of_key", type_="unique")
        batch_op.drop_column("retry_of")
        batch_op.drop_column("making_at")
    with op.batch_alter_table("executors", schema=None) as batch_op:
        batch_op.drop_column("life")
