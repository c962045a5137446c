// Snapshot in words and columns, for `rivulet status`.
#include <fmt/chrono.h>
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <iterator>

#include "agent/app/printable.h"
#include "agent/app/snapshot.h"

namespace rivulet::app {
namespace {

constexpr std::size_t kMaxText = 400;  // of one thing that others wrote

// Columns as wide as what stands in them; the first is to the left, the others are figures but for the last.
class Columns {
 public:
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text() const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (i >= widths.size()) widths.push_back(0);
        widths[i] = std::max(widths[i], characters(row[i]));
      }
    std::string text;
    for (const auto& row : rows_) {
      std::string line = " ";
      for (std::size_t i = 0; i < row.size(); ++i) {
        const bool last = i + 1 == row.size();
        line += (i == 0 ? " " : "  ") + (last ? row[i] : i == 0 ? left(row[i], widths[i]) : right(row[i], widths[i]));
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string events_text(const SourceSnapshot& source) {
  std::string text = shown(source.state, kMaxText);
  if (source.waiting) text += "; waits for room";
  for (const auto& [event, count] : source.events) text += fmt::format("; {} {}", shown(event, 64), count_text(count));
  return text;
}

std::string tables_of(const Snapshot& now) {
  std::string text;
  Columns sources, pipelines, streams;
  sources.row({"source", "type", "records", "size", "state"});
  for (const auto& source : now.sources) sources.row({shown(source.name, 64), source.type, count_text(source.records), size_text(source.bytes), events_text(source)});
  text += "\n" + sources.text();
  if (!now.tables.empty()) {
    Columns tables;
    tables.row({"table", "state"});
    for (const auto& table : now.tables) tables.row({shown(table.name, 64), shown(table.text, kMaxText)});
    text += "\n" + tables.text();
  }
  pipelines.row({"pipeline", "in", "out", "late", "failed", ""});
  for (const auto& pipeline : now.pipelines) {
    const auto& counts = pipeline.counts;
    pipelines.row({shown(pipeline.name, 64), count_text(counts.in), count_text(counts.out), count_text(counts.late), count_text(counts.failed), ""});
  }
  text += "\n" + pipelines.text();
  if (!now.sinks.empty()) {
    Columns sinks;
    sinks.row({"local output", "records", "waiting", "errors", "refused", "missing", "state"});
    for (const auto& sink : now.sinks)
      sinks.row({shown(sink.destination, 250), count_text(sink.records), count_text(sink.backlog), count_text(sink.errors), count_text(sink.refused), count_text(sink.missing),
                 sink.trouble.empty() ? shown(sink.state, kMaxText) : "TAKES NOTHING: " + shown(sink.trouble, kMaxText)});
    text += "\n" + sinks.text();
  }
  if (now.streams.empty()) return text;
  streams.row({"stream", "stored", "waiting", "size", "topic"});
  for (const auto& stream : now.streams) {
    const std::uint64_t waiting = stream.info.waiting();
    streams.row({shown(stream.info.name, 130), count_text(stream.info.last), count_text(waiting), size_text(waiting > 0 ? stream.info.bytes : 0),
                 shown(stream.info.topic, 250) + (stream.held.empty() ? "" : "  HELD: " + shown(stream.held, kMaxText))});
  }
  return text + "\n" + streams.text();
}

std::string forward_text(const Snapshot& now) {
  if (!now.forward) return "kafka   off: the configuration has no kafka section\n";
  const forward::Status& forward = *now.forward;
  std::string text = fmt::format("kafka   link {}; {}; {} records in {} transactions since the start, {} recoveries", name_of(forward.link), forward.phase, count_text(forward.forwarded_records),
                                 count_text(forward.transactions), forward.recoveries);
  if (!forward.connected) text += "; never connected since the start";
  if (forward.last_settled_ms > 0) text += fmt::format("; the last {} ago", span_text(now.now_ms - forward.last_settled_ms));
  text += "\n";
  if (!forward.last_error.empty()) text += "        last trouble: " + shown(forward.last_error, kMaxText) + "\n";
  return text;
}

}  // namespace

std::string status_text(const Snapshot& now) {
  std::string text = fmt::format("rivulet {}  agent {}  up {}  memory {}\n", RIVULET_VERSION, shown(now.agent_id, 250), span_text(now.uptime_ms), size_text(now.resident_bytes));
  const auto problems = problems_of(now);
  for (const auto& problem : problems) text += "PROBLEM " + shown(problem, 1000) + "\n";
  if (problems.empty()) text += "healthy\n";
  if (!now.reload.successful)
    text += fmt::format("CONFIGURATION the last reload, {} ago, was refused and the one before goes on: {}\n", span_text(std::max<std::int64_t>(0, now.now_ms - now.reload.refused_ms)), shown(now.reload.problem, 1000));
  if (!now.reload.under_way.empty()) text += "configuration a reload is under way: " + shown(now.reload.under_way, kMaxText) + "\n";
  if (!now.clock_plausible) text += "clock   not set by a time service, or behind what is stored\n";
  text += forward_text(now);
  const std::uint64_t limit = now.store.outbox_max_bytes;
  text += fmt::format("store   {} records for topics and {} for local outputs ({}) wait; {} of {} used ({} %)", count_text(now.store.outbox_records - now.store.local_records), count_text(now.store.local_records), size_text(now.store.outbox_bytes), size_text(now.store.used_bytes), size_text(limit),
                      limit > 0 ? now.store.used_bytes * 100 / limit : 0);
  if (now.store.dropped_records > 0) text += fmt::format("; {} oldest records were dropped at the limit since the start", count_text(now.store.dropped_records));
  text += "\n";
  const std::string gone = now.store.quarantine_dropped == 0 ? "" : fmt::format(" ({} more were dropped there at its bound)", count_text(now.store.quarantine_dropped));
  text += fmt::format("failed  {} in quarantine{}; since the start {} undecodable, {} failed in a step, {} late, {} left out by steps or empty\n", count_text(now.store.quarantine_records), gone, count_text(now.totals.undecodable),
                      count_text(now.totals.failed), count_text(now.totals.late), count_text(now.totals.dropped));
  text += tables_of(now);
  if (!now.last_errors.empty()) text += "\n  last errors\n";
  for (const auto& error : now.last_errors)
    text += fmt::format("  {:%Y-%m-%d %H:%M:%S}  {}  {}{}\n", fmt::localtime(static_cast<std::time_t>(error.last_ms / 1000)), error.error ? "error  " : "warning", error.count > 1 ? fmt::format("({} times) ", error.count) : "",
                        shown(error.text, kMaxText + 8));
  return text;
}

}  // namespace rivulet::app
