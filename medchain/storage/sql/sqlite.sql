-- How a SqliteStore lies in its database file, and every statement that it runs.
--
-- Keys of type BLOB are compared as bytes (memcmp), shorter first. Without row ids the table is one tree, ordered by
-- key, with the values in it.

-- name: create
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
BEGIN;
CREATE TABLE pairs (
    key   BLOB NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = 1835361379;  -- "medc"
PRAGMA user_version = 1;             -- of this layout
COMMIT;

-- name: configure
-- Of every connection: no memory map, in which a failing disk would kill the process; the schema is not trusted, for
-- the file may be damaged.
PRAGMA mmap_size = 0;
PRAGMA cell_size_check = ON;
PRAGMA trusted_schema = OFF;
PRAGMA cache_size = -8192;

-- name: configure_writer
-- A commit is on the disk when it returns; F_FULLFSYNC is what that takes on macOS.
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
PRAGMA journal_size_limit = 67108864;

-- name: journal
PRAGMA journal_mode = WAL;

-- name: application
PRAGMA application_id;

-- name: version
PRAGMA user_version;

-- name: begin_writing
BEGIN IMMEDIATE;

-- name: begin_reading
BEGIN DEFERRED;

-- name: fix_moment
-- The first read of a transaction decides which moment it sees.
SELECT 1 FROM pairs LIMIT 1;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: get
SELECT value FROM pairs WHERE key = ?;

-- name: page
SELECT key, value FROM pairs WHERE key >= ? AND key < ? ORDER BY key LIMIT ?;

-- name: page_backwards
SELECT key, value FROM pairs WHERE key >= ? AND key < ? ORDER BY key DESC LIMIT ?;

-- name: put
INSERT INTO pairs (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: delete
DELETE FROM pairs WHERE key = ?;

-- name: delete_range
DELETE FROM pairs WHERE key >= ? AND key < ?;
