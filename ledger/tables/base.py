"""The one `MetaData` every table of the ledger belongs to, with stable names for constraints."""

from typing import Final

from sqlalchemy import MetaData

# Named constraints let a migration drop or change them by name on both engines.
NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata: Final = MetaData(naming_convention=NAMING)
