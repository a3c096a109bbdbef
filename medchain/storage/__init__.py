"""Where chains and sealed data rest: key-value stores, blob stores, the mark of the largest checkpoint.

`Store` and `BlobStore` are the interfaces; implementations in memory, on LMDB, SQLite and PostgreSQL, in files
and replicated stand beside them, and `medchain.testing` holds the suites that an implementation of your own has
to pass.
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Batch": "medchain.storage.api",
        "BlobStore": "medchain.storage.blobs",
        "FileBlobs": "medchain.storage.files",
        "LateBlobs": "medchain.storage.late",
        "LmdbStore": "medchain.storage.lmdb_store",
        "MAX_KEY": "medchain.storage.api",
        "MAX_VALUE": "medchain.storage.api",
        "Mark": "medchain.storage.mark",
        "MemoryBlobs": "medchain.storage.blobs",
        "MemoryStore": "medchain.storage.memory",
        "ObjectBlobs": "medchain.storage.objects",
        "Place": "medchain.storage.places",
        "PostgresStore": "medchain.storage.postgres_store",
        "Reader": "medchain.storage.api",
        "ReplicatedBlobs": "medchain.storage.replicated",
        "Snapshot": "medchain.storage.api",
        "SqliteStore": "medchain.storage.sqlite_store",
        "Store": "medchain.storage.api",
        "copy_store": "medchain.storage.copying",
        "prefix_end": "medchain.storage.api",
    },
)
