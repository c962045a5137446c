// Outputs beside each other and beside the sources: who would write over whom, and what would go round.
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

// Each local output has a thread of its own.
constexpr std::size_t kMaxLocalOutputs = 64;

// MQTT 5.0 section 4.7. A topic that begins with $ is matched by no wildcard.
bool matches(std::string_view filter, std::string_view topic) {
  if (!topic.empty() && topic.front() == '$' && !filter.empty() && (filter.front() == '+' || filter.front() == '#')) return false;
  for (;;) {
    if (filter == "#") return true;
    const std::size_t filter_end = filter.find('/'), topic_end = topic.find('/');
    const std::string_view level = filter.substr(0, filter_end);
    if (level != "+" && level != topic.substr(0, topic_end)) return false;
    if (topic_end == std::string_view::npos) return filter_end == std::string_view::npos || filter.substr(filter_end) == "/#";
    if (filter_end == std::string_view::npos) return false;
    filter.remove_prefix(filter_end + 1);
    topic.remove_prefix(topic_end + 1);
  }
}

class Check {
 public:
  Check(const Config& config, Report& report) : config_(config), report_(report) {}

  void pipeline(const Pipeline& pipeline) {
    std::map<std::string, int> here;
    for (const Output& output : pipeline.to) {
      path_ = "pipelines." + pipeline.name + ".to";
      if (output.topic.empty()) continue;  // reported
      if (here[output.topic]++ > 0) report_.error(output.at, path_, "'" + output.topic + "' stands twice; expected each output of a pipeline to go elsewhere, or a pipeline of its own");
      if (!output.local) continue;
      if (++locals_ == kMaxLocalOutputs + 1) report_.error(output.at, path_, "is one local output too many, expected at most " + std::to_string(kMaxLocalOutputs));
      if (const auto* file = std::get_if<FileOutput>(&*output.local)) check_file(pipeline, output, *file);
      if (const auto* mqtt = std::get_if<MqttOutput>(&*output.local)) check_mqtt(*mqtt);
    }
  }

 private:
  void check_file(const Pipeline& pipeline, const Output& output, const FileOutput& file) {
    if (const auto [other, is_new] = files_.emplace(file.path, pipeline.name); !is_new && other->second != pipeline.name)
      report_.error(output.at, path_, "pipeline '" + other->second + "' writes to '" + file.path + "' as well; expected a file of its own (or one pipeline with both in its `from`)");
    const std::filesystem::path path(file.path);
    if (path.parent_path() == std::filesystem::path(config_.agent.state).lexically_normal() || path.parent_path().string() + "/" == config_.agent.state)
      report_.error(output.at, path_, "'" + file.path + "' lies beside the agent's own files in agent.state; expected another folder (one in there will do)");
    const std::string rotated = (path.parent_path() / (path.stem().string() + ".000001" + path.extension().string())).string();
    for (const Source& source : config_.sources) {
      const auto* reads = std::get_if<FileSource>(&source.type);
      if (reads != nullptr && (::fnmatch(reads->path.c_str(), file.path.c_str(), FNM_PATHNAME) == 0 || ::fnmatch(reads->path.c_str(), rotated.c_str(), FNM_PATHNAME) == 0))
        report_.error(output.at, path_, "source '" + source.name + "' reads '" + reads->path + "', so that its records could go round; expected another path");
    }
  }

  void check_mqtt(const MqttOutput& mqtt) {
    for (const Source& source : config_.sources) {
      const auto* reads = std::get_if<MqttSource>(&source.type);
      if (reads == nullptr || reads->host != mqtt.host || reads->port != mqtt.port || mqtt.topic.empty()) continue;
      const auto filter = std::find_if(reads->topics.begin(), reads->topics.end(), [&](const std::string& one) { return matches(one, mqtt.topic); });
      if (filter != reads->topics.end())
        report_.error(mqtt.topic_at, path_ + ".mqtt.topic", "source '" + source.name + "' subscribes to '" + *filter + "' at the same server, so that records would go round; expected another topic");
    }
  }

  const Config& config_;
  Report& report_;
  std::string path_;
  std::size_t locals_ = 0;
  std::map<std::string, std::string> files_;  // -> the pipeline
};

}  // namespace

void check_outputs(const Config& config, Report& report) {
  Check check(config, report);
  for (const Pipeline& pipeline : config.pipelines) check.pipeline(pipeline);
}

}  // namespace rivulet::config
