"""The package Great Expectations, without the parts of it that nobody here calls.

In: nothing. Out: the package, imported when it is first needed. Guarantees that it reports nothing to its vendor;
that what is left out is loaded if it is called after all; and that nobody else notices.
"""

import functools
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

#: Two statistical tests and one picture use these: 35 % of the whole import.
_DEFERRED = ("scipy.stats", "altair")
#: It works without this one, which only reads databases (15 %); `nightshelf tune` brings it.
_ABSENT = "sqlalchemy"


@functools.cache
def great_expectations() -> Any:
    """Return the package (2 s)."""
    # Read when the package is imported: it would report usage to its vendor otherwise.
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings(), _less_to_import(), _no_collection():
        # What its own imports warn of is nothing that we could repair.
        warnings.simplefilter("ignore")
        return importlib.import_module("great_expectations")


class _Deferred(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for these, and lives without
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _less_to_import() -> Iterator[None]:
    """Leave out what is not loaded yet; after the block, who imports it gets it."""
    stand_ins: dict[str, Any] = {name: _Deferred(name) for name in _DEFERRED}
    stand_ins[_ABSENT] = None  # so the import system is told that there is no such module
    stand_ins = {name: one for name, one in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, one in stand_ins.items():
            if sys.modules.get(name) is one:
                del sys.modules[name]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage: an import makes half a million objects, and all of them stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
