#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/store_access.h"
#include "agent/config/document.h"
#include "agent/net/tls.h"
#include "store/store.h"

namespace rivulet::app {
namespace {

// Certificates and lookup tables as they are on this machine now. They may come later, so what is wrong with them is a warning.
class Surroundings {
 public:
  explicit Surroundings(CheckedConfig& checked) : checked_(checked) {}

  void look() {
    const config::Config& config = checked_.config;
    if (config.kafka && config.kafka->tls) tls(net::client_tls(*config.kafka->tls), {config.file, 1, 1}, "kafka.tls");
    for (const config::Source& source : config.sources) {
      const std::string path = "sources." + source.name;
      if (const auto* mqtt = std::get_if<config::MqttSource>(&source.type); mqtt != nullptr && mqtt->tls_on) tls(net::client_tls(mqtt->tls), source.at, path + ".mqtt.tls");
      if (const auto* tcp = std::get_if<config::TcpSource>(&source.type); tcp != nullptr && tcp->tls) tls(net::server_tls(*tcp->tls), source.at, path + ".tcp.tls");
      if (const auto* http = std::get_if<config::HttpSource>(&source.type); http != nullptr && http->tls) tls(net::server_tls(*http->tls), source.at, path + ".http.tls");
    }
    for (const config::Pipeline& pipeline : config.pipelines)
      for (const config::Output& output : pipeline.to) {
        const auto* mqtt = output.local ? std::get_if<config::MqttOutput>(&*output.local) : nullptr;
        if (mqtt != nullptr && mqtt->tls_on) tls(net::client_tls(mqtt->tls), output.at, "pipelines." + pipeline.name + ".to.mqtt.tls");
      }
    tables();
  }

 private:
  void warn(const config::Location& at, const std::string& path, const std::string& text) { checked_.problems.push_back({at, path, text, true}); }

  void tls(const result<net::TlsContext>& context, const config::Location& at, const std::string& path) {
    if (!context) warn(at, path, context.error().message);
  }

  void tables() {
    while (checked_.topology->look_at_tables({})) {
    }
    const auto states = checked_.topology->tables();
    for (const config::LookupTable& table : checked_.config.tables) {
      const auto state = std::find_if(states.begin(), states.end(), [&](const auto& one) { return one.name == table.name; });
      if (std::error_code absent; state == states.end() || state->ready || !std::filesystem::exists(table.path, absent)) continue;  // a file that is absent was told
      warn(table.at, "tables." + table.name, state->text + "; until that is put right, no source is read");
    }
  }

  CheckedConfig& checked_;
};

}  // namespace

int command_check(const std::string& config, const CheckOptions& options) {
  if (options.schema) fmt::print("{}", config::json_schema());
  if (options.reference) fmt::print("{}", config::reference());
  if (options.schema || options.reference) return kDone;
  const SystemClock clock;
  CheckedConfig checked = check_config(config, clock, config::Secrets::of_service_later);
  if (checked.ok()) Surroundings(checked).look();
  const bool ok = print_problems(checked);
  const auto warnings = std::count_if(checked.problems.begin(), checked.problems.end(), [](const auto& problem) { return problem.warning; });
  const auto errors = static_cast<std::ptrdiff_t>(checked.problems.size()) - warnings;
  if (!ok) {
    fmt::print(stderr, "{}: {} problem{}; nothing was started\n", config, errors, errors == 1 ? "" : "s");
    return kNotInOrder;
  }
  if (const auto fits = check_state(*checked.topology, checked.config.agent.state); !fits && fits.error().code == ErrorCode::conflict) {
    fmt::print(stderr, "{}: does not fit the store in {}: {}\n", config, checked.config.agent.state, fits.error().message);
    return kNotInOrder;
  }
  std::set<std::string> topics, local;
  for (const auto& output : checked.topology->outputs()) (store::is_local(output.topic) ? local : topics).insert(output.topic);
  fmt::print("{}: in order ({} sources, {} pipelines, {} topics{}{})\n", config, checked.config.sources.size(), checked.config.pipelines.size(), topics.size(),
             local.empty() ? "" : fmt::format(", {} local outputs", local.size()), warnings > 0 ? fmt::format(", {} warnings", warnings) : "");
  return kDone;
}

}  // namespace rivulet::app
