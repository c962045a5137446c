// A source: its type with its settings, and what becomes of its bytes. Types that have more to say have a header of their own.
//
// Thread: any (plain data). Units: durations in ms, sizes in bytes, rates per second.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/config/can.h"
#include "agent/config/exec.h"
#include "agent/config/iio.h"
#include "agent/config/location.h"
#include "agent/config/modbus.h"
#include "agent/config/secret.h"
#include "agent/config/serial.h"
#include "agent/config/tls.h"

namespace rivulet::config {

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
};
struct TcpSource : StreamSettings {
  std::string listen_host;
  std::uint16_t listen_port = 0;
};
// What takes datagrams: udp, unix.
struct DatagramSettings {
  bool lines = false;  // framing: newline; else one datagram is one frame
  std::uint64_t max_datagram_bytes = 64ULL << 10;
};
struct UdpSource : DatagramSettings {
  std::string listen_host;  // an IP address; a multicast one is joined
  std::uint16_t listen_port = 0;
  std::uint64_t receive_buffer_bytes = 1ULL << 20;  // in the kernel
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
  std::int64_t idle_ms = 0;    // without input for so long, stream time moves on with the clock; 0: never
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

}  // namespace rivulet::config
