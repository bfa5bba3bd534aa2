"""The longer questions to the store, in SQL."""

from __future__ import annotations

# Products are kept for years: these step from one kind or subject to the next through the index, and never scan it.
KINDS = """
    WITH RECURSIVE step (kind) AS (
        SELECT min(kind) FROM product
        UNION ALL
        SELECT (SELECT min(p.kind) FROM product AS p WHERE p.kind > step.kind) FROM step WHERE step.kind IS NOT NULL)
    SELECT kind FROM step WHERE kind IS NOT NULL"""
_SUBJECTS = """
    WITH RECURSIVE step (subject) AS (
        SELECT min(subject) FROM product WHERE kind = :kind
        UNION ALL
        SELECT (SELECT min(p.subject) FROM product AS p WHERE p.kind = :kind AND p.subject > step.subject)
        FROM step WHERE step.subject IS NOT NULL)
    SELECT subject, {what} FROM step WHERE subject IS NOT NULL"""
NEWEST_TIMES = _SUBJECTS.format(
    what="(SELECT max(p.time_ns) FROM product AS p WHERE p.kind = :kind AND p.subject = step.subject)"
)
LATEST = _SUBJECTS.format(
    what="(SELECT p.payload FROM product AS p WHERE p.kind = :kind AND p.subject = step.subject"
    " ORDER BY p.time_ns DESC, p.revision DESC LIMIT 1)"
)


def in_payload(path: str) -> str:
    """The SQL expression of one value in the JSON of a product; NULL where the payload is no JSON."""
    text = "CAST(payload AS TEXT)"
    return f"CASE WHEN json_valid({text}) THEN json_extract({text}, '{path}') END"


# Added after the first stores were laid out, and no part of the schema's version: a program that does not know it
# keeps it right all the same.
EVENT_INDEX = f"CREATE INDEX IF NOT EXISTS event_by_id ON product ({in_payload('$.id')}) WHERE kind = 'event'"
# Its condition is that of the index, word for word.
EVENT = f"SELECT subject, payload FROM product WHERE kind = 'event' AND {in_payload('$.id')} = :id LIMIT 1"  # noqa: S608 (constants)
UPDATES = (
    "SELECT payload FROM product WHERE kind = 'event' AND subject = :subject"  # noqa: S608 (constants)
    f" AND {in_payload('$.properties.data_id')} = :data_id ORDER BY revision DESC LIMIT 1"
)
