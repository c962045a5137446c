// The /metrics page. Names follow the Prometheus conventions: base units, _total for counters.
#include <fmt/core.h>

#include <iterator>

#include "agent/app/snapshot.h"
#include "agent/codec/json.h"

namespace rivulet::app {
namespace {

class Page {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class T>
  void sample(std::string_view labels, T value) {
    if (labels.empty()) fmt::format_to(std::back_inserter(text_), "{} {}\n", name_, value);
    else fmt::format_to(std::back_inserter(text_), "{}{{{}}} {}\n", name_, labels, value);
  }
  template <class T>
  void single(std::string_view name, std::string_view type, std::string_view help, T value) {
    family(name, type, help);
    sample("", value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_, name_;
};

std::string label(std::string_view name, std::string_view value) {
  std::string text = fmt::format("{}=\"", name), buffer;
  for (const char c : codec::as_utf8(value, buffer)) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

void sources(Page& page, const Snapshot& now) {
  page.family("rivulet_source_records_total", "counter", "Records that a source handed over.");
  for (const auto& source : now.sources) page.sample(label("source", source.name), source.records);
  page.family("rivulet_source_bytes_total", "counter", "Bytes of those records as they came.");
  for (const auto& source : now.sources) page.sample(label("source", source.name), source.bytes);
  page.family("rivulet_source_up", "gauge", "0 while the source cannot take in what it should: its address is taken, its device or folder is gone, its server is away.");
  for (const auto& source : now.sources) page.sample(label("source", source.name), source.in_trouble ? 0 : 1);
  page.family("rivulet_source_waiting", "gauge", "1 while the source is held back for want of room.");
  for (const auto& source : now.sources) page.sample(label("source", source.name), source.waiting ? 1 : 0);
  page.family("rivulet_source_events_total", "counter", "What a source counts itself, also everything that it drops on purpose.");
  for (const auto& source : now.sources)
    for (const auto& [event, count] : source.events) page.sample(label("source", source.name) + "," + label("event", event), count);
}

void pipelines(Page& page, const Snapshot& now) {
  const auto each = [&](std::string_view name, std::string_view help, std::uint64_t pipeline::Counts::*field) {
    page.family(name, "counter", help);
    for (const auto& pipeline : now.pipelines) page.sample(label("pipeline", pipeline.name), pipeline.counts.*field);
  };
  each("rivulet_pipeline_records_in_total", "Records that came to a pipeline.", &pipeline::Counts::in);
  each("rivulet_pipeline_records_out_total", "Records that left it for its topic; what is neither out nor failed was filtered out by its steps.", &pipeline::Counts::out);
  each("rivulet_pipeline_late_total", "Records that came too late.", &pipeline::Counts::late);
  each("rivulet_pipeline_failed_total", "Records that a step could not handle; they are in quarantine.", &pipeline::Counts::failed);
  page.family("rivulet_step_dropped_total", "counter", "Records that a step left out: that it thins out, or that have nothing it needs, such as a key.");
  for (const auto& step : now.steps) page.sample(label("pipeline", step.pipeline) + "," + label("step", step.step), step.dropped);
  page.family("rivulet_step_clamped_total", "counter", "Timestamps ahead of the clock that a clamp step set.");
  for (const auto& step : now.steps)
    if (step.clamped != 0 || step.step == "clamp") page.sample(label("pipeline", step.pipeline) + "," + label("step", step.step), step.clamped);
  page.single("rivulet_dropped_total", "counter", "Empty frames, records with a time before 1970, and what steps left out.", now.totals.dropped);
  page.single("rivulet_undecodable_total", "counter", "Records that could not be decoded.", now.totals.undecodable);
  page.single("rivulet_quarantined_total", "counter", "Records put into quarantine by decoding and pipelines.", now.quarantined);
}

void streams(Page& page, const Snapshot& now) {
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help, const auto& value) {
    page.family(name, type, help);
    for (const auto& stream : now.streams) page.sample(label("stream", stream.info.name) + "," + label("topic", stream.info.topic), value(stream));
  };
  each("rivulet_stream_records_total", "counter", "Records of a stream that were stored, since the store was made.", [](const auto& stream) { return stream.info.last; });
  each("rivulet_stream_forwarded_records_total", "counter", "Those of them that Kafka, or their local output, has for good.", [](const auto& stream) { return stream.info.acknowledged; });
  each("rivulet_stream_outbox_records", "gauge", "Records of a stream that wait for Kafka or their local output.", [](const auto& stream) { return stream.info.waiting(); });
  each("rivulet_stream_outbox_bytes", "gauge", "Their size as stored, with what is acknowledged and not yet removed.", [](const auto& stream) { return stream.info.bytes; });
  each("rivulet_stream_held", "gauge", "1 while a stream's topic takes nothing; the others go on.", [](const auto& stream) { return stream.held.empty() ? 0 : 1; });
}

void store(Page& page, const Snapshot& now) {
  const store::StoreStats& s = now.store;
  page.single("rivulet_epochs_total", "counter", "Epochs committed.", now.epochs);
  page.single("rivulet_stored_records_total", "counter", "Records for topics that are durable in the store.", now.stored);
  page.single("rivulet_store_commits_total", "counter", "SQLite commits of epochs.", s.commits);
  page.single("rivulet_store_commit_failures_total", "counter", "Commits that failed and were tried again.", s.commit_failures);
  page.single("rivulet_store_last_commit_seconds", "gauge", "How long the last commit took.", static_cast<double>(s.last_commit_us) / 1e6);
  page.single("rivulet_store_outbox_records", "gauge", "Records that wait for Kafka or a local output.", s.outbox_records);
  page.single("rivulet_store_local_records", "gauge", "Of those: for local outputs.", s.local_records);
  page.single("rivulet_store_outbox_bytes", "gauge", "Their size as stored.", s.outbox_bytes);
  page.single("rivulet_store_used_bytes", "gauge", "Pages in use, held against rivulet_store_limit_bytes.", s.used_bytes);
  page.single("rivulet_store_held_bytes", "gauge", "Of the outbox: records for topics and local outputs that take nothing.", s.held_bytes);
  page.single("rivulet_store_held_full", "gauge", "1 while these fill half of the store and their sources wait.", s.held_full ? 1 : 0);
  page.single("rivulet_store_limit_bytes", "gauge", "Above it storage.when_full applies.", s.outbox_max_bytes);
  page.single("rivulet_store_file_bytes", "gauge", "Size of the database file.", s.file_bytes);
  page.single("rivulet_store_wal_bytes", "gauge", "Size of its write-ahead log.", s.wal_bytes);
  page.single("rivulet_store_dropped_records_total", "counter", "Oldest records dropped at the storage limit (when_full: drop-oldest).", s.dropped_records);
  page.single("rivulet_store_quarantine_records", "gauge", "Records in quarantine.", s.quarantine_records);
  page.single("rivulet_store_quarantine_dropped_total", "counter", "Oldest quarantined records dropped at its bound.", s.quarantine_dropped);
  page.single("rivulet_store_disk_full", "gauge", "1 while a commit waits for room on the disk.", s.disk_full ? 1 : 0);
}

void forwarding(Page& page, const Snapshot& now) {
  if (!now.forward) return;
  const forward::Status& f = *now.forward;
  page.single("rivulet_forward_link_up", "gauge", "1 while Kafka can be reached, also while nothing is to be sent and no connection is kept.", forward::is_well(f.link) ? 1 : 0);
  page.single("rivulet_forward_alarm", "gauge", "1 while forwarding is stopped until somebody acts: a setting, permission or topic that the cluster refuses, a transaction that hangs there, a store that Kafka contradicts.", f.alarm.empty() ? 0 : 1);
  page.single("rivulet_forward_records_total", "counter", "Records that Kafka has for good.", f.forwarded_records);
  page.single("rivulet_forward_transactions_total", "counter", "Transactions that are settled.", f.transactions);
  page.single("rivulet_forward_recoveries_total", "counter", "Times that forwarding had to recover.", f.recoveries);
  page.single("rivulet_forward_held_streams", "gauge", "Streams held because of their topic.", f.held.size());
  page.single("rivulet_forward_last_settled_timestamp_seconds", "gauge", "When the last transaction was settled; 0: none since the start.",
              static_cast<double>(f.last_settled_ms) / 1e3);
}

void sinks(Page& page, const Snapshot& now) {
  if (now.sinks.empty()) return;
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help, const auto& of) {
    page.family(name, type, help);
    for (const auto& sink : now.sinks) page.sample(label("pipeline", sink.pipeline) + "," + label("output", sink.destination), of(sink));
  };
  each("rivulet_sink_records_total", "counter", "Records that a local output has taken.", [](const sink::Status& sink) { return sink.records; });
  each("rivulet_sink_bytes_total", "counter", "Bytes of those as they were written.", [](const sink::Status& sink) { return sink.bytes; });
  each("rivulet_sink_backlog_records", "gauge", "Records in the store that wait for it.", [](const sink::Status& sink) { return sink.backlog; });
  each("rivulet_sink_errors_total", "counter", "Times that it could not be opened or written to.", [](const sink::Status& sink) { return sink.errors; });
  each("rivulet_sink_refused_total", "counter", "Records that it will never take; they are in quarantine.", [](const sink::Status& sink) { return sink.refused; });
  each("rivulet_sink_missing_total", "counter", "Records that were dropped at the storage limit, or damaged, before it had them.", [](const sink::Status& sink) { return sink.missing; });
  each("rivulet_sink_up", "gauge", "1 while it takes records.", [](const sink::Status& sink) { return sink.trouble.empty() ? 1 : 0; });
}

}  // namespace

std::string metrics_text(const Snapshot& now) {
  Page page;
  page.family("rivulet_info", "gauge", "Always 1; who this is.");
  page.sample(label("version", RIVULET_VERSION) + "," + label("agent", now.agent_id) + "," + label("incarnation", now.incarnation), 1);
  page.single("rivulet_uptime_seconds", "gauge", "Since the process started.", static_cast<double>(now.uptime_ms) / 1e3);
  page.single("rivulet_healthy", "gauge", "1 when /healthz answers 200.", health_problems(now).empty() ? 1 : 0);
  page.single("rivulet_clock_plausible", "gauge", "1 while the wall clock is set by a time service and not behind what is stored.", now.clock_plausible ? 1 : 0);
  page.single("rivulet_clock_timestamp_seconds", "gauge", "The wall clock, to hold against that of whoever reads this.", static_cast<double>(now.now_ms) / 1e3);
  sources(page, now);
  pipelines(page, now);
  streams(page, now);
  store(page, now);
  forwarding(page, now);
  sinks(page, now);
  page.single("rivulet_config_last_reload_successful", "gauge", "0 while the last reload of the configuration was refused and the one before goes on.", now.reload.successful ? 1 : 0);
  page.single("rivulet_config_last_reload_timestamp_seconds", "gauge", "When the configuration at work was taken.", static_cast<double>(now.reload.taken_ms) / 1e3);
  page.single("rivulet_config_reloads_total", "counter", "Reloads that were taken.", now.reload.reloads);
  page.single("rivulet_config_last_reload_pause_seconds", "gauge", "How long sources waited for the last of them.", static_cast<double>(now.reload.last_pause_ms) / 1e3);
  page.single("rivulet_log_suppressed_total", "counter", "Log lines not written because they repeated.", now.log_lines_suppressed);
  page.single("process_resident_memory_bytes", "gauge", "Resident memory.", now.resident_bytes);
  page.single("process_cpu_seconds_total", "counter", "User and system time of all threads.", now.cpu_seconds);
  return page.take();
}

}  // namespace rivulet::app
