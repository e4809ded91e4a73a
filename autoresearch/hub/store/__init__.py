"""What the hub remembers: one SQLite file, one module for each noun.

Functions take the database first and, where they act, the time last, in whole seconds since 1970 UTC; what they return
has the shape of the wire. Acts belong into `with db.transaction()`, so that a limit and the act that it bounds are one.
"""

from autoresearch.hub.store.database import Database

__all__ = ["Database"]
