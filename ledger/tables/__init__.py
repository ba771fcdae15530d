"""Every table of the ledger, by importing each module that declares some. Rows never leave the `ledger` package."""

from __future__ import annotations

import importlib
import pkgutil

from ledger.tables.base import metadata

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["metadata"]
