#include "agent/pipeline/replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <istream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "agent/base/check.h"
#include "agent/base/log.h"
#include "agent/base/words.h"
#include "agent/codec/json.h"
#include "agent/pipeline/state/memory.h"
#include "agent/pipeline/state/state.h"
#include "store/store.h"

namespace rivulet::pipeline {
namespace {

class Printer final : public Outputs {
 public:
  Printer(const std::vector<Output>& outputs, std::ostream& out) : outputs_(outputs), out_(out) {}
  std::uint64_t after = 0;

  void emit(std::size_t output, const Record& record) override {
    const bool mqtt = begin(output, record);
    line_ += ",\"key\":";
    if (record.key && !mqtt) codec::append_json_string(line_, *record.key);
    else line_ += "null";
    line_ += ",\"value\":";
    if (!record.value) line_ += "null";
    else if (auto kind = json_.parse(*record.value); kind && *kind != codec::JsonKind::empty) line_ += json_.token();
    else codec::append_json_string(line_, *record.value);
    line_ += fmt::format(",\"ts\":{}", record.timestamp_ms);
    if (record.window) line_ += fmt::format(",\"window\":{{\"start\":{},\"end\":{}}}", record.window->start_ms, record.window->end_ms);
    line_ += fmt::format(",\"after\":{}}}\n", after);
    out_ << line_;
  }
  void dropped(std::uint64_t count) { out_ << fmt::format("{{\"drop\":{{\"n\":{}}},\"after\":{}}}\n", count, after); }
  void quarantine(store::QuarantineEntry entry) override {
    log::warn("replay: input {}: quarantined by {}: {}: {}", after, entry.pipeline.empty() ? "source " + entry.source : "pipeline " + entry.pipeline, entry.step, entry.reason);
  }

 private:
  // "topic": Kafka's; "file": its path; "mqtt": the message's topic, in the place of a key; "stdout": the pipeline.
  bool begin(std::size_t output, const Record& record) {
    const std::string& topic = outputs_[output].topic;
    const bool file = topic.rfind("file:", 0) == 0, mqtt = topic.rfind("mqtt", 0) == 0 && store::is_local(topic);
    line_ = file ? "{\"file\":" : mqtt ? "{\"mqtt\":" : store::is_local(topic) ? "{\"stdout\":" : "{\"topic\":";
    if (mqtt && !record.key) line_ += "null";
    else codec::append_json_string(line_, file ? topic.substr(5) : mqtt ? *record.key : store::is_local(topic) ? outputs_[output].stream : topic);
    return mqtt;
  }
  const std::vector<Output> outputs_;
  std::ostream& out_;
  std::string line_;
  codec::JsonDocument json_;
};

std::string_view token_of(const codec::JsonDocument& json, std::string_view name) {
  for (const codec::JsonField& field : json.fields())
    if (field.name == name) return field.token;
  return {};
}

// CBOR's bytes have no place in a JSON text.
result<std::string> from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned value = 0;
    const auto parsed = std::from_chars(hex.data() + i, hex.data() + std::min(i + 2, hex.size()), value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != hex.data() + i + 2) return Error{ErrorCode::invalid, "value: expected the bytes in hexadecimal digits, for cbor"};
    bytes += static_cast<char>(value);
  }
  return bytes;
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
    if (clock.steady_ms() != 0) topology.clock_moved();
    topology.advance_idle(printer);
    return {};
  }
  std::string name_buffer, key_buffer, value_buffer;
  bool decoded_already = false;
  const std::string_view name = codec::json_text(token_of(json, "source"), name_buffer);
  std::size_t source = 0;
  while (source < config.sources.size() && config.sources[source].name != name) ++source;
  if (source == config.sources.size()) return Error{ErrorCode::invalid, fmt::format("source: there is no source '{}'", name)};
  Record record;
  if (!whole_number(token_of(json, "ts"), record.timestamp_ms)) return Error{ErrorCode::invalid, "ts: expected milliseconds since 1970"};
  if (const std::string_view key = token_of(json, "key"); !key.empty() && key != "null") record.key = codec::json_text(key, key_buffer);
  if (const std::string_view value = token_of(json, "value"); !value.empty() && value != "null") {
    const config::Decode& decode = config.sources[source].decode;
    const bool raw = decode.kind == config::Decode::Kind::raw && decode.pattern.empty();
    // Of the other codecs a text is the frame as it came; anything else is a record that is decoded.
    decoded_already = decode.kind != config::Decode::Kind::json && !raw && value.front() != '"';
    const bool text = raw || (decode.kind != config::Decode::Kind::json && !decoded_already);
    record.value = text ? codec::json_text(value, value_buffer) : value;
    if (text && decode.kind == config::Decode::Kind::cbor) {
      auto bytes = from_hex(*record.value);
      if (!bytes) return bytes.error();
      record.value = std::move(*bytes);
    }
  }
  topology.inject(source, std::move(record), printer, decoded_already);
  return {};
}

class Replay {
 public:
  Replay(const config::Config& config, Topology& topology, ManualClock& clock, std::ostream& out, const ReplayOptions& options)
      : config_(config), clock_(clock), out_(out), options_(options), topology_(&topology), printer_(topology.outputs(), out) {}

  result<void> run(std::istream& in) {
    if (auto attached = attach(); !attached) return attached;
    std::string line;
    for (std::uint64_t number = 1; std::getline(in, line); ++number) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      if (auto done = one_line(config_, *topology_, clock_, line, printer_); !done) return Error{ErrorCode::invalid, fmt::format("line {}: {}", number, done.error().message)};
      const std::uint64_t lines = printer_.after + 1;
      const bool restarts = options_.restart_every != 0 && lines % options_.restart_every == 0;
      if (restarts || lines % options_.epoch_lines == 0) end_epoch();
      tell_drops();
      if (lines % options_.epoch_lines == 0) out_.flush();  // who reads along sees epoch by epoch
      if (!out_) return not_written();
      if (restarts)
        if (auto done = restart(); !done) return done;
      ++printer_.after;
    }
    printer_.after -= printer_.after == 0 ? 0 : 1;
    end_epoch();
    tell_drops();
    const Counts& now = topology_->counts();
    out_ << fmt::format("{{\"summary\":{{\"in\":{},\"out\":{},\"late\":{},\"dropped\":{},\"undecodable\":{}}}}}\n", now.in + before_.in, now.out + before_.out,
                        now.late + before_.late, now.dropped + before_.dropped, now.undecodable + before_.undecodable);
    return out_.flush() ? result<void>() : not_written();
  }

 private:
  static Error not_written() { return Error{ErrorCode::unavailable, std::string("writing the output: ") + std::strerror(errno)}; }

  result<void> attach() {
    while (topology_->look_at_tables({})) {
    }
    for (const auto& table : topology_->tables())
      if (!table.ready) return Error{ErrorCode::unavailable, fmt::format("table {}: {}", table.name, table.text)};
    state_ = std::make_unique<StateStore>(memory_, options_.state_bytes);
    return topology_->attach(*state_);
  }

  void end_epoch() {
    topology_->end_epoch(printer_);
    const store::StateChanges changes = state_->take_changes();
    if (changes.empty()) return;
    memory_.commit(changes);
    state_->durable(changes.number);
  }

  void tell_drops() {
    const std::uint64_t all = topology_->counts().late + topology_->counts().dropped;
    if (options_.drops && all > told_) printer_.dropped(all - told_);
    told_ = all;
  }

  result<void> restart() {
    const Counts& counts = topology_->counts();
    before_.in += counts.in;
    before_.out += counts.out;
    before_.late += counts.late;
    before_.dropped += counts.dropped;
    before_.undecodable += counts.undecodable;
    told_ = 0;
    std::vector<config::Problem> problems;
    again_ = Topology::build(config_, clock_, problems);
    if (again_ == nullptr) return Error{ErrorCode::invalid, "the configuration could not be compiled a second time"};
    topology_ = again_.get();
    if (clock_.steady_ms() != 0) topology_->clock_moved();
    return attach();
  }

  const config::Config& config_;
  ManualClock& clock_;
  std::ostream& out_;
  const ReplayOptions options_;
  StateMemory memory_;
  std::unique_ptr<StateStore> state_;
  std::unique_ptr<Topology> again_;  // after a restart
  Topology* topology_;
  Printer printer_;
  Counts before_;  // of the topologies before a restart
  std::uint64_t told_ = 0;
};

}  // namespace

result<void> replay(const config::Config& config, Topology& topology, ManualClock& clock, std::istream& in, std::ostream& out, const ReplayOptions& options) {
  RV_CHECK(options.epoch_lines > 0, "an epoch of a replay has at least one line");
  return Replay(config, topology, clock, out, options).run(in);
}

}  // namespace rivulet::pipeline
