// suppress: {limit}: holds each key's results back for so much stream time after the first, then lets the latest through.
//
// SEMANTICS.md 13. Stream time is the highest timestamp of a result, over all keys also where the pipeline's scope is key: nothing is ever late
// here. Tables: what is held by id (the key, its window, a byte that says which), and the order in which it comes due.
#include "agent/pipeline/stateful/suppress.h"

#include <vector>

#include "agent/base/bytes.h"
#include "agent/pipeline/stateful/stream_time.h"

namespace rivulet::pipeline {
namespace {

constexpr std::uint32_t kHeldPart = 1, kOrderPart = 2;
constexpr std::size_t kWindowBytes = 2 * sizeof(Timestamp);
enum Kind : std::uint8_t { kPlain = 0, kWindow = 1, kSession = 2 };

config::Time over_all_keys(config::Time time) {
  time.scope = config::Time::Scope::stream;
  return time;
}

struct Held {
  Timestamp first_ms = 0, latest_ms = 0;
  std::optional<std::string_view> value;
};

std::string encode(const Held& held) {
  std::string bytes;
  put_zigzag(bytes, held.first_ms);
  put_zigzag(bytes, held.latest_ms);
  put_u8(bytes, held.value ? 1 : 0);
  if (held.value) bytes += *held.value;
  return bytes;
}

Held decode(std::string_view bytes) {
  Reader reader(bytes);
  Held held;
  held.first_ms = reader.zigzag();
  held.latest_ms = reader.zigzag();
  if (reader.u8() != 0) held.value = reader.rest();
  return held;
}

// What an id says; false: it is damaged.
bool read_id(std::string_view id, std::string_view& key, std::optional<Window>& window) {
  window.reset();
  if (id.empty() || (id.back() != kPlain && id.size() <= kWindowBytes)) return false;
  const auto kind = static_cast<Kind>(id.back());
  key = id.substr(0, id.size() - 1 - (kind == kPlain ? 0 : kWindowBytes));
  if (kind == kPlain) return true;
  Reader reader(id.substr(key.size()));
  window.emplace();
  window->start_ms = static_cast<Timestamp>(reader.u64_be());
  window->end_ms = static_cast<Timestamp>(reader.u64_be());
  window->session = kind == kSession;
  return true;
}

// Whether the aggregate before the step has windows.
bool after_windows(const OperatorParts& parts) {
  const auto& steps = parts.pipeline.steps;
  const auto here = static_cast<std::size_t>(&parts.step - steps.data());
  const auto* before = here == 0 ? nullptr : std::get_if<config::Aggregate>(&steps[here - 1].what);
  return before != nullptr && before->window.kind != config::WindowSpec::Kind::none;
}

class SuppressLimit final : public Operator {
 public:
  explicit SuppressLimit(const OperatorParts& parts)
      : limit_(std::get<config::Suppress>(parts.step.what).limit_ms), windowed_(after_windows(parts)), time_(over_all_keys(parts.time), parts.clock) {}

  std::string definition() const override { return "suppress 1\nlimit " + std::to_string(limit_) + "\n"; }

  void attach(StepState& state) override {
    state_ = &state;
    time_.attach(state.table(kTimePart));
    find_next({});
  }

  result<void> process(std::size_t, const Row& row, Emit& out) override {
    if (!row.key) {
      out.dropped(1);
      return {};
    }
    const std::string id = id_of(row);
    Held held;
    StateTable& table = state_->table(kHeldPart);
    if (const auto before = table.get(id)) held.first_ms = decode(*before).first_ms;
    else {
      held.first_ms = row.timestamp_ms;
      state_->table(kOrderPart).put(order(held.first_ms, id), {});
      next_first_ = std::min(next_first_, held.first_ms);
    }
    held.latest_ms = row.timestamp_ms;
    held.value = row.value(buffer_);
    table.put(id, encode(held));
    let_through(time_.advance({}, row.timestamp_ms).to, out);
    return {};
  }

  void save() override { time_.save(); }
  std::optional<Timestamp> next_idle_ms() const override { return time_.next_idle_ms(next_first_ == INT64_MAX ? std::nullopt : std::optional(next_first_ + limit_)); }
  void advance_idle(Timestamp now_ms, Emit& out) override {
    time_.advance_idle(now_ms, [&](const std::string&, StreamTime::Move move) { let_through(move.to, out); });
  }

  std::optional<Shown> shown() const override { return Shown{kHeldPart, windowed_, {}}; }
  result<bool> show(std::string_view name, std::string_view bytes, ShownRow& row) override {
    std::string_view key;
    std::optional<Window> window;
    if (!read_id(name, key, window)) return Error{ErrorCode::corrupt, "a row of its state does not read"};
    const Held held = decode(bytes);
    row.key = key;
    row.window = window.value_or(Window{});
    row.timestamp_ms = held.latest_ms;
    if (held.value) row.value = *held.value;
    else row.value.reset();
    return true;
  }

 private:
  static std::string id_of(const Row& row) {
    std::string id(*row.key);
    if (row.window) {
      put_u64_be(id, static_cast<std::uint64_t>(row.window->start_ms));
      put_u64_be(id, static_cast<std::uint64_t>(row.window->end_ms));
    }
    put_u8(id, row.window ? (row.window->session ? kSession : kWindow) : kPlain);
    return id;
  }
  static std::string order(Timestamp first_ms, std::string_view id) {
    std::string name;
    put_u64_be(name, static_cast<std::uint64_t>(first_ms));
    name += id;
    return name;
  }

  void let_through(Timestamp now, Emit& out) {
    if (next_first_ == INT64_MAX || now < next_first_ + limit_) return;
    std::vector<std::string> ids;
    const std::string end = order(now - limit_ + 1, {});
    state_->table(kOrderPart).scan(order(next_first_, {}), end, [&](std::string_view name, std::string_view) {
      ids.emplace_back(name);
      return true;
    });
    for (const std::string& name : ids) {
      state_->table(kOrderPart).erase(name);
      emit(std::string_view(name).substr(sizeof(Timestamp)), out);
    }
    find_next(end);
  }

  void emit(std::string_view id, Emit& out) {
    const auto found = state_->table(kHeldPart).get(id);
    if (!found) return;  // only after a failed read, and then nothing of this epoch is committed
    const std::string bytes(*found);
    state_->table(kHeldPart).erase(id);
    const Held held = decode(bytes);
    std::string_view key;
    std::optional<Window> window;
    read_id(id, key, window);
    out.emit({key, held.value, held.latest_ms, window});
  }

  // From there on: rows that were erased lately are still passed by a scan.
  void find_next(std::string_view from) {
    next_first_ = INT64_MAX;
    state_->table(kOrderPart).scan(from, {}, [&](std::string_view name, std::string_view) {
      next_first_ = static_cast<Timestamp>(Reader(name).u64_be());
      return false;
    });
  }

  const Timestamp limit_;
  const bool windowed_;
  StreamTime time_;
  StepState* state_ = nullptr;
  Timestamp next_first_ = INT64_MAX;  // of what is held
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Operator> make_suppress_limit(const OperatorParts& parts) { return std::make_unique<SuppressLimit>(parts); }

}  // namespace rivulet::pipeline
