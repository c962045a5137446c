// Config: the validated configuration as plain structs. load() reads YAML and reports every problem in one pass.
//
// Thread: any (plain data). Secrets are held in Secret, whose text never reaches a log or a message.
// Units: durations in ms, sizes in bytes, rates per second.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/config/exec.h"
#include "agent/config/iio.h"
#include "agent/config/secret.h"
#include "agent/config/serial.h"

#include "agent/config/can.h"
#include "agent/config/modbus.h"

namespace rivulet::config {

// Where something stands in the configuration, for messages about it.
struct Location {
  std::string file;
  int line = 0;    // from 1
  int column = 0;  // from 1
};

struct Problem {
  Location at;
  std::string path;  // "pipelines.overheating.steps[1].set"
  std::string message;
  bool warning = false;
  std::string text() const;  // file:line:col: path: message
};

struct Tls {
  std::string ca, certificate;
  std::string key;  // path
  bool verify = true;
  bool operator==(const Tls&) const = default;
};
struct Login {
  std::string username;
  Secret password;
};

struct Agent {
  std::string id;  // never empty after load
  std::string state = "/var/lib/rivulet";
  std::int64_t commit_interval_ms = 1000;
  std::uint64_t memory_bytes = 16ULL << 20;
  std::uint64_t storage_max_bytes = 1ULL << 30;
  bool drop_oldest = false;  // storage.when_full
  bool restore = false;      // an empty state folder is filled from the changelogs at the first start
  std::string compression = "zstd";  // none | lz4 | zstd
};
struct Sasl {
  std::string mechanism;  // PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512
  Location mechanism_at;
  std::string username;
  Secret password;
};
struct Kafka {
  std::vector<std::string> brokers;
  bool exactly_once = true;
  std::int64_t transaction_interval_ms = 1000;
  std::uint64_t transaction_max_bytes = 32ULL << 20;
  std::int64_t transaction_timeout_ms = 60'000;
  std::string progress_topic = "rivulet-progress";
  bool headers = true;  // the rv header on each record
  std::optional<Tls> tls;
  std::optional<Sasl> sasl;
  std::map<std::string, std::string> librdkafka;  // passed through; owned keys were refused
};
struct Status { std::string listen; };  // empty: off; "127.0.0.1:8686" or "unix:/run/..."
struct Log { std::string level = "info"; };

struct MqttSource {
  std::string host;
  std::uint16_t port = 1883;
  bool tls_on = false;
  Tls tls;
  std::vector<std::string> topics;
  int qos = 1;
  int version = 5;  // 5 or 3 (3.1.1); YAML: version: 5 | 3.1.1
  std::optional<Login> login;
  std::string client_id;  // empty: rivulet-<agent>-<source>
  std::uint16_t receive_maximum = 1000;
  std::int64_t keep_alive_ms = 30'000;
  std::int64_t session_expiry_ms = 7LL * 24 * 3600 * 1000;
  std::uint64_t max_packet_bytes = 1ULL << 20;
};
// What servers of byte streams have in common: tcp, unix.
struct StreamSettings {
  enum class Framing { newline, length } framing = Framing::newline;  // length: 4 bytes big endian
  bool acknowledge = false;
  std::optional<Tls> tls;
  std::uint64_t max_frame_bytes = 1ULL << 20;
  std::uint32_t max_clients = 64;
  std::int64_t idle_ms = 0;  // 0: never
  std::uint32_t max_sessions = 10'000;  // remembered HELLO sessions; the longest unused goes first
  bool first_line_names = false;        // csv with a header: a connection's first line is no record (read_decode())
  bool operator==(const StreamSettings&) const = default;
};
struct TcpSource : StreamSettings {
  std::string listen_host;
  std::uint16_t listen_port = 0;
  bool operator==(const TcpSource&) const = default;
};
// What takes datagrams: udp, unix.
struct DatagramSettings {
  bool lines = false;  // framing: newline; else one datagram is one frame
  std::uint64_t max_datagram_bytes = 64ULL << 10;
  bool operator==(const DatagramSettings&) const = default;
};
struct UdpSource : DatagramSettings {
  std::string listen_host;  // an IP address; a multicast one is joined
  std::uint16_t listen_port = 0;
  std::uint64_t receive_buffer_bytes = 1ULL << 20;  // in the kernel
  bool operator==(const UdpSource&) const = default;
};
struct UnixSource {
  std::string path;  // of the socket file
  std::uint32_t mode = 0660;
  bool datagrams = false;  // type: datagram; `datagram` holds then, else `stream`
  StreamSettings stream;
  DatagramSettings datagram;
};
struct HttpSource {
  std::string listen_host;
  std::uint16_t listen_port = 0;
  std::string path = "/";
  Secret token;  // empty: none is asked for
  std::optional<Tls> tls;
  enum class Framing { automatic, newline, body } framing = Framing::automatic;
  std::uint64_t max_body_bytes = 1ULL << 20;  // decompressed
  std::uint64_t max_bodies_bytes = 8ULL << 20;  // of all requests at a time
  std::uint32_t max_clients = 64;
  std::int64_t timeout_ms = 60'000;  // of a request, from its first byte to its last
  std::int64_t idle_ms = 60'000;     // between requests
  struct Idempotency {
    std::int64_t window_ms = 24LL * 3600 * 1000;  // of running time
    std::uint32_t max = 10'000;
  } idempotency;
};
struct FileSource {
  std::string path;  // a path or a glob in its last component
  bool from_end = false;  // start: beginning | end (of files seen for the first time)
  std::uint64_t max_line_bytes = 1ULL << 20;
  std::int64_t poll_ms = 250;
  bool first_line_names = false;  // csv with a header: a file's first line is no record
  enum class Compression { none, gzip, zstd, automatic } compression = Compression::none;  // not none: files that are complete when they appear
};
struct KafkaSource {
  std::string topic;
  Location topic_at;
  bool bootstrap = false;  // a table: it is read to its end before other sources begin
};
struct StdinSource {
  std::uint64_t max_line_bytes = 1ULL << 20;
  bool first_line_names = false;  // csv with a header: the first line is no record
};
struct SimulateSource {
  std::uint32_t devices = 10;
  double rate_per_s = 100;
  std::uint64_t seed = 1;
  std::optional<std::uint64_t> count;  // ends after so many records
};

// Time of stateful steps. Stream time is the highest timestamp seen, over all keys or for each key.
struct Time {
  enum class Scope { stream, key } scope = Scope::stream;
  std::int64_t idle_ms = 0;    // without input for so long, stream time moves on with the wall clock; 0: never
  std::int64_t future_ms = 24LL * 3600 * 1000;  // timestamps further ahead of the clock are set aside; 0: never
  bool operator==(const Time&) const = default;
};

struct Decode {
  enum class Kind { json, raw, influx, cbor, csv } kind = Kind::json;
  std::vector<std::string> columns;  // csv: names in the place of the header's; empty: the header's
  bool header = false;               // csv: the first line of each file, connection or message is one
  char separator = ',';              // csv
  std::string pattern;               // raw: named groups become fields; empty: the whole is the field `value`
  Location pattern_at;
  bool guess = true;                 // csv, a pattern: what reads as a JSON number, true or false is one; else all is text
};
struct TimestampFrom {
  std::string field;
  enum class Unit { s, ms, us, ns, rfc3339 } unit = Unit::ms;
};
struct Source {
  std::string name;
  Location at;
  std::variant<MqttSource, TcpSource, FileSource, StdinSource, SimulateSource, KafkaSource, UdpSource, UnixSource, ExecSource, SerialSource, IioSource, ModbusSource, CanSource, HttpSource> type;
  Decode decode;
  std::string key;  // an expression; empty: null key, or Kafka's
  Location key_at;
  std::optional<TimestampFrom> timestamp;  // absent: arrival time, or Kafka's
  std::optional<std::string> undecodable;  // a topic; absent: the quarantine table
  std::optional<Time> time;
  std::string topic_field;                 // the frame's topic becomes this field ("" = off)
};

// Steps keep their configuration order. Expressions are SQL text; `at` is where the expression stands.
struct Expression {
  std::string sql;
  Location at;
};
struct Assignment {
  std::string field;
  Expression expression;
};

// Outputs besides Kafka (agent/sink).
struct FileOutput {
  std::string path;  // absolute, without . and ..
  bool csv = false;  // else NDJSON: a line a record
  std::vector<std::string> columns;  // csv: fields
  char separator = ',';              // csv
  bool header = true;                // csv: the first line of each file names the columns
  bool whole = false;                // NDJSON: key, value and time; else the value alone
  std::uint64_t rotate_bytes = 0;    // 0: never
  std::int64_t rotate_ms = 0;        // 0: never
  std::uint32_t keep = 0;            // of the files that were rotated away; 0: all
};
struct MqttOutput {
  std::string host;
  std::uint16_t port = 1883;
  bool tls_on = false;
  Tls tls;
  int version = 5;  // 5 or 3 (3.1.1)
  std::optional<Login> login;
  std::string client_id;  // empty: rivulet-<agent>-<pipeline>:out
  std::string topic;      // empty: by an expression. Either is the output's key
  Location topic_at;
  bool retain = false;
  std::uint16_t in_flight = 100;
  std::int64_t keep_alive_ms = 30'000;
};
struct StdoutOutput { bool whole = false; };
using LocalOutput = std::variant<FileOutput, MqttOutput, StdoutOutput>;

struct Output {
  std::string topic;  // Kafka's; of a local output its destination, "file:/path", "mqtt://host:port" or "stdout:", which is no legal topic
  std::optional<Expression> key;  // absent: the record's key. Of mqtt: the message's topic
  bool windowed_key = false;      // Kafka Streams' windowed key bytes
  std::optional<LocalOutput> local;
  Location at;
};

struct Where { Expression condition; };
struct Select { std::vector<Assignment> fields; };  // the record becomes exactly these
struct Set { std::vector<Assignment> fields; };
struct Drop { std::vector<std::string> fields; };
struct Rename { std::vector<std::pair<std::string, std::string>> fields; };  // old, new
struct Key { Expression expression; };
struct SetTimestamp { Expression expression; };  // its result is ms since 1970
struct LogStep { std::string message; std::string level = "info"; };  // message: text, ${field} not substituted
struct Flatten {
  std::string separator = "_";
  std::uint32_t depth = 0;          // so many levels are taken apart; 0: all
  std::uint32_t max_fields = 1000;  // a record that would have more is set aside
  std::optional<std::string> explode;  // a field with a list: a record for each of its elements
};
struct Constant {
  std::string text;
  bool plain = false;  // without quotes: a number, true, false or null where it reads as one
};
struct Enrich {
  using Row = std::vector<std::pair<std::string, Constant>>;
  struct Rows {
    std::map<std::string, Row> by_key;
    Row otherwise;
  };
  std::optional<Expression> by;      // absent: the record's key
  std::shared_ptr<const Rows> rows;  // a configuration is copied, its tables are not
};
struct Clamp {
  std::int64_t future_ms = 0;  // timestamps further ahead of the clock than this ...
  bool to_limit = false;       // ... become the clock's time; or the clock's time and this
};
struct Route {
  struct Case {
    Expression when;
    Output to;
  };
  std::vector<Case> cases;
  std::optional<Output> otherwise;
  bool all = false;  // every case that holds, not the first alone
};

struct WindowSpec {
  enum class Kind { none, tumbling, hopping, sliding, session } kind = Kind::none;
  std::int64_t size_ms = 0;     // of a sliding window: the difference; of a session: the gap
  std::int64_t advance_ms = 0;  // hopping; tumbling: the size
  std::int64_t grace_ms = 0;
  Location at;
};
enum class EmitWhen { updates, every_change, closed };
struct Aggregate {
  WindowSpec window;
  std::optional<Expression> by;  // absent: the record's key
  std::vector<Assignment> select;
  std::optional<Expression> having;
  EmitWhen emit = EmitWhen::updates;
  bool emit_given = false;
  enum class Suppressed { no, until_closed, limit } suppressed = Suppressed::no;  // by the step after it
  std::optional<std::string> late_topic;
  bool of_table = false;  // of a table's rows, found by load(): a row that changes takes back what it gave
};
struct Suppress {
  bool until_closed = true;
  std::int64_t limit_ms = 0;  // else
};
struct Table { std::optional<std::int64_t> history_ms; };  // with history: versioned
struct Join {
  enum class Kind { inner, left, outer } kind = Kind::inner;
  std::string with;  // a source, a pipeline or a lookup table
  Location with_at;
  struct Within {
    std::int64_t before_ms = 0, after_ms = 0;  // left l matches right from l - before to l + after; either may be negative
    std::int64_t grace_ms = 0;
  };
  std::optional<Within> within;
  std::optional<std::int64_t> grace_ms;  // stream-table
  std::optional<Expression> on;          // over the left record: the key of the other table's row
  std::vector<Assignment> select;        // empty: {"left":...,"right":...}
  std::optional<std::string> late_topic;
  // What the two inputs are, found by load():
  enum class How { stream_stream, stream_table, table_table, foreign_key, lookup } how = How::stream_stream;
  std::string left_table, right_table;  // "<pipeline>/<step>", or the name of a LookupTable; empty: a stream
};
struct Absence { std::int64_t after_ms = 0; };

// Whose records a step looks at together: those of a key, or all.
struct Grouped {
  std::optional<Expression> by;  // absent: the record's key
  bool all = false;
};
struct Sample : Grouped {
  std::uint64_t every = 0;       // the first of so many; 0: at most one in
  std::int64_t interval_ms = 0;  // of event time
};
struct Dedupe {
  Expression by;
  std::int64_t within_ms = 0;
};
struct Deadband : Grouped {
  std::string field;
  double change = 0;     // from the last reported value; more than that is reported
  bool percent = false;  // of that value
  std::optional<std::int64_t> max_silence_ms;
};
struct RateLimit : Grouped {
  std::uint64_t max = 1;
  std::int64_t per_ms = 1000;  // intervals of event time, aligned to 0
  bool thin = false;           // the last of an interval comes at its end, instead of the first ones alone
};

struct Step {
  std::string kind;  // as written: "where", "set", ...
  Location at;
  std::string path;  // "pipelines.p.steps[0]"
  std::string name;  // of a stateful step: its state's; of a route: its streams'; default: its kind
  std::variant<Where, Select, Set, Drop, Rename, Key, SetTimestamp, LogStep, Flatten, Enrich, Clamp, Route, Aggregate, Suppress, Table, Join, Absence, Sample, Dedupe, Deadband, RateLimit> what;
};
bool is_stateful(const Step& step);
bool has_name(const Step& step);  // that no other step of the pipeline has

// Rows by key that come from elsewhere, for joins.
struct LookupTable {
  std::string name;
  Location at;
  enum class Kind { file, sqlite } kind = Kind::file;
  std::string path;   // file: .csv, .json, .jsonl
  std::string query;  // sqlite
  std::string key;    // the field that is a row's key
};

struct Pipeline {
  std::string name;
  Location at;
  std::optional<Time> time;
  std::vector<std::string> from;  // sources or pipelines; all exist, no cycles
  std::vector<Step> steps;
  std::vector<Output> to;
  std::optional<std::string> changelog;  // a compacted topic that its state goes to
};
std::vector<const Output*> outputs_of(const Pipeline& pipeline);  // its `to`, and those of its route steps

struct Config {
  std::string file;
  Agent agent;
  std::optional<Kafka> kafka;  // required when any pipeline has `to` a topic (except for replay and check)
  Status status;
  Log log;
  std::vector<Source> sources;      // in the order of the file
  struct Extension {
    std::string path;
    Location at;
  };
  std::vector<Extension> extensions;  // SQLite's, for expressions
  std::vector<LookupTable> tables;
  std::vector<Pipeline> pipelines;  // in topological order: a pipeline comes after every one it reads from
};

struct Loaded {
  Config config;                  // meaningful only when no problem is an error
  std::vector<Problem> problems;  // errors and warnings, in order of file and line
  bool ok() const;
};

// Reads FILE and the *.yaml of pipelines.d/ beside it. Never throws on bad input. Expressions are not compiled here
// (config knows no SQLite): the pipeline room checks them and adds its own Problems.
Loaded load(const std::string& file);
Loaded load_text(const std::string& text, const std::string& file_name);  // no pipelines.d

}  // namespace rivulet::config
