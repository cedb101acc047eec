"""Makes the table of docs/clickhouse.sql in an embedded ClickHouse, inserts the lines of a file twice, and asks for them.

    python tests/foreign/clickhouse.py SQL LINES

Prints, as JSON, how many lines there are by event, each counted once. Exits with 77 where `chdb` is not installed
(`pip install chdb`).
"""

import json
import sys
import tempfile

try:
    from chdb import session
except ImportError:
    sys.exit(77)

table, lines = (open(name, encoding="utf-8").read() for name in sys.argv[1:3])
with tempfile.TemporaryDirectory() as folder:
    database = session.Session(folder)
    for statement in table.split(";"):
        if any(line.strip() and not line.strip().startswith("--") for line in statement.splitlines()):
            database.query(statement)
    for _ in range(2):
        # As the HTTP interface gets it: the statement, then the batch.
        database.query("INSERT INTO weir.lines FORMAT JSONAsString\n" + lines)
    found = database.query(
        "SELECT event, count() AS lines, min(at) AS first FROM weir.lines FINAL GROUP BY event ORDER BY event", "JSONEachRow"
    )
    print(json.dumps([json.loads(row) for row in str(found).splitlines() if row]))
    for statement in [part for part in table.split(";") if "-- SELECT" in part]:
        query = "\n".join(line[3:] for line in statement.splitlines() if line.startswith(("-- SELECT", "-- FROM")))
        database.query(query)
    database.close()
