#include "agent/pipeline/replay.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <istream>
#include <ostream>
#include <string>

#include "agent/base/check.h"
#include "agent/codec/json.h"

namespace rivulet::pipeline {
namespace {

class Printer final : public Outputs {
 public:
  Printer(const Topology& topology, std::ostream& out) : topology_(topology), out_(out) {}
  std::uint64_t after = 0;

  void emit(std::size_t output, const Record& record) override {
    line_ = "{\"topic\":";
    codec::append_json_string(line_, topology_.outputs()[output].topic);
    line_ += ",\"key\":";
    if (record.key) codec::append_json_string(line_, *record.key);
    else line_ += "null";
    line_ += ",\"value\":";
    if (!record.value) line_ += "null";
    else if (auto kind = json_.parse(*record.value); kind && *kind != codec::JsonKind::empty) line_ += json_.token();
    else codec::append_json_string(line_, *record.value);
    line_ += fmt::format(",\"ts\":{},\"after\":{}}}\n", record.timestamp_ms, after);
    out_ << line_;
  }
  void quarantine(store::QuarantineEntry entry) override {
    spdlog::warn("replay: input {}: quarantined by {}: {}: {}", after, entry.pipeline.empty() ? "source " + entry.source : "pipeline " + entry.pipeline, entry.step, entry.reason);
  }

 private:
  const Topology& topology_;
  std::ostream& out_;
  std::string line_;
  codec::JsonDocument json_;
};

std::string_view token_of(const codec::JsonDocument& json, std::string_view name) {
  for (const codec::JsonField& field : json.fields())
    if (field.name == name) return field.token;
  return {};
}

bool whole_number(std::string_view token, std::int64_t& to) {
  const auto parsed = std::from_chars(token.data(), token.data() + token.size(), to);
  return !token.empty() && parsed.ec == std::errc() && parsed.ptr == token.data() + token.size();
}

result<void> one_line(const config::Config& config, Topology& topology, ManualClock& clock, const std::string& line, Printer& printer) {
  codec::JsonDocument json;
  auto kind = json.parse(line);
  if (!kind) return kind.error();
  if (*kind != codec::JsonKind::object) return Error{ErrorCode::invalid, "expected an object"};
  if (const std::string_view advance = token_of(json, "advance"); !advance.empty()) {
    std::int64_t ms = 0;
    if (!whole_number(advance, ms) || ms < 0) return Error{ErrorCode::invalid, "advance: expected milliseconds"};
    clock.advance(ms);
    return {};
  }
  std::string name_buffer, key_buffer, value_buffer;
  const std::string_view name = codec::json_text(token_of(json, "source"), name_buffer);
  std::size_t source = 0;
  while (source < config.sources.size() && config.sources[source].name != name) ++source;
  if (source == config.sources.size()) return Error{ErrorCode::invalid, fmt::format("source: there is no source '{}'", name)};
  Record record;
  if (!whole_number(token_of(json, "ts"), record.timestamp_ms)) return Error{ErrorCode::invalid, "ts: expected milliseconds since 1970"};
  if (const std::string_view key = token_of(json, "key"); !key.empty() && key != "null") record.key = codec::json_text(key, key_buffer);
  if (const std::string_view value = token_of(json, "value"); !value.empty() && value != "null") {
    const bool raw = config.sources[source].decode.kind == config::Decode::Kind::raw;
    record.value = raw ? codec::json_text(value, value_buffer) : value;
  }
  topology.inject(source, std::move(record), printer);
  return {};
}

}  // namespace

result<void> replay(const config::Config& config, Topology& topology, ManualClock& clock, std::istream& in, std::ostream& out, const ReplayOptions& options) {
  RV_CHECK(options.epoch_lines > 0, "an epoch of a replay has at least one line");
  Printer printer(topology, out);
  std::string line;
  for (std::uint64_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (auto done = one_line(config, topology, clock, line, printer); !done) return Error{ErrorCode::invalid, fmt::format("line {}: {}", number, done.error().message)};
    if (++printer.after % options.epoch_lines == 0) out.flush();  // who reads along sees epoch by epoch
  }
  const Counts& counts = topology.counts();
  out << fmt::format("{{\"summary\":{{\"in\":{},\"out\":{},\"late\":{},\"dropped\":{},\"undecodable\":{}}}}}\n", counts.in, counts.out, counts.late, counts.dropped, counts.undecodable);
  out.flush();
  return {};
}

}  // namespace rivulet::pipeline
