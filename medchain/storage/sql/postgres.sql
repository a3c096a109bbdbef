-- How a PostgresStore lies in its schema, and every statement that it runs. {schema} stands for the quoted name of the
-- schema, so that nothing depends on the search path.
--
-- Keys of type bytea are compared as bytes, whatever the database's collation. Values are hashes, ciphertext and small
-- records: they are not worth compressing.

-- name: version
SELECT version FROM {schema}.medchain_store;

-- name: exists
SELECT to_regnamespace(%s) IS NOT NULL, to_regclass(%s) IS NOT NULL;

-- name: begin_creating
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;

-- name: one_creator
-- Of several that find nothing, one creates, and the others wait and find it.
SELECT pg_advisory_xact_lock(%s, hashtext(%s));

-- name: create_schema
CREATE SCHEMA {schema};

-- name: occupied
SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(%s);

-- name: create_pairs
CREATE TABLE {schema}.pairs (
    key   bytea NOT NULL PRIMARY KEY,
    value bytea NOT NULL
);

-- name: store_plainly
ALTER TABLE {schema}.pairs ALTER COLUMN value SET STORAGE EXTERNAL;

-- name: create_version
CREATE TABLE {schema}.medchain_store (
    version integer NOT NULL PRIMARY KEY
);

-- name: insert_version
INSERT INTO {schema}.medchain_store (version) VALUES (%s);

-- name: durable
SELECT current_setting('fsync') <> 'off', current_setting('synchronous_commit') <> 'off';

-- name: be_durable
SET synchronous_commit = on;

-- name: wait_a_little
SELECT set_config('lock_timeout', %s, false);

-- name: lock
-- Held by the session, so that it ends with the connection, however that ends.
SELECT pg_advisory_lock(%s, oid::integer), pg_backend_pid() FROM pg_namespace WHERE nspname = %s;

-- name: holder
SELECT activity.application_name, activity.pid
FROM pg_locks AS held
JOIN pg_namespace AS space ON space.oid = held.objid AND space.nspname = %s
LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
WHERE held.locktype = 'advisory' AND held.classid = %s AND held.objsubid = 2 AND held.granted
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: unlock
SELECT pg_advisory_unlock_all();

-- name: begin_writing
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;

-- name: put
INSERT INTO {schema}.pairs (key, value)
SELECT * FROM unnest(%b::bytea[], %b::bytea[])
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: delete
DELETE FROM {schema}.pairs WHERE key = ANY (%b::bytea[]);

-- name: delete_range
DELETE FROM {schema}.pairs WHERE key >= %b AND key < %b;

-- name: backend
SELECT pg_backend_pid();

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: begin_reading
-- The first statement after BEGIN decides which moment the transaction sees.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1;

-- name: get
SELECT value FROM {schema}.pairs WHERE key = %b;

-- name: get_many
SELECT pairs.value
FROM unnest(%b::bytea[]) WITH ORDINALITY AS asked (key, place)
LEFT JOIN {schema}.pairs AS pairs ON pairs.key = asked.key
ORDER BY asked.place;

-- name: page
SELECT key, value FROM {schema}.pairs WHERE key >= %b AND key < %b ORDER BY key LIMIT %b;

-- name: page_backwards
SELECT key, value FROM {schema}.pairs WHERE key >= %b AND key < %b ORDER BY key DESC LIMIT %b;
