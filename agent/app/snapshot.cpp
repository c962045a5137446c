#include "agent/app/snapshot.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "agent/app/json_text.h"

namespace rivulet::app {
namespace {

void json_counts(JsonText& json, const pipeline::Counts& counts) {
  json.field("in", counts.in).field("out", counts.out).field("dropped", counts.dropped).field("late", counts.late);
  json.field("undecodable", counts.undecodable).field("failed", counts.failed);
}

void json_forward(JsonText& json, const forward::Status& status) {
  json.begin_object().field("link", name_of(status.link)).field("connected", status.connected).field("phase", status.phase).field("alarm", status.alarm);
  json.field("last_error", status.last_error).field("forwarded_records", status.forwarded_records);
  json.field("transactions", status.transactions).field("recoveries", status.recoveries);
  json.field("last_settled_ms", status.last_settled_ms);
  json.key("held").begin_array();
  for (const auto& held : status.held)
    json.begin_object().field("stream", held.stream).field("topic", held.topic).field("reason", held.reason).end_object();
  json.end_array().end_object();
}

void json_sinks(JsonText& json, const std::vector<sink::Status>& sinks) {
  json.begin_array();
  for (const auto& sink : sinks) {
    json.begin_object().field("pipeline", sink.pipeline).field("destination", sink.destination).field("state", sink.state).field("trouble", sink.trouble);
    json.field("troubled_for_ms", sink.troubled_for_ms).field("records", sink.records).field("bytes", sink.bytes).field("backlog", sink.backlog);
    json.field("errors", sink.errors).field("refused", sink.refused).field("missing", sink.missing).end_object();
  }
  json.end_array();
}

void json_store(JsonText& json, const store::StoreStats& stats) {
  json.begin_object().field("outbox_records", stats.outbox_records).field("local_records", stats.local_records).field("outbox_bytes", stats.outbox_bytes);
  json.field("used_bytes", stats.used_bytes).field("limit_bytes", stats.outbox_max_bytes);
  json.field("file_bytes", stats.file_bytes).field("wal_bytes", stats.wal_bytes);
  json.field("commits", stats.commits).field("commit_failures", stats.commit_failures).field("last_commit_us", stats.last_commit_us);
  json.field("quarantine_records", stats.quarantine_records).field("quarantine_dropped", stats.quarantine_dropped);
  json.field("dropped_records", stats.dropped_records).field("held_bytes", stats.held_bytes).field("held_full", stats.held_full).field("disk_full", stats.disk_full).end_object();
}

void json_stream(JsonText& json, const StreamSnapshot& stream) {
  json.begin_object().field("name", stream.info.name).field("topic", stream.info.topic).field("last", stream.info.last);
  json.field("acknowledged", stream.info.acknowledged).field("waiting", stream.info.waiting()).field("bytes", stream.info.bytes).field("held", stream.held).end_object();
}

}  // namespace

const char* name_of(forward::Link link) {
  switch (link) {
    case forward::Link::offline: return "offline";
    case forward::Link::connecting: return "connecting";
    case forward::Link::up: return "up";
    case forward::Link::idle: return "idle";
    case forward::Link::stopped: return "stopped";
  }
  return "unknown";
}

std::vector<StreamSnapshot> with_holds(std::vector<store::StreamInfo> streams, const std::vector<forward::HeldStream>& held) {
  std::vector<StreamSnapshot> all;
  for (store::StreamInfo& stream : streams) {
    const auto hold = std::find_if(held.begin(), held.end(), [&](const auto& one) { return one.stream == stream.name && one.topic == stream.topic; });
    all.push_back({std::move(stream), hold == held.end() ? std::string() : hold->reason});
  }
  return all;
}

std::vector<std::string> health_problems(const Snapshot& now) {
  std::vector<std::string> problems;
  if (!now.store_notice.empty()) problems.push_back(now.store_notice);
  if (now.store.disk_full) problems.push_back("the disk of agent.state is full: nothing is acknowledged until there is room");
  for (const auto& table : now.tables)
    if (!table.ready) problems.push_back("sources wait for the table " + table.name + ": " + table.text);
  const bool waits = std::any_of(now.sources.begin(), now.sources.end(), [](const SourceSnapshot& source) { return source.waiting; });
  if (waits && now.store.outbox_max_bytes > 0 && now.store.used_bytes >= now.store.outbox_max_bytes)
    problems.push_back("the store is at its limit: sources wait, and nothing more is acknowledged until Kafka (or the local output) takes records or agent.storage.max is raised");
  if (waits && now.store.outbox_max_bytes == 0 && now.store.used_bytes > 0 && !now.store.disk_full)
    problems.push_back("the disk of agent.state has too little room for anything new: sources wait, what is stored goes on to Kafka (or the local output); free some of it");
  if (now.store.held_full) {
    std::string held;
    if (now.forward)
      for (const auto& each : now.forward->held) held += (held.empty() ? "" : ", ") + each.topic;
    for (const auto& sink : now.sinks)
      if (!sink.trouble.empty()) held += (held.empty() ? "" : ", ") + sink.destination;
    problems.push_back("records for topics or outputs that take nothing fill half of the store, their sources wait and the others go on: make or allow" +
                       (held.empty() ? " them" : " " + held));
  }
  if (now.committing_for_ms >= kSlowCommitMs)
    problems.push_back(fmt::format("a commit takes {} s by now: is the disk of agent.state all right?", now.committing_for_ms / 1000));
  for (const auto& sink : now.sinks)
    if (!sink.trouble.empty() && (sink.troubled_for_ms >= kSinkTroubleMs || sink.state.empty()))
      problems.push_back(fmt::format("the output {} of {} takes nothing, {} records wait: {}", sink.destination, sink.pipeline, sink.backlog, sink.trouble));
  // A link that breaks is no problem of the agent's, nor that it starts without one; one over which nothing ever went may be a wrong name or port.
  const bool something_went = std::any_of(now.streams.begin(), now.streams.end(), [](const auto& stream) { return stream.info.acknowledged > 0; });
  if (now.forward && !now.forward->connected && !something_went && now.forward->alarm.empty() && (now.forward->link == forward::Link::offline || now.forward->recoveries > 0) &&
      !now.forward->last_error.empty())
    problems.push_back("there never was a connection to Kafka: " + now.forward->last_error + "; are kafka.brokers right?");
  if (now.forward && !now.forward->alarm.empty()) problems.push_back("forwarding is stopped: " + now.forward->alarm);
  return problems;
}

std::vector<std::string> problems_of(const Snapshot& now) {
  std::vector<std::string> problems = health_problems(now);
  for (const auto& source : now.sources)
    if (source.in_trouble) problems.push_back("the source " + source.name + " is in trouble: " + source.state);
  if (now.dropped_ago_ms && *now.dropped_ago_ms < kDroppingMs)
    problems.push_back(fmt::format("the store is at its limit and the oldest records are dropped (agent.storage.when_full: drop-oldest), {} since the start: let Kafka (or the local output) take records, or raise agent.storage.max",
                                   now.store.dropped_records));
  return problems;
}

std::string status_json(const Snapshot& now) {
  JsonText json;
  json.begin_object().field("version", RIVULET_VERSION).field("agent", now.agent_id).field("incarnation", now.incarnation);
  json.field("now_ms", now.now_ms).field("uptime_ms", now.uptime_ms);
  const auto problems = problems_of(now);
  json.field("healthy", problems.empty()).key("problems").begin_array();
  for (const auto& problem : problems) json.value(problem);
  json.end_array().key("sources").begin_array();
  for (const auto& source : now.sources) {
    json.begin_object().field("name", source.name).field("type", source.type).field("state", source.state);
    json.field("records", source.records).field("bytes", source.bytes).field("waiting", source.waiting).field("up", !source.in_trouble);
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
  json.key("sinks");
  json_sinks(json, now.sinks);
  json.key("config").begin_object().field("last_reload_successful", now.reload.successful).field("taken_ms", now.reload.taken_ms);
  json.field("refused_ms", now.reload.refused_ms).field("problem", now.reload.problem).field("under_way", now.reload.under_way);
  json.field("reloads", now.reload.reloads).field("last_pause_ms", now.reload.last_pause_ms).end_object();
  json.key("streams").begin_array();
  for (const auto& stream : now.streams) json_stream(json, stream);
  json.end_array().key("last_errors").begin_array();
  for (const auto& error : now.last_errors) {
    json.begin_object().field("level", error.error ? "error" : "warning").field("text", error.text);
    json.field("first_ms", error.first_ms).field("last_ms", error.last_ms).field("count", error.count).end_object();
  }
  json.end_array().field("clock_plausible", now.clock_plausible).field("log_lines_suppressed", now.log_lines_suppressed);
  json.field("resident_bytes", now.resident_bytes).end_object();
  return json.text() + "\n";
}

std::string history_json(const std::vector<History::Sample>& samples) {
  std::string text = fmt::format("{{\"step_s\":{},\"steps\":{},\"columns\":[\"seconds\",\"in\",\"forwarded\",\"backlog\",\"link_up\",\"healthy\"],\"samples\":[", History::kStepMs / 1000, History::kSteps);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const History::Sample& s = samples[i];
    fmt::format_to(std::back_inserter(text), "{}[{},{},{},{},{},{}]", i == 0 ? "" : ",", s.seconds, s.in, s.forwarded, s.backlog, s.link_up, s.healthy);
  }
  return text + "]}\n";
}

}  // namespace rivulet::app
