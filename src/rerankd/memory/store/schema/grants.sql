-- Who may do what. Applied again by every run of `memory migrate`, as the roles may have other names then.
--
-- app: one tenant at a time; it can neither change a memory nor a key, nor empty a table (TRUNCATE passes by
-- row-level security). maintain: all users, for rotation, re-embedding and vacuuming; no text.

REVOKE ALL ON memory_users, memory_chunks, memory_epochs, memory_schema FROM PUBLIC, :"app", :"maintain";

GRANT SELECT ON memory_schema TO :"app", :"maintain";

GRANT SELECT, INSERT, DELETE, UPDATE (seals) ON memory_users TO :"app";
GRANT SELECT, INSERT, DELETE ON memory_chunks TO :"app";
GRANT SELECT, INSERT, UPDATE (since) ON memory_epochs TO :"app";

GRANT SELECT, UPDATE ON memory_users, memory_chunks TO :"maintain";
GRANT SELECT, INSERT, UPDATE ON memory_epochs TO :"maintain";

DROP POLICY IF EXISTS memory_users_maintain ON memory_users;
CREATE POLICY memory_users_maintain ON memory_users TO :"maintain" USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS memory_chunks_maintain ON memory_chunks;
CREATE POLICY memory_chunks_maintain ON memory_chunks TO :"maintain" USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS memory_epochs_maintain ON memory_epochs;
CREATE POLICY memory_epochs_maintain ON memory_epochs TO :"maintain" USING (true) WITH CHECK (true);
