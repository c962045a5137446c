#include "agent/pipeline/aggregate/aggregates.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/aggregate/plan.h"

namespace rivulet::pipeline {

using namespace aggregate;

namespace {

constexpr std::uint8_t kVersion = 1;

Error damaged(const char* how) { return {ErrorCode::corrupt, std::string("the state of an aggregate is ") + how}; }

void append_time(std::string& to, Timestamp time_ms) {
  char digits[24];
  to.append(digits, std::to_chars(digits, digits + sizeof digits, time_ms).ptr);
}

const Field* find_near(const Row& row, Argument& argument) {
  if (argument.found_at < row.fields.size() && row.fields[argument.found_at].name == argument.bare_field) return &row.fields[argument.found_at];
  const Field* field = row.find(argument.bare_field);
  if (field != nullptr) argument.found_at = static_cast<std::size_t>(field - row.fields.data());
  return field;
}

}  // namespace

AggState::AggState() noexcept = default;
AggState::~AggState() = default;
AggState::AggState(AggState&&) noexcept = default;
AggState& AggState::operator=(AggState&&) noexcept = default;

std::unique_ptr<Aggregates> Aggregates::build(Evaluator& evaluator, const config::Aggregate& config, const std::string& path, std::vector<config::Problem>& problems, bool subtractable) {
  auto plan = compile(evaluator, config, path, problems, subtractable);
  return plan == nullptr ? nullptr : std::unique_ptr<Aggregates>(new Aggregates(std::move(plan)));
}

Aggregates::Aggregates(std::unique_ptr<Plan> plan) : plan_(std::move(plan)) {}
Aggregates::~Aggregates() = default;

std::uint32_t Aggregates::checksum(std::string_view bytes) { return static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())); }

const std::string& Aggregates::definition() const { return plan_->definition; }

result<void> Aggregates::take(const Row& row) {
  plan_->taken = false;
  plan_->timestamp_ms = row.timestamp_ms;
  if (plan_->arguments_group != nullptr) {
    const Outcome outcome = plan_->arguments_group->run(row);
    if (outcome.kind == Outcome::Kind::failed) {
      const auto failed = std::find_if(plan_->arguments.begin(), plan_->arguments.end(), [&](const Argument& one) { return one.item == outcome.item; });
      return Error{ErrorCode::invalid, (failed == plan_->arguments.end() ? "an argument" : failed->written) + ": " + outcome.reason};
    }
  }
  for (Argument& argument : plan_->arguments) {
    Field computed;
    const Field* field = nullptr;
    if (argument.item == kNone) {
      field = find_near(row, argument);
    } else if (const auto& result = plan_->arguments_group->results()[argument.item]; !result.null) {
      computed.token = result.text;
      field = &computed;
    }
    if (auto read = read_value(field, argument.needs, argument.value, argument.buffers); !read) return Error{ErrorCode::invalid, argument.written + ": " + read.error().message};
  }
  plan_->taken = true;
  return {};
}

void Aggregates::prepare(AggState& state) const {
  if (plan_->words > AggState::kInlineWords && state.words_ == nullptr) state.words_ = std::make_unique<std::uint64_t[]>(plan_->words);
}

Slot Aggregates::slot(AggState& state, std::size_t index) const {
  const SlotPlan& slot = plan_->slots[index];
  std::uint64_t* words = state.words_ != nullptr ? state.words_.get() : state.inline_;
  return {words + slot.words_at, &state.parts_, slot.part_at, plan_->parts};
}

ConstSlot Aggregates::slot(const AggState& state, std::size_t index) const {
  const SlotPlan& slot = plan_->slots[index];
  const std::uint64_t* words = state.words_ != nullptr ? state.words_.get() : plan_->words > AggState::kInlineWords ? plan_->zeros.data() : state.inline_;
  return {words + slot.words_at, slot.part_at == kNone || state.parts_ == nullptr ? nullptr : state.parts_[slot.part_at].get()};
}

void Aggregates::add(AggState& state, std::uint64_t arrival) const {
  RV_CHECK(plan_->taken, "a record is taken before it is added");
  prepare(state);
  const Moment at{plan_->timestamp_ms, arrival};
  static const Value present{false, false, {}, {}, {}};
  for (std::size_t i = 0; i < plan_->slots.size(); ++i) {
    const SlotPlan& one = plan_->slots[i];
    const Value& value = one.argument == kNone ? present : plan_->arguments[one.argument].value;
    if (!value.null) left_out_ += one.accumulator->add(slot(state, i), value, at);
  }
}

void Aggregates::subtract(AggState& state) const {
  RV_CHECK(plan_->taken, "a record is taken before it is subtracted");
  prepare(state);
  static const Value present{false, false, {}, {}, {}};
  for (std::size_t i = 0; i < plan_->slots.size(); ++i) {
    const SlotPlan& one = plan_->slots[i];
    const Value& value = one.argument == kNone ? present : plan_->arguments[one.argument].value;
    if (!value.null) one.accumulator->subtract(slot(state, i), value);
  }
}

void Aggregates::merge(AggState& into, const AggState& from) const {
  prepare(into);
  for (std::size_t i = 0; i < plan_->slots.size(); ++i) left_out_ += plan_->slots[i].accumulator->merge(slot(into, i), slot(from, i));
}

void Aggregates::encode(const AggState& state, std::string& to) const {
  const std::size_t begin = to.size();
  put_u8(to, kVersion);
  for (std::size_t i = 0; i < plan_->slots.size(); ++i) plan_->slots[i].accumulator->encode(slot(state, i), to);
  put_u32_be(to, checksum(std::string_view(to).substr(begin)));
}

result<AggState> Aggregates::decode(std::string_view bytes) const {
  static constexpr std::size_t kSumBytes = 4;
  if (bytes.size() <= kSumBytes) return damaged("cut short");
  const std::string_view content = bytes.substr(0, bytes.size() - kSumBytes);
  if (Reader(bytes.substr(content.size())).u32_be() != checksum(content)) return damaged("damaged (its checksum is another one)");
  Reader from(content);
  if (from.u8() != kVersion) return damaged("of a newer version than this one");
  AggState state;
  prepare(state);
  for (std::size_t i = 0; i < plan_->slots.size(); ++i)
    if (!plan_->slots[i].accumulator->decode(slot(state, i), from) || !from.ok()) return damaged("not one of this definition");
  if (!from.at_end()) return damaged("longer than one of this definition");
  return state;
}

void Aggregates::append_call(const AggState& state, std::size_t call, const Window* window, std::string& to) const {
  const Call& one = plan_->calls[call];
  plan_->slots[one.slot].accumulator->append(slot(state, one.slot), one.ask, one.parameter, window, to);
}

// The calls' values, the key and the window as the fields that the outer expressions read.
Outcome Aggregates::run_outer(const AggState& state, std::string_view key, const Window* window) {
  struct Span {
    std::size_t begin, end;
  };
  auto& fields = outer_row_.fields;
  if (fields.empty())
    for (const OuterField& field : plan_->outer_fields) fields.push_back({field.name.name, field.name.quoted, {}, field.what == What::key});
  outer_text_.clear();
  std::vector<Span> spans;
  spans.reserve(fields.size());
  for (const OuterField& field : plan_->outer_fields) {
    const std::size_t begin = outer_text_.size();
    switch (field.what) {
      case What::key: outer_text_ += key; break;
      case What::window_start: append_time(outer_text_, window == nullptr ? 0 : window->start_ms); break;
      case What::window_end: append_time(outer_text_, window == nullptr ? 0 : window->end_ms); break;
      default: append_call(state, field.call, window, outer_text_);
    }
    spans.push_back({begin, outer_text_.size()});
  }
  for (std::size_t i = 0; i < fields.size(); ++i) fields[i].token = std::string_view(outer_text_).substr(spans[i].begin, spans[i].end - spans[i].begin);
  return plan_->outer->run(outer_row_);
}

result<bool> Aggregates::finish(const AggState& state, std::string_view key, const Window* window, std::string& to) {
  if (plan_->outer != nullptr) {
    const Outcome outcome = run_outer(state, key, window);
    if (outcome.kind == Outcome::Kind::stopped) return false;
    if (outcome.kind == Outcome::Kind::failed) return Error{ErrorCode::invalid, plan_->item_names[outcome.item] + ": " + outcome.reason};
  }
  char before = '{';
  const auto begin = [&](std::string_view quoted) {
    to += before;
    to += quoted;
    to += ':';
    before = ',';
  };
  for (const Output& output : plan_->outputs) {
    begin(output.quoted);
    switch (output.what) {
      case What::call: append_call(state, output.index, window, to); break;
      case What::key: codec::append_json_string(to, key); break;
      case What::window_start: append_time(to, window == nullptr ? 0 : window->start_ms); break;
      case What::window_end: append_time(to, window == nullptr ? 0 : window->end_ms); break;
      case What::expression: to += plan_->outer->results()[output.index].text; break;
    }
  }
  if (window != nullptr && !plan_->names_start) begin("\"window_start\""), append_time(to, window->start_ms);
  if (window != nullptr && !plan_->names_end) begin("\"window_end\""), append_time(to, window->end_ms);
  if (before == '{') to += '{';
  to += '}';
  return true;
}

std::size_t Aggregates::size_bytes(const AggState& state) const {
  std::size_t size = sizeof state;
  if (state.words_ != nullptr) size += plan_->words * sizeof(std::uint64_t);
  if (state.parts_ != nullptr) size += plan_->parts * sizeof(std::unique_ptr<Part>);
  for (std::size_t i = 0; i < plan_->slots.size(); ++i)
    if (const Part* part = slot(state, i).part; part != nullptr) size += part->size_bytes();
  return size;
}

}  // namespace rivulet::pipeline
