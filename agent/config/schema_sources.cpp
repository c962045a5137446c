// The keys of sources and their codecs.
#include "agent/config/schema.h"

namespace rivulet::config::schema {
namespace {

using namespace keys;

constexpr std::uint64_t kMaxFrame = 16 * kMiB;

constexpr Setting max_line() { return size("max_line", 64, kMaxFrame, "a longer line is left out, counted").else_("1MiB"); }

constexpr Setting kSource[] = {
    map("mqtt", mqtt, "subscribes at an MQTT server").one_of(),
    map("tcp", tcp, "takes records from TCP clients").one_of(),
    map("udp", udp, "takes datagrams").one_of(),
    map("unix", unix_socket, "takes records at a unix-domain socket").one_of(),
    map("http", http, "takes records that are POSTed").one_of(),
    map("file", file, "reads files as they grow").one_of(),
    map("stdin", stdin_lines, "reads its standard input").one_of(),
    map("simulate", simulate, "makes records of its own").one_of(),
    map("kafka", kafka_topic, "reads a topic of the cluster of the kafka section").one_of(),
    map("exec", exec, "takes the lines that a command prints").one_of(),
    map("serial", serial, "reads a serial port").one_of(),
    map("iio", iio, "reads sensors of this machine through sysfs").one_of(),
    map("modbus", modbus, "polls the registers of Modbus slaves, TCP or RTU").one_of(),
    map("can", can, "takes the signals out of the frames of a CAN bus").one_of(),
    word("decode", "json | raw | influx | cbor | csv", "from bytes to fields; with settings: a map such as `csv: {separator: \";\"}`").else_("json").or_map(decode),
    expression("key", "the record's key; absent: none, or Kafka's"),
    map("timestamp", timestamp, "event time; absent: arrival, or Kafka's"),
    topic("undecodable", "the topic of what cannot be decoded; absent: the quarantine table"),
    map("time", time, "how stream time goes on"),
    text("topic_field", "the field that takes the MQTT topic, the file's path, the session's name or the sender's address; absent: none"),
};
constexpr Setting kTimestamp[] = {
    text("field", "the field that holds the event time").needed(),
    word("unit", "s | ms | us | ns | rfc3339", "since 1970").else_("ms"),
};

constexpr Setting kDecode[] = {
    map("json", no_keys, "objects; other values become the field `value`").one_of(),
    map("raw", raw, "the whole is the text `value`; with a pattern its named groups are fields").one_of(),
    map("influx", no_keys, "line protocol").one_of(),
    map("cbor", no_keys, "RFC 8949").one_of(),
    map("csv", csv, "RFC 4180").one_of(),
};
constexpr Setting kCsv[] = {
    text("columns", "the fields' names; absent: the header names them").listed(),
    boolean("header", "the first line of each file, connection or message is one; absent: unless there are `columns`"),
    text("separator", "one ASCII character").else_("\",\""),
    word("types", "guess | text", "numbers, true, false and empty fields without quotes are those, or all is text").else_("guess"),
};
constexpr Setting kRaw[] = {
    text("pattern", "a regular expression (PCRE2) with named groups, such as `^(?<level>[A-Z]+) (?<text>.*)$`"),
    word("types", "guess | text", "of the groups").else_("guess"),
};

constexpr Setting kMqtt[] = {
    text("url", "mqtt://host:1883 or mqtts://host:8883").needed(),
    text("topics", "topic filters such as `plant/+/temperature`").listed().needed(),
    integer("qos", 0, 2, "of the subscription").else_("1"),
    word("version", "5 | 5.0 | 3.1.1", "of MQTT").else_("5"),
    text("username", "the login's name"),
    secret("password", "best as \"${file:PATH}\""),
    text("client_id", "absent: rivulet-<agent>-<source>"),
    integer("receive_maximum", 1, 65'535, "messages that wait for their acknowledgement").else_("1000"),
    duration("keep_alive", kSecond, 65'535 * kSecond, "a server that is silent for longer is left").else_("30s"),
    duration("session_expiry", kMinute, 49'000 * kDay, "how long the server keeps the session of an agent that is away").else_("7d"),
    size("max_packet", 1024, kMaxFrame, "a larger message is acknowledged, dropped, and counted as packet_too_large; any other larger packet closes the connection").else_("1MiB"),
    boolean("tls", "with mqtts://").or_map(tls),
};
constexpr Setting kTcp[] = {
    text("listen", "an address such as 0.0.0.0:5000").needed(),
    word("framing", "newline | length", "a line each, or 4 bytes of length (big endian) before each").else_("newline"),
    boolean("acknowledge", "after the commit, with resume (HELLO)").else_("false"),
    boolean("tls", "needs `certificate` and `key`; with `ca` clients need one, too").or_map(tls),
    size("max_frame", 64, kMaxFrame, "a longer one closes the connection").else_("1MiB"),
    integer("max_clients", 1, 10'000, "connections at a time").else_("64"),
    duration("idle", 100, 365 * kDay, "a client that is silent for longer is closed; absent: never"),
    integer("max_sessions", 1, 1'000'000, "remembered HELLO sessions; the longest unused goes first").else_("10000"),
};
constexpr Setting kUdp[] = {
    text("listen", "an IP address and port; a multicast one is joined").needed(),
    word("framing", "datagram | newline", "a record each, or a line each").else_("datagram"),
    size("max_datagram", 64, 64 * kKiB, "a longer one is left out, counted").else_("64KiB"),
    size("receive_buffer", 4 * kKiB, 256 * kMiB, "in the kernel").else_("1MiB"),
};
constexpr Setting kUnix[] = {
    text("path", "the socket file; one that a dead process left is replaced").needed(),
    word("type", "stream | datagram", "connections, or datagrams").else_("stream"),
    text("mode", "the socket file's permissions, octal; who may write may send").else_("0660"),
    word("framing", "newline | length | datagram", "a line each, 4 bytes of length (big endian) before each, or a datagram each; absent: newline, for datagrams datagram"),
    size("max_frame", 64, kMaxFrame, "a longer one closes the connection; a longer datagram is left out, counted; absent: 1MiB, for datagrams 64KiB"),
    boolean("acknowledge", "after the commit, with resume (HELLO); of a stream").else_("false"),
    integer("max_clients", 1, 10'000, "connections at a time").else_("64"),
    duration("idle", 100, 365 * kDay, "a client that is silent for longer is closed; absent: never"),
    integer("max_sessions", 1, 1'000'000, "remembered HELLO sessions; the longest unused goes first").else_("10000"),
};
constexpr Setting kHttp[] = {
    text("listen", "an address such as 0.0.0.0:8080").needed(),
    text("path", "what is POSTed to; anything else is 404").else_("/"),
    secret("token", "clients show it as `Authorization: Bearer TOKEN`; best as \"${file:PATH}\"; absent: none is asked for"),
    boolean("tls", "needs `certificate` and `key`; with `ca` clients need one, too").or_map(tls),
    word("framing", "auto | newline | body", "a record each line, or the body as one frame; auto: by the Content-Type and the codec").else_("auto"),
    size("max_body", 64, kMaxFrame, "decompressed; a longer one is 413").else_("1MiB"),
    size("max_bodies", 64, kGiB, "of all requests at a time; more is 503. Above 64MiB the unit's MemoryMax=256M is too little (drop-ins/memory.conf)").else_("8MiB"),
    integer("max_clients", 1, 10'000, "connections at a time").else_("64"),
    duration("timeout", kSecond, kDay, "of a request, from its first byte to its last").else_("60s"),
    duration("idle", kSecond, kDay, "a connection without a request for longer is closed").else_("60s"),
    map("idempotency", idempotency, "what is remembered of requests with an Idempotency-Key"),
};
constexpr Setting kIdempotency[] = {
    duration("window", kSecond, 365 * kDay, "for so long, of the agent's running time").else_("24h"),
    integer("max", 1, 1'000'000, "keys; the oldest goes first").else_("10000"),
};
constexpr Setting kFile[] = {
    text("path", "`*` `?` `[` in the last part").needed(),
    word("start", "beginning | end", "of files that are seen for the first time").else_("beginning"),
    max_line(),
    duration("poll", 10, kMinute, "how often files are looked at; once a second at most after a minute without a change").else_("250ms"),
    word("compression", "none | gzip | zstd | auto", "with gzip, zstd or auto (by their first bytes) the files are complete when they appear, and each is read once").else_("none"),
};
constexpr Setting kStdin[] = {max_line()};
constexpr Setting kSimulate[] = {
    integer("devices", 1, 100'000, "sensors").else_("10"),
    rate("rate", "of all together").else_("100/s"),
    integer("seed", 0, UINT64_MAX, "the same seed gives the same values").else_("1"),
    integer("count", 1, UINT64_MAX, "records; absent: endless"),
};
constexpr Setting kKafkaTopic[] = {
    topic("topic", "the topic to read").needed(),
    boolean("bootstrap", "other sources wait until it was read to its end once (a table)").else_("false"),
};

}  // namespace

constinit const Section source{kSource}, timestamp{kTimestamp}, decode{kDecode}, csv{kCsv}, raw{kRaw}, no_keys{};
constinit const Section mqtt{kMqtt}, tcp{kTcp}, udp{kUdp}, unix_socket{kUnix}, http{kHttp}, idempotency{kIdempotency}, file{kFile}, stdin_lines{kStdin}, simulate{kSimulate}, kafka_topic{kKafkaTopic};

}  // namespace rivulet::config::schema
