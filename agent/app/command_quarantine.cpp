// list and show read beside a running agent; drop and retry (quarantine_retry.cpp) need the store for themselves.
#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>

#include "agent/app/commands.h"
#include "agent/app/printable.h"
#include "agent/app/quarantine_retry.h"
#include "agent/app/store_access.h"
#include "store/inspect.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kShownBytes = 60;

int failed(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return kCannot;
}

std::string time_text(Timestamp at_ms) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(at_ms / 1000)));
}

std::string where(const store::QuarantineEntry& entry) {
  std::string text = entry.pipeline.empty() ? entry.source : entry.pipeline;
  if (text.empty()) text = entry.topic;
  return text + "/" + entry.step;
}

int list(store::Inspect& look, std::uint64_t limit) {
  const auto entries = look.quarantined(0, std::min<std::uint64_t>(limit, UINT32_MAX - 1) + 1);  // one more: whether there is more
  if (!entries) return failed(entries.error());
  if (entries->empty()) fmt::print("quarantine is empty\n");
  std::uint64_t shown = 0;
  for (const auto& entry : *entries) {
    if (shown++ == limit) {
      fmt::print("... and more: --limit\n");
      break;
    }
    const std::string value = entry.value ? escaped(std::string_view(*entry.value).substr(0, kShownBytes)) : "(null)";
    fmt::print("{:>6}  {}  {}  {}  {}\n", entry.id, time_text(entry.at_ms), where(entry), escaped(entry.reason), value);
  }
  return kDone;
}

int show(store::Inspect& look, std::int64_t first, std::int64_t last) {
  bool any = false;
  std::int64_t after = first - 1;
  while (after < last) {
    const auto entries = look.quarantined(after, 100);
    if (!entries) return failed(entries.error());
    if (entries->empty()) break;
    for (const auto& entry : *entries) {
      after = entry.id;
      if (entry.id > last) break;
      any = true;
      fmt::print("id        {}\nat        {} UTC\nwhere     {}\nreason    {}\n", entry.id, time_text(entry.at_ms), where(entry), escaped(entry.reason));
      if (!entry.topic.empty()) fmt::print("topic     {}\n", escaped(entry.topic));
      if (!entry.place.empty()) fmt::print("goes on   {}\n", escaped(entry.place));
      fmt::print("timestamp {}\nkey       {}\nvalue     {}\n\n", entry.timestamp_ms, entry.key ? escaped(*entry.key) : "(null)",
                 entry.value ? escaped(*entry.value) : "(null)");
    }
  }
  if (any) return kDone;
  fmt::print(stderr, "no record with this id in quarantine; `rivulet quarantine list` shows what is there\n");
  return kNotInOrder;
}

}  // namespace

int command_quarantine(const QuarantineOptions& options) {
  if (options.action == QuarantineOptions::Action::retry) return retry_quarantined(options);
  const auto config = load_for_store(options.config);
  if (!config) return failed(config.error());
  if (options.action == QuarantineOptions::Action::drop) {
    const SystemClock clock;
    auto store = open_store_alone(store_options(config->agent), clock);
    if (!store) return failed(store.error());
    const auto dropped = (*store)->drop_quarantined(options.first, options.last);
    if (!dropped) return failed(dropped.error());
    fmt::print("{} records dropped from quarantine\n", *dropped);
    return *dropped > 0 ? kDone : kNotInOrder;
  }
  auto look = store::Inspect::open(config->agent.state);
  if (!look) return failed(look.error());
  return options.action == QuarantineOptions::Action::list ? list(*look, options.limit) : show(*look, options.first, options.last);
}

}  // namespace rivulet::app
