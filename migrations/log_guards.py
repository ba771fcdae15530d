"""What makes the log append-only in the database itself, on both engines.

Entries can be added, never changed or removed. Of a record, a live part may be replaced by what is left of it once
erased (0x00 and its digest, `docs/formats/record.md`), and only while `erasures` names it. The head never steps back.
Superusers can switch triggers off: on PostgreSQL the service's role is not one, nor the owner of the tables.
"""

from __future__ import annotations

PARTITION_ROWS = 2**24
"""Entries in one partition; a full one can be moved to other storage."""

PARTITIONS = 8
"""Partitions made in advance; what comes after them goes to the default partition until a revision adds more."""

SQLITE = (
    "CREATE TRIGGER entries_keep BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
    "CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
    "CREATE TRIGGER records_stay BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'records are append-only'); END",
    """CREATE TRIGGER records_keep BEFORE UPDATE ON records
       WHEN NEW.idx <> OLD.idx OR NEW.part <> OLD.part
         OR substr(OLD.blob, 1, 1) = x'00'
         OR NEW.blob <> CAST(x'00' || substr(OLD.blob, 2, 32) AS BLOB)
         OR NOT EXISTS (SELECT 1 FROM erasures WHERE idx = OLD.idx AND part = OLD.part)
       BEGIN SELECT RAISE(ABORT, 'records are append-only'); END""",
    "CREATE TRIGGER head_stays BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'the head stays'); END",
    """CREATE TRIGGER head_rises BEFORE UPDATE ON head WHEN NEW.size < OLD.size OR NEW.origin <> OLD.origin
       BEGIN SELECT RAISE(ABORT, 'the head never steps back'); END""",
)

POSTGRESQL_FUNCTIONS = (
    """CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
       BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$""",
    """CREATE FUNCTION records_only_erased() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
       BEGIN
         IF NEW.idx = OLD.idx AND NEW.part = OLD.part AND get_byte(OLD.blob, 0) <> 0
            AND NEW.blob = '\\x00'::bytea || substr(OLD.blob, 2, 32)
            AND EXISTS (SELECT 1 FROM erasures e WHERE e.idx = OLD.idx AND e.part = OLD.part)
         THEN RETURN NEW; END IF;
         RAISE EXCEPTION 'records is append-only' USING ERRCODE = 'restrict_violation';
       END $$""",
    """CREATE FUNCTION head_only_rises() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
       BEGIN
         IF NEW.size >= OLD.size AND NEW.origin = OLD.origin THEN RETURN NEW; END IF;
         RAISE EXCEPTION 'the head never steps back' USING ERRCODE = 'restrict_violation';
       END $$""",
)

POSTGRESQL_TRIGGERS = (
    "CREATE TRIGGER entries_keep BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION log_is_append_only()",
    "CREATE TRIGGER records_stay BEFORE DELETE ON records FOR EACH ROW EXECUTE FUNCTION log_is_append_only()",
    "CREATE TRIGGER records_keep BEFORE UPDATE ON records FOR EACH ROW EXECUTE FUNCTION records_only_erased()",
    "CREATE TRIGGER head_stays BEFORE DELETE ON head FOR EACH ROW EXECUTE FUNCTION log_is_append_only()",
    "CREATE TRIGGER head_rises BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION head_only_rises()",
    "CREATE TRIGGER head_whole BEFORE TRUNCATE ON head EXECUTE FUNCTION log_is_append_only()",
)


def postgresql_partitions(table: str) -> list[str]:
    """List the statements that make the partitions of `entries` or `records` and guard each against TRUNCATE.

    Row triggers pass from the whole to its partitions, statement triggers do not.
    """
    statements, names = [], [table]
    for number in range(PARTITIONS):
        low, high = number * PARTITION_ROWS, (number + 1) * PARTITION_ROWS
        names.append(f"{table}_p{number:03}")
        statements.append(f"CREATE TABLE {names[-1]} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high})")
    names.append(f"{table}_rest")
    statements.append(f"CREATE TABLE {names[-1]} PARTITION OF {table} DEFAULT")
    guard = "CREATE TRIGGER {0}_whole BEFORE TRUNCATE ON {0} EXECUTE FUNCTION log_is_append_only()"
    return [*statements, *(guard.format(name) for name in names)]


def statements(product: str) -> list[str]:
    """List everything above for `product`, in the order in which it can be run once the tables are there."""
    if product == "sqlite":
        return list(SQLITE)
    partitions = [each for table in ("entries", "records") for each in postgresql_partitions(table)]
    return [*POSTGRESQL_FUNCTIONS, *partitions, *POSTGRESQL_TRIGGERS]
