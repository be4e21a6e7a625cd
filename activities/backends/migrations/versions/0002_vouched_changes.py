"""What we know of a change that its forge has no place for, or where anybody could forge it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vouched_changes",
        sa.Column(
            "place", sa.Text, nullable=False, comment="Host, owner and name of a repository on a forge"
        ),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column(
            "head", sa.Text, nullable=False, comment="The one head that author and priority are true of"
        ),
        sa.Column("author_kind", sa.Text, nullable=False),
        sa.Column("author_name", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("ejected", sa.Boolean, nullable=False),
        sa.Column("landed_as", sa.Text),
        sa.PrimaryKeyConstraint("place", "number", name="pk_vouched_changes"),
    )
