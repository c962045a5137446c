#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <tuple>

#include <yaml-cpp/eventhandler.h>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxFragments = 200;

// yaml-cpp recurses over nested collections; a bound of our own keeps the stack safe whatever its version.
constexpr int kMaxDepth = 50;

bool too_deep(const std::string& text) {
  int depth = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && depth > 0) --depth;
    if (depth > kMaxDepth) return true;
  }
  std::size_t begin = 0;
  while (begin < text.size()) {  // "- - - -" and deep indentation
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    int dashes = 0;
    for (std::size_t i = begin; i + 1 < end && (text[i] == ' ' || ((text[i] == '-' || text[i] == '?') && text[i + 1] == ' ')); ++i) ++dashes;
    if (dashes > 4 * kMaxDepth) return true;
    begin = end + 1;
  }
  return false;
}

void read_extension(const Value& value, const std::string& path, Config& config) {
  std::error_code why;
  if (std::filesystem::is_regular_file(path, why)) return config.extensions.push_back({path, value.at()});
  value.error("'" + path + "' is no file that can be loaded" + (why ? ": " + why.message() : "") + "; expected the path of a shared library");
}

void read_root(const Value& root, Config& config, bool fragment) {
  if (!root.is_map()) {
    root.error(root.is_null() ? "is empty, expected a configuration" : "expected a map with agent, kafka, sources, pipelines");
    return;
  }
  const Map map(root, schema::root);
  if (fragment) {
    for (const char* key : {"agent", "kafka", "status", "log", "extensions"})
      if (map.has(key)) map.get(key)->error("belongs into the configuration itself; files of pipelines.d add sources, tables and pipelines");
  } else {
    read_agent(map.map("agent"), config.agent);
    if (auto kafka = map.get("kafka")) {
      config.kafka.emplace();
      read_kafka(*kafka, *config.kafka);
    }
    if (auto status = map.get("status")) read_status(*status, config.status);
    read_log(map.map("log"), config.log);
    if (auto extensions = map.get("extensions"))
      for (const Value& one : extensions->list())
        if (auto path = one.text()) read_extension(one, *path, config);
  }
  if (auto sources = map.get("sources")) read_sources(*sources, config.sources);
  if (auto tables = map.get("tables")) read_tables(*tables, config.tables);
  if (auto pipelines = map.get("pipelines")) read_pipelines(*pipelines, config.pipelines);
  map.done();
}

// Where a second document begins. YAML::LoadAll() comes to no end on some texts that are not YAML.
std::optional<YAML::Mark> second_document(const std::string& text) {
  class Starts final : public YAML::EventHandler {
   public:
    YAML::Mark last;
    void OnDocumentStart(const YAML::Mark& mark) override { last = mark; }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
  };
  std::istringstream in(text);
  YAML::Parser parser(in);
  Starts starts;
  if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return std::nullopt;
  return starts.last;
}

void read_text(std::string text, const std::string& file, Config& config, Report& report, bool fragment) {
  if (text.rfind("\xEF\xBB\xBF", 0) == 0) text.erase(0, 3);
  const Location start{file, 1, 1};
  if (text.size() > kMaxFileBytes) return report.error(start, "", "is larger than 1MiB, expected a configuration");
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos) return report.error(start, "", "holds a NUL byte at offset " + std::to_string(nul) + ", expected a text file");
  if (too_deep(text)) return report.error(start, "", "is nested deeper than " + std::to_string(kMaxDepth) + " levels");
  try {
    read_root(Value(YAML::Load(text), "", file, report), config, fragment);
    if (const auto second = second_document(text)) report.error({file, second->line + 1, second->column + 1}, "", "begins a second document after ---, expected one; other files belong into pipelines.d");
  } catch (const YAML::Exception& problem) {
    const Location at{file, std::max(problem.mark.line, 0) + 1, std::max(problem.mark.column, 0) + 1};
    report.error(at, "", "is not YAML: " + problem.msg);
  }
}

std::optional<std::string> read_file(const std::string& path, Report& report) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    report.error({path, 1, 1}, "", "is a folder, expected a file");
    return std::nullopt;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    report.error({path, 1, 1}, "", std::string("cannot be read: ") + std::strerror(errno));
    return std::nullopt;
  }
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

void finish(Loaded& loaded, Report& report) {
  Config& config = loaded.config;
  if (check_graph(config, report)) check_inputs(config, report);
  check_outputs(config, report);
  check_resources(config, report);
  for (const Source& source : config.sources) {
    const auto* kafka = std::get_if<KafkaSource>(&source.type);
    if (kafka == nullptr || kafka->topic.empty()) continue;
    const std::string path = "sources." + source.name + ".kafka";
    if (!config.kafka) report.error(source.at, path, "needs the kafka section, which is missing; expected kafka: {brokers: [host:9092]}");
    const auto goes_there = [&](const Pipeline& p) {
      const auto outputs = outputs_of(p);
      return std::any_of(outputs.begin(), outputs.end(), [&](const Output* output) { return output->topic == kafka->topic; });
    };
    if (const auto pipeline = std::find_if(config.pipelines.begin(), config.pipelines.end(), goes_there); pipeline != config.pipelines.end())
      report.error(kafka->topic_at, path + ".topic", "is the topic that pipeline '" + pipeline->name + "' writes to, so that its records would go round; expected another one");
  }
  const auto to_kafka = [](const Pipeline& p) {
    const auto outputs = outputs_of(p);
    return std::any_of(outputs.begin(), outputs.end(), [](const Output* output) { return !output->local; });
  };
  const bool sends = std::any_of(config.pipelines.begin(), config.pipelines.end(), to_kafka) ||
                     std::any_of(config.sources.begin(), config.sources.end(), [](const Source& s) { return s.undecodable.has_value(); });
  if (sends && !config.kafka) report.warning({config.file, 1, 1}, "kafka", "is missing; records for topics are stored and not forwarded until it is there");
  std::stable_sort(loaded.problems.begin(), loaded.problems.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.at.file, a.at.line, a.at.column) < std::tie(b.at.file, b.at.line, b.at.column);
  });
}

}  // namespace

std::string Problem::text() const {
  std::string text = at.file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
  if (warning) text += "warning: ";
  if (!path.empty()) text += path + ": ";
  return text + message;
}

bool Loaded::ok() const {
  return std::none_of(problems.begin(), problems.end(), [](const Problem& problem) { return !problem.warning; });
}

Loaded load_text(const std::string& text, const std::string& file_name) {
  Loaded loaded;
  loaded.config.file = file_name;
  Report report(loaded.problems);
  read_text(text, file_name, loaded.config, report, false);
  finish(loaded, report);
  return loaded;
}

Loaded load(const std::string& file, Secrets secrets) {
  Loaded loaded;
  loaded.config.file = file;
  Report report(loaded.problems, secrets);
  const auto text = read_file(file, report);
  if (!text) return loaded;
  read_text(*text, file, loaded.config, report, false);

  std::vector<std::string> fragments;
  const auto folder = std::filesystem::path(file).parent_path() / "pipelines.d";
  std::error_code why;
  for (std::filesystem::directory_iterator entry(folder, why), end; !why && entry != end; entry.increment(why)) {
    const auto& path = entry->path();
    if (path.extension() == ".yaml") fragments.push_back(path.string());
    if (path.extension() == ".yml") report.warning({path.string(), 1, 1}, "", "is not read, expected a name that ends in .yaml");
  }
  // A folder that is not there is no fragments; one that cannot be read holds pipelines, perhaps.
  if (why && why != std::errc::no_such_file_or_directory) report.error({folder.string(), 1, 1}, "", "cannot be read: " + why.message());
  std::sort(fragments.begin(), fragments.end());
  if (fragments.size() > kMaxFragments) {
    report.error({file, 1, 1}, "pipelines.d", "holds more than " + std::to_string(kMaxFragments) + " files");
    fragments.resize(kMaxFragments);
  }
  for (const std::string& fragment : fragments)
    if (auto part = read_file(fragment, report)) read_text(*part, fragment, loaded.config, report, true);
  finish(loaded, report);
  return loaded;
}

}  // namespace rivulet::config
