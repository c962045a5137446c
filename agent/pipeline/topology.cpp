#include "agent/pipeline/topology.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/pipeline/topology_impl.h"

namespace rivulet::pipeline {

void Topology::Impl::forget() {
  arrived.clear();
  arena.reset();
  source_now = kNoOutput;
  if (buffer.capacity() > kKeptBytes) buffer = std::string();
}

bool Topology::Impl::from_the_future(const Segment& segment, Timestamp timestamp_ms) {
  if (!clock_trusted || segment.time.future_ms == 0) return false;
  const auto beyond = [&] { return timestamp_ms - *trusted_ms > segment.time.future_ms; };
  if (trusted_ms && !beyond()) return false;
  trusted_ms = clock.wall_ms();
  return beyond();
}

// What a stateful step gives, on its way through the rest of its pipeline.
class Topology::Impl::Results final : public Emit {
 public:
  Results(Impl& impl, std::size_t pipeline, std::size_t segment, Outputs& to) : impl_(impl), pipeline_(pipeline), segment_(segment), to_(to) {}

  void emit(const Emitted& result) override {
    Segment& next = impl_.pipelines[pipeline_].segments[segment_ + 1];
    next.row.clear();
    next.row.key = result.key;
    next.row.bytes = result.value;
    next.row.timestamp_ms = result.timestamp_ms;
    next.row.window = result.window;
    next.row.change = result.change;
    if (result.text && result.value) {
      next.row.fields.push_back({impl_.value_field.name, impl_.value_field.quoted, *result.value, true});
    } else if (next.reads_fields && result.value) {
      const auto parsed = next.json.parse(*result.value);
      if (!parsed) {  // such as nested too deep
        next.row.clear();
        return failed(result, "its result cannot go on: " + parsed.error().message);
      }
      if (*parsed == codec::JsonKind::other) next.row.fields.push_back({impl_.value_field.name, impl_.value_field.quoted, next.json.token(), false});
      for (const codec::JsonField& field : next.json.fields()) next.row.fields.push_back({field.name, field.quoted, field.token, false});
    }
    apart(result.value, [&] {
      const Arena::Mark mark = impl_.arena.mark();
      impl_.run(pipeline_, segment_ + 1, {nullptr, &result}, to_);
      impl_.arena.release(mark);
    });
  }
  void pass(const Row& row) override {
    if (impl_.source_now != kNoOutput) return impl_.pass(pipeline_, segment_, row, to_);
    apart(row.bytes, [&] { impl_.pass(pipeline_, segment_, row, to_); });  // a timer's: no message is under way
  }
  void late(const Row& row, std::uint64_t windows) override {
    count(&Counts::late, windows);
    const std::size_t output = impl_.pipelines[pipeline_].segments[segment_].late_output;
    if (output == kNoOutput) return;
    assign(impl_.record.key, row.key);
    assign(impl_.record.value, row.value(impl_.buffer));
    impl_.record.timestamp_ms = row.timestamp_ms;
    impl_.record.window = row.window;
    to_.emit(output, impl_.record);
  }
  void dropped(std::uint64_t number) override { impl_.drop(pipeline_, segment_, number); }
  void failed(const Emitted& result, const std::string& reason) override { impl_.fail_result(pipeline_, segment_, result, reason, to_); }
  bool full() override {
    if (!impl_.pipelines[pipeline_].may_pause || !to_.full()) return false;
    impl_.paused = true;
    return true;
  }

 private:
  // With a growth of its own, unless it is itself an element of a list.
  template <class Body>
  void apart(const std::optional<std::string_view>& value, const Body& body) {
    if (impl_.exploding != 0) return body();
    const Growth message = std::exchange(impl_.growth, {value ? value->size() : 0, 0});
    body();
    impl_.growth = message;
  }
  void count(std::uint64_t Counts::*which, std::uint64_t number) {
    impl_.counts.*which += number;
    impl_.pipelines[pipeline_].counts.*which += number;
  }
  Impl& impl_;
  const std::size_t pipeline_, segment_;
  Outputs& to_;
};

void Topology::Impl::process(std::size_t number, std::size_t at, std::size_t input, const Row& row, const Came& came, Outputs& to) {
  Segment& segment = pipelines[number].segments[at];
  const Place::At place = input == 0 ? Place::At::steps : Place::At::other;
  if (row.change == nullptr && from_the_future(segment, row.timestamp_ms))  // what a table took in is a fact for all who read it
    return fail(number, at, {segment.step, fmt::format("its timestamp lies {} ms ahead of the clock, more than time.future allows ({} ms)", row.timestamp_ms - *trusted_ms, segment.time.future_ms)}, place, came, to);
  Results results(*this, number, at, to);
  if (auto done = segment.stateful->process(input, row, results); !done) fail(number, at, {segment.step, done.error().message}, place, came, to);
}

template <class Body>
void Topology::Impl::each_stateful(Outputs& to, const Body& body) {
  forget();
  for (std::size_t i = 0; i < pipelines.size(); ++i)
    for (std::size_t at = 0; at < pipelines[i].segments.size(); ++at) {
      if (pipelines[i].segments[at].stateful == nullptr) continue;
      Results results(*this, i, at, to);
      body(*pipelines[i].segments[at].stateful, results);
    }
  forget();
}

// What is downstream first: a step takes nothing more before its own results are out.
void Topology::Impl::go_on(Outputs& to) {
  forget();
  paused = false;
  for (std::size_t i = pipelines.size(); i-- > 0 && !paused;)
    for (std::size_t at = pipelines[i].segments.size(); at-- > 0 && !paused;) {
      Operator* step = pipelines[i].segments[at].stateful.get();
      if (step == nullptr || !step->pending()) continue;
      Results results(*this, i, at, to);
      step->go_on(results);
    }
  forget();
}

std::unique_ptr<Topology> Topology::build(const config::Config& config, const Clock& clock, std::vector<config::Problem>& problems) {
  auto impl = std::make_unique<Impl>(config, clock);
  const std::size_t before = problems.size();
  impl->build(problems);
  if (problems.size() != before) return nullptr;
  return std::unique_ptr<Topology>(new Topology(std::move(impl)));
}

Topology::Topology(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Topology::~Topology() = default;

const std::vector<Output>& Topology::outputs() const { return impl_->outputs; }
std::vector<std::size_t> Topology::outputs_of(std::size_t source) const { return impl_->outputs_of(source); }
Checked Topology::check(std::size_t source, const Arrival& frame) { return impl_->check(source, frame); }

void Topology::begin_message() { impl_->growth = {}; }
void Topology::arrive(std::size_t source, const Arrival& frame, Outputs& outputs) {
  impl_->arrive(source, frame, outputs);
}
void Topology::inject(std::size_t source, Record record, Outputs& outputs, bool decoded_already) { impl_->inject(source, record, decoded_already, outputs); }

std::vector<Topology::ShownStep> Topology::shown_steps() const {
  std::vector<ShownStep> steps;
  for (std::size_t i = 0; i < impl_->pipelines.size(); ++i)
    for (const auto& segment : impl_->pipelines[i].segments)
      if (segment.stateful != nullptr && segment.stateful->shown()) steps.push_back({impl_->config.pipelines[i].name, segment.step, segment.stateful->definition(), segment.stateful.get()});
  return steps;
}

std::vector<Topology::ShownStep> Topology::stateful_steps() const {
  std::vector<ShownStep> steps;
  for (std::size_t i = 0; i < impl_->pipelines.size(); ++i)
    for (const auto& segment : impl_->pipelines[i].segments)
      if (segment.stateful != nullptr) steps.push_back({impl_->config.pipelines[i].name, segment.step, segment.stateful->definition(), nullptr});
  return steps;
}

bool Topology::stateful() const { return !impl_->stateful.empty(); }

bool Topology::look_at_tables(const std::string& folder) {
  bool more = false;
  for (const auto& lookup : impl_->lookups) more = lookup->look(folder) || more;
  return more;
}

bool Topology::tables_ready() const {
  return std::all_of(impl_->lookups.begin(), impl_->lookups.end(), [](const auto& lookup) { return lookup->ready(); });
}

std::vector<Topology::TableState> Topology::tables() const {
  std::vector<TableState> states;
  for (std::size_t i = 0; i < impl_->lookups.size(); ++i) states.push_back({impl_->config.tables[i].name, impl_->lookups[i]->state(), impl_->lookups[i]->ready()});
  return states;
}

result<void> Topology::attach(StateStore& state) {
  std::vector<std::pair<Operator*, StepState*>> opened;
  for (std::size_t i = 0; i < impl_->pipelines.size(); ++i)
    for (auto& segment : impl_->pipelines[i].segments) {
      if (segment.stateful == nullptr) continue;
      auto step = state.open(impl_->config.pipelines[i].name, segment.step, segment.stateful->definition());
      if (!step) return step.error();
      opened.emplace_back(segment.stateful.get(), *step);
    }
  if (auto loaded = state.load(); !loaded) return loaded;
  for (const auto& [stateful, step] : opened) {
    stateful->attach(*step);
    impl_->paused = impl_->paused || stateful->pending();
  }
  return {};
}

std::size_t Topology::held_bytes() const {
  std::size_t bytes = 0;
  for (const Operator* stateful : impl_->stateful) bytes += stateful->held_bytes();
  return bytes;
}

bool Topology::pending() const { return impl_->paused; }
void Topology::go_on(Outputs& outputs) { impl_->go_on(outputs); }

void Topology::end_epoch(Outputs& outputs) {
  impl_->each_stateful(outputs, [](Operator& stateful, Emit& results) { stateful.flush(results); });
  impl_->each_stateful(outputs, [](Operator& stateful, Emit&) { stateful.save(); });
  for (const auto& lookup : impl_->lookups) lookup->end_epoch();
}

std::optional<Timestamp> Topology::next_idle_ms() const {
  std::optional<Timestamp> next;
  for (const Operator* stateful : impl_->stateful)
    if (const auto one = stateful->next_idle_ms(); one && (!next || *one < *next)) next = one;
  return next;
}

void Topology::advance_idle(Outputs& outputs) {
  const std::int64_t now_ms = impl_->clock.steady_ms();
  impl_->each_stateful(outputs, [&](Operator& stateful, Emit& results) { stateful.advance_idle(now_ms, results); });
}

void Topology::trust_clock(bool yes) { impl_->clock_trusted = impl_->clamp_clock.counts = yes; }
void Topology::clock_moved() { impl_->clamp_clock.counts = true; }

const Counts& Topology::counts() const { return impl_->counts; }
const Counts& Topology::pipeline_counts(std::size_t pipeline) const { return impl_->pipelines[pipeline].counts; }

}  // namespace rivulet::pipeline
