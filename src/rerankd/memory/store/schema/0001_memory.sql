-- The memory: users, their memories, and which key and pepper are in force.
--
-- Who may see what is decided here and not by whoever asks. Every table of tenants has row-level security,
-- enabled and FORCED (it binds the owner too). A session sees the rows whose user_hash is the setting
-- app.user_hash of its transaction, and without one it sees none. After a transaction that set it, the setting
-- is '' and not NULL, hence the NULLIF.
--
-- Every key and every index begins with user_hash. There is no index of neighbours, on purpose: one that is
-- shared returns too few rows under row-level security, and its timing tells of other tenants' data. The exact
-- order within one user takes a few milliseconds for 10,000 rows.

CREATE FUNCTION memory_tenant() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    AS $$
DECLARE
    tenant text := NULLIF(pg_catalog.current_setting('app.user_hash', true), '');
BEGIN
    IF tenant IS NULL THEN
        RAISE EXCEPTION 'no tenant is set'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'SELECT set_config(''app.user_hash'', ..., true) first, in the same transaction.';
    END IF;
    RETURN tenant;
END
$$;
COMMENT ON FUNCTION memory_tenant() IS 'The tenant of this transaction; an error where there is none.';

CREATE TABLE memory_users (
    user_hash      text COLLATE "C" NOT NULL DEFAULT memory_tenant(),
    subject        uuid NOT NULL,
    pepper_id      text NOT NULL,
    sealed_user_id bytea NOT NULL,
    wrapped_key    bytea NOT NULL,
    key_id         text NOT NULL,
    embedder       text NOT NULL,
    vectors        text NOT NULL CHECK (vectors IN ('plain', 'sealed')),
    seals          bigint NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_hash),
    UNIQUE (user_hash, subject),
    CONSTRAINT memory_users_form CHECK (user_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT memory_users_seals CHECK (seals >= 0 AND seals < 2147483648)
);
-- Not unique, as that would have to hold across all shards of a distributed table; subjects are random.
CREATE INDEX memory_users_subject ON memory_users (subject);

CREATE TABLE memory_chunks (
    id            uuid NOT NULL DEFAULT gen_random_uuid(),
    user_hash     text COLLATE "C" NOT NULL DEFAULT memory_tenant(),
    subject       uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    embedding     halfvec(384),
    vector_cipher bytea,
    text_cipher   bytea NOT NULL,
    meta_cipher   bytea NOT NULL,
    labels        bytea[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (user_hash, id),
    -- A row belongs to its user, whose hash may change (another pepper) and takes the rows along.
    FOREIGN KEY (user_hash, subject) REFERENCES memory_users (user_hash, subject) ON UPDATE CASCADE,
    CONSTRAINT memory_chunks_form CHECK (user_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT memory_chunks_one_vector CHECK (num_nonnulls(embedding, vector_cipher) = 1)
) :partitioning;
CREATE INDEX memory_chunks_time ON memory_chunks (user_hash, created_at, id);

-- A vector that is moved out of line costs six times the time of the query. So the vectors stay in the row,
-- always, and the texts make room; ciphertext does not compress.
ALTER TABLE memory_chunks
    ALTER COLUMN embedding SET STORAGE PLAIN,
    ALTER COLUMN vector_cipher SET STORAGE PLAIN,
    ALTER COLUMN text_cipher SET STORAGE EXTERNAL,
    ALTER COLUMN meta_cipher SET STORAGE EXTERNAL;

-- The key and the pepper that are in force in the whole database; a user is only ever created under these.
CREATE TABLE memory_epochs (
    kind  text PRIMARY KEY CHECK (kind IN ('key', 'pepper')),
    id    text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE memory_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_users FORCE ROW LEVEL SECURITY;
CREATE POLICY memory_users_tenant ON memory_users
    USING (user_hash = NULLIF(current_setting('app.user_hash', true), ''))
    WITH CHECK (user_hash = NULLIF(current_setting('app.user_hash', true), ''));

ALTER TABLE memory_chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_chunks FORCE ROW LEVEL SECURITY;
CREATE POLICY memory_chunks_tenant ON memory_chunks
    USING (user_hash = NULLIF(current_setting('app.user_hash', true), ''))
    WITH CHECK (user_hash = NULLIF(current_setting('app.user_hash', true), ''));

-- Everybody may read which epoch is in force, begin the first one, and lock it against a change (which asks
-- for the right to update); nobody but the maintaining role may change it.
ALTER TABLE memory_epochs ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_epochs FORCE ROW LEVEL SECURITY;
CREATE POLICY memory_epochs_read ON memory_epochs FOR SELECT USING (true);
CREATE POLICY memory_epochs_begin ON memory_epochs FOR INSERT WITH CHECK (true);
CREATE POLICY memory_epochs_lock ON memory_epochs FOR UPDATE USING (true) WITH CHECK (false);
