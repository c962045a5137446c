// Asks the running agent; without one (or without a status listener) it looks into the store itself, read-only.
#include <fmt/core.h>

#include <cstdio>

#include "agent/app/commands.h"
#include "agent/app/json_text.h"
#include "agent/app/json_view.h"
#include "agent/app/status_client.h"
#include "agent/config/config.h"
#include "store/inspect.h"

namespace rivulet::app {
namespace {

int from_store(const config::Config& config, bool json, bool nobody_answers) {
  auto look = store::Inspect::open(config.agent.state);
  if (!look) {
    fmt::print(stderr, "{}\n", look.error().message);
    return kCannot;
  }
  const auto streams = look->streams();
  const auto stats = look->stats();
  if (!streams || !stats) {
    fmt::print(stderr, "{}\n", (streams ? stats.error() : streams.error()).message);
    return kCannot;
  }
  if (json) {
    JsonText text;
    text.begin_object().field("agent", config.agent.id);
    if (nobody_answers) text.field("running", false);  // else nobody knows
    text.field("outbox_bytes", stats->outbox_bytes).field("quarantine_records", stats->quarantine_records).key("streams").begin_array();
    for (const auto& stream : *streams)
      text.begin_object().field("name", stream.name).field("topic", stream.topic).field("last", stream.last)
          .field("acknowledged", stream.acknowledged).field("waiting", stream.waiting()).end_object();
    fmt::print("{}\n", text.end_array().end_object().text());
    return kDone;
  }
  fmt::print("from the store in {} ({} bytes wait):\n", config.agent.state, stats->outbox_bytes);
  for (const auto& stream : *streams)
    fmt::print("  {} -> {}: {} records, {} of them wait\n", stream.name, stream.topic, stream.last, stream.waiting());
  if (stats->quarantine_records > 0) fmt::print("{} records are in quarantine: `rivulet quarantine list` shows them\n", stats->quarantine_records);
  return kDone;
}

}  // namespace

int command_status(const StatusOptions& options) {
  const config::Loaded loaded = config::load(options.config, config::Secrets::unused);
  const std::string& listen = loaded.config.status.listen;
  if (!loaded.ok()) {  // the agent goes on with the one before: where it listens is all that has to be known
    for (const auto& problem : loaded.problems) fmt::print(stderr, "{}\n", problem.text());
    if (listen.empty()) return kCannot;
  }
  bool hangs = false;
  if (!listen.empty()) {
    const auto answer = http_get(listen, "/status", options.json ? "application/json" : "text/plain");
    if (answer && answer->code == 200) {
      fmt::print("{}", answer->body);
      const auto look = options.json ? answer : http_get(listen, "/status", "application/json");
      const auto status = look ? JsonView::of(look->body) : look.error();
      return status && status->at("healthy").yes() ? kDone : kNotInOrder;
    }
    hangs = !answer && answer.error().code == ErrorCode::unavailable;
    fmt::print(stderr, "{}\n", answer ? fmt::format("{} answers {}: not a rivulet?", listen, answer->code) : answer.error().message);
  } else {
    fmt::print(stderr, "the configuration has no status.listen, so a running agent cannot be asked\n");
  }
  if (!loaded.ok()) return kCannot;
  const int shown = from_store(loaded.config, options.json, !listen.empty() && !hangs);
  return shown == kDone && !listen.empty() ? kNotInOrder : shown;  // without a listener nobody knows, and a look at the store is all that was asked for
}

}  // namespace rivulet::app
