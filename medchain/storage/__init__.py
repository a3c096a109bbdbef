"""Where chains and sealed data rest: key-value stores, blob stores, the mark of the largest checkpoint.

`Store` and `BlobStore` are the interfaces; memory, LMDB, file and replicated implementations stand beside
them, and `medchain.testing` holds the suites that an implementation of your own has to pass.
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
        "Reader": "medchain.storage.api",
        "ReplicatedBlobs": "medchain.storage.replicated",
        "Snapshot": "medchain.storage.api",
        "Store": "medchain.storage.api",
        "prefix_end": "medchain.storage.api",
    },
)
