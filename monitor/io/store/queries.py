"""The longer questions to the store, in SQL."""

from __future__ import annotations

from typing import Final

DECODER_STATE: Final = "decoder:"
"""How the names of the states begin that are a decoder's memory, and no part of a checkpoint."""

PUT_STATE: Final = (
    "INSERT INTO state (stage, json) VALUES (?, ?) ON CONFLICT (stage) DO UPDATE SET json = excluded.json"
)

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
SPANS = _SUBJECTS.format(
    what="(SELECT min(p.time_ns) FROM product AS p WHERE p.kind = :kind AND p.subject = step.subject),"
    " (SELECT max(p.time_ns) FROM product AS p WHERE p.kind = :kind AND p.subject = step.subject)"
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

# One after the other: asked for together, they would be looked for among all.
SPAN = (
    "SELECT (SELECT min(time_ns) FROM product WHERE kind = :kind AND subject = :subject),"
    " (SELECT max(time_ns) FROM product WHERE kind = :kind AND subject = :subject)"
)
NEWEST_PAYLOAD = (
    "SELECT payload FROM product WHERE kind = :kind AND subject = :subject AND length(payload) > 0"
    " ORDER BY time_ns DESC, revision DESC LIMIT 1"
)
LAST_COMMITTED = (
    "SELECT payload FROM product WHERE row ="
    " (SELECT max(row) FROM product WHERE kind = :kind AND subject = :subject)"
)
NEWEST_REVISIONS = """
    SELECT time_ns, payload FROM product AS p WHERE kind = :kind AND subject = :subject
    AND time_ns > :after AND time_ns < :end AND revision = (SELECT max(n.revision) FROM product AS n
        WHERE n.kind = p.kind AND n.subject = p.subject AND n.time_ns = p.time_ns)
    ORDER BY time_ns LIMIT :limit"""
# Events of one subject and start count their updates from thousands of their own: an event is one of these.
NEWEST_UPDATES = """
    SELECT time_ns, subject, revision, payload FROM product AS p WHERE kind = 'event'
    AND (time_ns, subject, revision) > (:time, :subject, :revision) AND time_ns < :end
    AND NOT EXISTS (SELECT 1 FROM product AS n WHERE n.kind = 'event' AND n.subject = p.subject
        AND n.time_ns = p.time_ns AND n.revision > p.revision AND n.revision < (p.revision / 1000 + 1) * 1000)
    ORDER BY time_ns, subject, revision LIMIT :limit"""

KEEP_SPECTRUM = (
    "INSERT INTO spectrum (pair, time_ns, revision, data) VALUES (?, ?, ?, ?) ON CONFLICT (pair, time_ns) DO UPDATE"
    " SET revision = excluded.revision, data = excluded.data WHERE excluded.revision >= revision"
)
# A row of each pair at a time: the index leads from pair to pair, and to the oldest of each.
PRUNE_SPECTRA = """
    DELETE FROM spectrum WHERE (pair, time_ns) IN (
        WITH RECURSIVE step (pair) AS (
            SELECT min(pair) FROM spectrum
            UNION ALL
            SELECT (SELECT min(s.pair) FROM spectrum AS s WHERE s.pair > step.pair)
            FROM step WHERE step.pair IS NOT NULL)
        SELECT old.pair, old.time_ns FROM step JOIN spectrum AS old ON old.pair = step.pair
        WHERE old.time_ns < (SELECT max(s.time_ns) FROM spectrum AS s WHERE s.pair = step.pair) - :kept
        LIMIT :limit)"""
SPECTRA = "SELECT time_ns, revision, data FROM spectrum WHERE pair = ? AND time_ns >= ? AND time_ns < ? ORDER BY time_ns LIMIT ?"
