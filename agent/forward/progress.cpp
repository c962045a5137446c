#include "agent/forward/progress.h"

#include <simdjson.h>

#include <limits>

namespace rivulet::forward {

std::string encode_progress(const Uuid& incarnation, std::uint64_t transaction, const std::vector<Rows>& streams, const ChangelogPartitions& changelogs) {
  std::string json = R"({"v":1,"incarnation":")" + incarnation.text() + R"(","transaction":)" + std::to_string(transaction) + R"(,"streams":{)";
  const char* comma = "";
  for (const auto& stream : streams) {
    json += comma;
    json += '"' + std::to_string(stream.stream) + "\":" + std::to_string(stream.last);
    comma = ",";
  }
  json += "}";
  comma = R"(,"changelogs":{)";
  for (const auto& [topic, partition] : changelogs) {  // a topic's name needs no escapes
    json += comma;
    json += '"' + topic + "\":" + std::to_string(partition);
    comma = ",";
  }
  return json + (changelogs.empty() ? "}" : "}}");
}

std::optional<Progress> decode_progress(std::string_view json) {
  simdjson::dom::parser parser;
  if (parser.allocate(json.size(), 8) != simdjson::SUCCESS) return std::nullopt;
  const auto value = parser.parse(simdjson::padded_string(json));
  std::string_view text;
  Progress progress;
  if (value["incarnation"].get(text) != simdjson::SUCCESS || value["transaction"].get(progress.transaction) != simdjson::SUCCESS) return std::nullopt;
  const auto uuid = Uuid::parse(text);
  if (!uuid) return std::nullopt;
  progress.incarnation = *uuid;
  if (simdjson::dom::object changelogs; value["changelogs"].get(changelogs) == simdjson::SUCCESS) {
    for (const auto& [topic, partition] : changelogs) {
      std::int64_t at = -1;
      if (partition.get(at) != simdjson::SUCCESS || at < 0 || at > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
      progress.changelogs[std::string(topic)] = static_cast<std::int32_t>(at);
    }
  }
  return progress;
}

std::int32_t choose_partition(std::string_view agent_id, std::int32_t partitions) {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a
  for (const unsigned char c : agent_id) hash = (hash ^ c) * 1099511628211ULL;
  return static_cast<std::int32_t>((hash ^ (hash >> 32)) % static_cast<std::uint64_t>(partitions));
}

}  // namespace rivulet::forward
