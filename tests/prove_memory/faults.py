"""The fixed list of faults in isolation and sealing: each would show somebody's memories to somebody else."""

from tests.mutants.list import Mutant

__all__ = ["FAULTS"]

_STORE = "tests/memory/store/"
_SEALING = "tests/memory/test_sealing.py::"
_SCHEMA = "memory/store/schema/0001_memory.sql"
_GRANTS = "memory/store/schema/grants.sql"
_POOL = "memory/store/pool.py"
_PREFLIGHT = "memory/store/preflight.py"
_POSTGRES = "memory/store/postgres.py"
_MIGRATE = "memory/store/migrate.py"


def _of(file: str, name: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name=name, file=file, old=old, new=new, tests=tests)


_ISOLATION = (
    _of(
        _SCHEMA,
        "row-level security is not forced: no FORCE",
        "ALTER TABLE memory_chunks FORCE ROW LEVEL SECURITY;",
        "",
        _STORE + "test_isolation.py::test_the_owner_of_the_tables_is_held_to_it_too",
    ),
    _of(
        _SCHEMA,
        "row-level security is not enabled",
        "ALTER TABLE memory_users ENABLE ROW LEVEL SECURITY;",
        "",
        _STORE + "test_isolation.py::test_a_tenant_sees_its_own_rows_without_asking_for_them",
    ),
    _of(
        _SCHEMA,
        "what is written is not checked: no WITH CHECK",
        """CREATE POLICY memory_chunks_tenant ON memory_chunks
    USING (user_hash = NULLIF(current_setting('app.user_hash', true), ''))
    WITH CHECK (user_hash = NULLIF(current_setting('app.user_hash', true), ''));""",
        """CREATE POLICY memory_chunks_tenant ON memory_chunks
    USING (user_hash = NULLIF(current_setting('app.user_hash', true), ''))
    WITH CHECK (true);""",
        _STORE + "test_isolation.py::test_a_row_cannot_be_written_for_somebody_else",
    ),
    _of(
        _SCHEMA,
        "an empty tenant is one: no NULLIF",
        "tenant text := NULLIF(pg_catalog.current_setting('app.user_hash', true), '');",
        "tenant text := pg_catalog.current_setting('app.user_hash', true);",
        _STORE + "test_isolation.py::test_a_row_without_a_tenant_is_an_error_and_not_nobodys",
    ),
    _of(
        _SCHEMA,
        "a user hash may have any form",
        "CONSTRAINT memory_chunks_form CHECK (user_hash ~ '^[0-9a-f]{64}$'),\n",
        "",
        _STORE + "test_migrate.py::test_no_row_can_belong_to_a_tenant_without_the_form_of_one",
    ),
    _of(
        _SCHEMA,
        "the application may move an epoch on",
        "CREATE POLICY memory_epochs_lock ON memory_epochs FOR UPDATE USING (true) WITH CHECK (false);",
        "CREATE POLICY memory_epochs_lock ON memory_epochs FOR UPDATE USING (true) WITH CHECK (true);",
        _STORE + "test_migrate.py::test_the_application_cannot_change_what_is_in_force",
    ),
    _of(
        _GRANTS,
        "the application may empty the table",
        'GRANT SELECT, INSERT, DELETE ON memory_chunks TO :"app";',
        'GRANT SELECT, INSERT, DELETE, TRUNCATE ON memory_chunks TO :"app";',
        _STORE + "test_migrate.py::test_the_roles_may_do_what_they_need_and_no_more",
    ),
    _of(
        _MIGRATE,
        "partitions have no protection of their own",
        'sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY")',
        'sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY")',
        _STORE + "test_migrate.py::"
        "test_every_table_and_partition_is_protected_and_vectors_never_leave_their_row",
    ),
    _of(
        "memory/store/embedded.py",
        "the application runs as the owner",
        "app=self._url(APP_ROLE)",
        "app=self._url(OWNER_ROLE)",
        _STORE + "test_embedded.py::test_the_application_is_a_plain_role",
    ),
    _of(
        _POOL,
        "the tenant is set for the session: SET for SET LOCAL",
        "set_config('app.user_hash', '{checked(tenant)}', true)",
        "set_config('app.user_hash', '{checked(tenant)}', false)",
        _STORE + "test_isolation.py::test_a_pooled_connection_keeps_no_tenant_between_calls",
        _STORE + "test_pooler.py::test_nobody_finds_a_tenant_on_a_connection_that_another_left",
    ),
    _of(
        _POOL,
        "anything is a user hash",
        "    if not isinstance(user_hash, str) or len(user_hash) != 64 or not _FORM.issuperset(user_hash):\n",
        "    if user_hash is None:\n",
        _STORE + "test_contract.py::test_what_is_no_user_hash_is_refused_before_anything_is_asked",
    ),
    _of(
        _POOL,
        "a write whose connection broke is done again",
        "if not (lost or stray) or (begun and not reads):",
        "if not (lost or stray):",
        _STORE + "test_pool.py::test_a_write_whose_connection_breaks_is_an_error_and_not_tried_again",
    ),
    _of(
        _POOL,
        "a call is cancelled while it gives its connection back",
        "    if call.working:\n        task.cancel()",
        "    task.cancel()",
        _STORE + "test_pool.py::test_calls_that_are_cancelled_at_any_moment_cost_no_connection",
    ),
    _of(
        _POOL,
        "the reads of one answer are of different moments",
        '"ISOLATION LEVEL REPEATABLE READ READ ONLY"',
        '"ISOLATION LEVEL READ COMMITTED READ ONLY"',
        _STORE + "test_races.py::test_a_user_and_the_rows_of_one_answer_are_of_one_moment",
    ),
    _of(
        _PREFLIGHT,
        "a superuser may serve",
        "if superuser or bypasses:",
        "if bypasses and not superuser:",
        _STORE + "test_preflight.py::test_a_superuser_is_refused",
    ),
    _of(
        _PREFLIGHT,
        "the owner may serve",
        "        if owns:\n",
        "        if owns and not forced:\n",
        _STORE + "test_preflight.py::test_the_owner_is_refused",
    ),
    _of(
        _PREFLIGHT,
        "nobody looks whether row-level security is forced",
        "if not enabled or not forced:",
        "if not enabled:",
        _STORE + "test_preflight.py::test_a_database_whose_isolation_was_weakened_is_refused",
    ),
    _of(
        _PREFLIGHT,
        "a further policy is no matter",
        "if found != _POLICIES[role]:",
        "if not found >= _POLICIES[role]:",
        _STORE + "test_preflight.py::test_a_database_whose_isolation_was_weakened_is_refused",
        _STORE + "test_preflight.py::test_the_maintaining_role_does_not_serve",
    ),
    _of(
        _POSTGRES,
        "an epoch moves on while a user is added under the old one",
        'sql.EPOCHS + " FOR SHARE"',
        "sql.EPOCHS",
        _STORE + "test_races.py::"
        "test_an_epoch_moves_on_only_when_every_user_begun_under_the_old_one_is_there",
    ),
    _of(
        _POSTGRES,
        "a user who is moving looks like one without rows",
        'sql.LOCK_USER + " FOR KEY SHARE"',
        "sql.LOCK_USER",
        _STORE + "test_races.py::test_what_meets_a_user_who_is_just_moving_finds_nobody_and_not_no_rows",
    ),
)

_CHANGES = (
    _of(
        _POOL,
        "others' rows are read on the way to one's own",
        """settings += ", set_config('enable_seqscan', 'off', true)\"""",
        "pass",
        _STORE + "test_isolation.py::"
        "test_a_users_rows_are_found_by_their_index_however_much_of_the_table_they_are",
    ),
    _of(
        "memory/store/statements.py",
        "a memory is kept with a kind of vector that its user has no more, and is never found",
        "AND subject = %s AND embedder = %s AND vectors = %s AND seals",
        "AND subject = %s AND %s <> '' AND %s <> '' AND seals",
        _STORE + "test_contract.py::test_rows_whose_vectors_are_of_another_kind_by_now_are_refused",
    ),
    _of(
        "memory/recall.py",
        "vectors that change their kind under a question look like no memories",
        "            raise _Moved  # each kind",
        "            pass  # each kind",
        "tests/memory/test_recall.py::"
        "test_a_user_whose_vectors_change_their_kind_between_two_reads_is_read_anew",
    ),
    _of(
        "memory/memory.py",
        "an erasure is called final while the key that opens it is in force",
        "if done.resumed:",
        "if not done:",
        "tests/memory/test_rotation.py::test_erasing_with_a_rotation_is_final_though_another_was_interrupted",
    ),
)

_SEALS = (
    _of(
        "memory/sealing.py",
        "a text can be moved to another column: a field of the additional data is dropped",
        "return table.encode(), column.encode(), self.subject.bytes, row.bytes",
        "return table.encode(), self.subject.bytes, row.bytes",
        _SEALING + "test_a_record_does_not_open_in_another_place",
    ),
    _of(
        "memory/sealing.py",
        "a text can be moved to another row",
        "return table.encode(), column.encode(), self.subject.bytes, row.bytes",
        "return table.encode(), column.encode(), self.subject.bytes",
        _SEALING + "test_a_record_does_not_open_in_another_place",
    ),
    _of(
        "memory/sealing.py",
        "a text can be moved to another user",
        "return table.encode(), column.encode(), self.subject.bytes, row.bytes",
        "return table.encode(), column.encode(), row.bytes",
        _SEALING + "test_a_record_does_not_open_for_another_user_even_under_the_same_key",
    ),
    _of(
        "memory/sealing.py",
        "fields are joined without their lengths",
        'return b"".join(len(part).to_bytes(4, "big") + part for part in parts)',
        'return b"".join(parts)',
        _SEALING + "test_different_fields_never_give_the_same_additional_data",
    ),
    _of(
        "memory/sealing.py",
        "a record that names another key is tried all the same: trial decryption",
        "    if record.key_id != key_id:\n",
        "    if not record.key_id:\n",
        _SEALING + "test_the_key_id_alone_decides_which_key_is_tried",
        "tests/memory/test_keys.py::test_the_id_picks_one_key_and_no_other_is_tried",
    ),
    _of(
        "memory/sealing.py",
        "a nonce is used twice",
        "nonce = os.urandom(NONCE_BYTES) if nonce is None else nonce",
        "nonce = bytes(NONCE_BYTES) if nonce is None else nonce",
        _SEALING + "test_no_two_records_share_a_nonce",
    ),
    _of(
        "memory/sealing.py",
        "a key seals for ever",
        "if self._before + self.sealed + 1 >= MOST_SEALS:",
        "if self._before + self.sealed + 1 < 0:",
        _SEALING + "test_a_key_stops_before_it_has_sealed_two_to_the_31",
    ),
)

FAULTS = (*_ISOLATION, *_CHANGES, *_SEALS)
