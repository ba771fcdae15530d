"""What request bodies have in common: nothing unknown in them, bounded texts, and a way on to the ledger."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

_ID = r"^[A-Za-z0-9_-]{22}$"

ThingId = Annotated[str, Field(pattern=_ID, description="22 characters, as the ledger gave it.")]
PathId = Annotated[str, Path(pattern=_ID, description="22 characters, as the ledger gave it.")]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Line = Annotated[str, Field(min_length=1, max_length=200)]
TypeCode = Annotated[str, Field(pattern=r"^[0-9A-Z]{21}$", description="Licence type code (GB/T 36904).")]
CreditCode = Annotated[str, Field(pattern=r"^[0-9A-Z]{18}$", description="Unified social credit code (GB 32100).")]
Area = Annotated[str, Field(pattern=r"^[0-9]{6}$", description="Region code (GB/T 2260).")]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="Calendar date in +08:00.")]


class Body(BaseModel):
    """A request body: nothing unknown in it."""

    model_config = ConfigDict(extra="forbid")

    def members(self) -> dict[str, Any]:
        """Return the members that were given, as JSON values, for the ledger to judge."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Names(Body):
    """A name in both languages."""

    zh: Line
    en: Line
