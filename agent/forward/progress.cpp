#include "agent/forward/progress.h"

#define BOOST_JSON_HEADER_ONLY 1
#include <boost/json/src.hpp>

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
  boost::json::parse_options options;
  options.max_depth = 8;
  boost::system::error_code error;
  const auto value = boost::json::parse({json.data(), json.size()}, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  const auto& object = value.get_object();
  const auto* incarnation = object.if_contains("incarnation");
  const auto* transaction = object.if_contains("transaction");
  if (incarnation == nullptr || !incarnation->is_string() || transaction == nullptr) return std::nullopt;
  const auto& text = incarnation->get_string();
  const auto uuid = Uuid::parse({text.data(), text.size()});
  boost::system::error_code not_a_number;
  const auto number = transaction->to_number<std::uint64_t>(not_a_number);
  if (!uuid || not_a_number) return std::nullopt;
  Progress progress{*uuid, number, {}};
  if (const auto* changelogs = object.if_contains("changelogs"); changelogs != nullptr && changelogs->is_object()) {
    for (const auto& [topic, partition] : changelogs->get_object()) {
      const auto at = partition.to_number<std::int32_t>(not_a_number);
      if (not_a_number || at < 0) return std::nullopt;
      progress.changelogs[std::string(topic.data(), topic.size())] = at;
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
