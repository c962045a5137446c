// What `rivulet explain` says of local outputs.
#include <fmt/core.h>

#include "agent/sink/file/rotated.h"
#include "agent/sink/sinks.h"

namespace rivulet::sink {
namespace {

std::string rotation(const config::FileOutput& file) {
  if (file.rotate_bytes == 0 && file.rotate_ms == 0) return "never rotated: it grows until the disk is full";
  std::string when;
  if (file.rotate_bytes > 0) when = fmt::format("at {} bytes", file.rotate_bytes);
  if (file.rotate_ms > 0) when += fmt::format("{}{} s after it was begun (with the next record)", when.empty() ? "" : " or ", file.rotate_ms / 1000);
  return fmt::format("renamed to {} and so on {}; {}", rotated_name(file.path, 1), when, file.keep == 0 ? "all are kept" : fmt::format("{} of them are kept, older ones deleted", file.keep));
}

std::string of_file(const config::FileOutput& file) {
  return fmt::format("to file {} ({}); {}\n  exactly once, also after a crash or a power cut: each is made durable there (fdatasync, once an epoch) before it leaves the store,\n"
                     "  and what a crash left half done is cut away; at least once where others rename or change the file",
                     file.path, file.csv ? "CSV" : file.whole ? "NDJSON, key, value and time" : "NDJSON, the value", rotation(file));
}

std::string of_mqtt(const config::MqttOutput& mqtt) {
  return fmt::format("to MQTT {}://{}:{}, topic {}{}, version {}{}\n  at least once: a message leaves the store with its PUBACK (QoS 1), {} under way at most; after a crash or a lost connection those come again",
                     mqtt.tls_on ? "mqtts" : "mqtt", mqtt.host, mqtt.port, mqtt.topic.empty() ? "by an expression" : mqtt.topic, mqtt.retain ? ", retained" : "", mqtt.version == 5 ? "5" : "3.1.1",
                     mqtt.login ? ", with a login" : "", mqtt.in_flight);
}

}  // namespace

std::string describe(const config::LocalOutput& output) {
  if (const auto* file = std::get_if<config::FileOutput>(&output)) return of_file(*file);
  if (const auto* mqtt = std::get_if<config::MqttOutput>(&output)) return of_mqtt(*mqtt);
  return fmt::format("to the standard output (NDJSON, {})\n  at least once as far as the pipe: what its reader has not read when the machine goes down is gone; after a crash the last ones come again",
                     std::get<config::StdoutOutput>(output).whole ? "key, value and time" : "the value");
}

}  // namespace rivulet::sink
