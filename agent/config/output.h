// Where a pipeline's records go: a topic of Kafka's, or an output on the machine (agent/sink). Thread: any (plain data).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/config/expression.h"
#include "agent/config/location.h"
#include "agent/config/tls.h"

namespace rivulet::config {

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

}  // namespace rivulet::config
