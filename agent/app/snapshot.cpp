#include "agent/app/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "agent/app/json_text.h"

namespace rivulet::app {
namespace {

std::string size_text(std::uint64_t bytes) {
  if (bytes < 10'240) return fmt::format("{} B", bytes);
  if (bytes < 10ULL << 20) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{} MiB", bytes >> 20);
}

void json_counts(JsonText& json, const pipeline::Counts& counts) {
  json.field("in", counts.in).field("out", counts.out).field("dropped", counts.dropped).field("late", counts.late);
  json.field("undecodable", counts.undecodable).field("failed", counts.failed);
}

void json_forward(JsonText& json, const forward::Status& status) {
  json.begin_object().field("link", name_of(status.link)).field("phase", status.phase).field("alarm", status.alarm);
  json.field("last_error", status.last_error).field("forwarded_records", status.forwarded_records);
  json.field("transactions", status.transactions).field("recoveries", status.recoveries);
  json.field("last_settled_ms", status.last_settled_ms);
  json.key("held").begin_array();
  for (const auto& held : status.held)
    json.begin_object().field("stream", held.stream).field("topic", held.topic).field("reason", held.reason).end_object();
  json.end_array().end_object();
}

void json_store(JsonText& json, const store::StoreStats& stats) {
  json.begin_object().field("outbox_records", stats.outbox_records).field("outbox_bytes", stats.outbox_bytes);
  json.field("used_bytes", stats.used_bytes).field("limit_bytes", stats.outbox_max_bytes);
  json.field("file_bytes", stats.file_bytes).field("wal_bytes", stats.wal_bytes);
  json.field("commits", stats.commits).field("commit_failures", stats.commit_failures).field("last_commit_us", stats.last_commit_us);
  json.field("quarantine_records", stats.quarantine_records).field("quarantine_dropped", stats.quarantine_dropped);
  json.field("dropped_records", stats.dropped_records).field("held_bytes", stats.held_bytes).field("held_full", stats.held_full).field("disk_full", stats.disk_full).end_object();
}

}  // namespace

const char* name_of(forward::Link link) {
  switch (link) {
    case forward::Link::offline: return "offline";
    case forward::Link::connecting: return "connecting";
    case forward::Link::up: return "up";
    case forward::Link::stopped: return "stopped";
  }
  return "unknown";
}

std::vector<std::string> health_problems(const Snapshot& now) {
  std::vector<std::string> problems;
  if (!now.store_notice.empty()) problems.push_back(now.store_notice);
  if (now.store.disk_full) problems.push_back("the disk of agent.state is full: nothing is acknowledged until there is room");
  for (const auto& table : now.tables)
    if (!table.ready) problems.push_back("sources wait for the table " + table.name + ": " + table.text);
  const bool waits = std::any_of(now.sources.begin(), now.sources.end(), [](const SourceSnapshot& source) { return source.waiting; });
  if (waits && now.store.outbox_max_bytes > 0 && now.store.used_bytes >= now.store.outbox_max_bytes)
    problems.push_back("the store is at its limit: sources wait, and nothing more is acknowledged until Kafka takes records or agent.storage.max is raised");
  if (now.store.held_full) {
    std::string topics;
    if (now.forward)
      for (const auto& held : now.forward->held) topics += (topics.empty() ? "" : ", ") + held.topic;
    problems.push_back("records for topics that take nothing fill half of the store, their sources wait and the others go on: make or allow the topics" +
                       (topics.empty() ? "" : " " + topics));
  }
  if (now.committing_for_ms >= kSlowCommitMs)
    problems.push_back(fmt::format("a commit takes {} s by now: is the disk of agent.state all right?", now.committing_for_ms / 1000));
  if (now.forward && !now.forward->alarm.empty()) problems.push_back("forwarding is stopped: " + now.forward->alarm);
  return problems;
}

std::string status_json(const Snapshot& now) {
  JsonText json;
  json.begin_object().field("version", RIVULET_VERSION).field("agent", now.agent_id).field("incarnation", now.incarnation);
  json.field("now_ms", now.now_ms).field("uptime_ms", now.uptime_ms);
  const auto problems = health_problems(now);
  json.field("healthy", problems.empty()).key("problems").begin_array();
  for (const auto& problem : problems) json.value(problem);
  json.end_array().key("sources").begin_array();
  for (const auto& source : now.sources) {
    json.begin_object().field("name", source.name).field("type", source.type).field("state", source.state);
    json.field("records", source.records).field("bytes", source.bytes).field("waiting", source.waiting);
    json.key("events").begin_object();
    for (const auto& [event, count] : source.events) json.field(event, count);
    json.end_object().end_object();
  }
  json.end_array().key("tables").begin_array();
  for (const auto& table : now.tables) json.begin_object().field("name", table.name).field("ready", table.ready).field("state", table.text).end_object();
  json.end_array().key("pipelines").begin_array();
  for (const auto& pipeline : now.pipelines) {
    json.begin_object().field("name", pipeline.name);
    json_counts(json, pipeline.counts);
    json.end_object();
  }
  json.end_array().key("totals").begin_object();
  json_counts(json, now.totals);
  json.field("quarantined", now.quarantined).field("epochs", now.epochs).field("stored", now.stored).field("closing", now.closing).end_object();
  json.key("store");
  json_store(json, now.store);
  json.key("forward");
  if (now.forward) json_forward(json, *now.forward);
  else json.null();
  json.key("config").begin_object().field("last_reload_successful", now.reload.successful).field("taken_ms", now.reload.taken_ms);
  json.field("refused_ms", now.reload.refused_ms).field("problem", now.reload.problem).field("under_way", now.reload.under_way);
  json.field("reloads", now.reload.reloads).field("last_pause_ms", now.reload.last_pause_ms).end_object();
  json.field("resident_bytes", now.resident_bytes).end_object();
  return json.text() + "\n";
}

std::string status_text(const Snapshot& now) {
  std::string text;
  const auto to = std::back_inserter(text);
  fmt::format_to(to, "agent {}  up {} s  memory {}  rivulet {}\n", now.agent_id, now.uptime_ms / 1000, size_text(now.resident_bytes), RIVULET_VERSION);
  const auto problems = health_problems(now);
  for (const auto& problem : problems) fmt::format_to(to, "PROBLEM  {}\n", problem);
  if (problems.empty()) text += "healthy\n";
  if (!now.reload.successful)
    fmt::format_to(to, "CONFIGURATION  the last reload, {} s ago, was refused and the one before goes on: {}\n", std::max<std::int64_t>(0, now.now_ms - now.reload.refused_ms) / 1000, now.reload.problem);
  if (!now.reload.under_way.empty()) fmt::format_to(to, "configuration  a reload is under way: {}\n", now.reload.under_way);
  text += "\nsources\n";
  for (const auto& source : now.sources) {
    fmt::format_to(to, "  {} ({}): {} records; {}{}\n", source.name, source.type, source.records, source.state, source.waiting ? "; waits for room" : "");
    for (const auto& [event, count] : source.events) fmt::format_to(to, "    {}: {}\n", event, count);
  }
  if (!now.tables.empty()) text += "tables\n";
  for (const auto& table : now.tables) fmt::format_to(to, "  {}: {}\n", table.name, table.text);
  text += "pipelines\n";
  for (const auto& pipeline : now.pipelines)
    fmt::format_to(to, "  {}: {} in, {} out, {} failed\n", pipeline.name, pipeline.counts.in, pipeline.counts.out,
                   pipeline.counts.failed);
  fmt::format_to(to, "store\n  {} records ({}) wait for Kafka; {} of {} used; {} in quarantine; {} undecodable since the start\n", now.store.outbox_records,
                 size_text(now.store.outbox_bytes), size_text(now.store.used_bytes), size_text(now.store.outbox_max_bytes),
                 now.store.quarantine_records, now.totals.undecodable);
  if (!now.forward) return text + "forward\n  off: the configuration has no kafka section\n";
  const forward::Status& forward = *now.forward;
  fmt::format_to(to, "forward\n  link {}; {}; {} records in {} transactions, {} recoveries since the start\n", name_of(forward.link), forward.phase,
                 forward.forwarded_records, forward.transactions, forward.recoveries);
  if (!forward.last_error.empty()) fmt::format_to(to, "  last trouble: {}\n", forward.last_error);
  for (const auto& held : forward.held) fmt::format_to(to, "  held: {} -> {}: {}\n", held.stream, held.topic, held.reason);
  return text;
}

}  // namespace rivulet::app
