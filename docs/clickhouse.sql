-- The lines of docs/uplink.md in ClickHouse (24.8 and later). Insert with FORMAT JSONAsString: a line is one text, and what
-- most queries ask for is a column that is made of it. A field that comes later is there from the first line on:
-- `JSONExtract…(line, 'field')`, or one more MATERIALIZED column.

CREATE DATABASE IF NOT EXISTS weir;

CREATE TABLE IF NOT EXISTS weir.lines
(
    line     String CODEC(ZSTD(3)),
    key      String MATERIALIZED JSONExtractString(line, 'key'),
    schema   UInt8 MATERIALIZED JSONExtractUInt(line, 'schema'),
    at       DateTime64(3, 'UTC') MATERIALIZED fromUnixTimestamp64Milli(JSONExtractInt(line, 'at'), 'UTC'),
    node     LowCardinality(String) MATERIALIZED JSONExtractString(line, 'node'),
    region   LowCardinality(String) MATERIALIZED JSONExtractString(line, 'region'),
    route    LowCardinality(String) MATERIALIZED JSONExtractString(line, 'route'),
    stream   LowCardinality(String) MATERIALIZED JSONExtractString(line, 'stream'),
    session  String MATERIALIZED JSONExtractString(line, 'session'),
    event    LowCardinality(String) MATERIALIZED JSONExtractString(line, 'event'),
    arrived  DateTime MATERIALIZED now(),
    INDEX times at TYPE minmax
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(at)
ORDER BY (session, key)
TTL toDateTime(at) + INTERVAL 30 DAY;

-- A record that a player sends twice comes with another time under the same key: the key alone says that it is the same.

-- The story of one session.
-- SELECT at, event, line FROM weir.lines FINAL WHERE session = '0102030405060708090a0b0c' ORDER BY at;

-- Octets sent by stream and minute.
-- SELECT stream, toStartOfMinute(at) AS minute, sum(JSONExtractUInt(line, 'bytes')) AS bytes
-- FROM weir.lines FINAL WHERE event IN ('served', 'request') GROUP BY stream, minute ORDER BY minute;

-- What the journals of nodes let go of.
-- SELECT node, JSONExtractString(line, 'reason') AS reason, sum(JSONExtractUInt(line, 'count')) AS lost
-- FROM weir.lines FINAL WHERE event = 'lost' GROUP BY node, reason;
