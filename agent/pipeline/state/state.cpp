#include "agent/pipeline/state/state.h"

#include <algorithm>

#include "agent/base/check.h"

namespace rivulet::pipeline {
namespace {

// Measured with 100,000 keys: folding more often writes more pages, a longer log takes longer to read at the start.
constexpr std::size_t kLogMaxBytes = 16 << 20;  // before compression

constexpr std::size_t kBytesForAnObject = 4096;

}  // namespace

StateTable& StepState::table(std::uint32_t part) {
  RV_CHECK(part < kTables, "a step has 16 tables");
  return store_.table(step_ * kTables + part);
}

std::size_t StepState::decoded_objects() const { return store_.budget_bytes_ / kBytesForAnObject; }

void StepState::fail(Error error) {
  if (!store_.failure_) store_.failure_ = std::move(error);
}

StateStore::StateStore(store::StateBackend& backend, std::size_t budget_bytes) : backend_(backend), budget_bytes_(budget_bytes) {}
StateStore::~StateStore() = default;

StateTable& StateStore::table(std::uint32_t id) {
  std::unique_ptr<StateTable>& found = tables_[id];
  if (found == nullptr) found.reset(new StateTable(*this, id));
  return *found;
}

result<StepState*> StateStore::open(const std::string& pipeline, const std::string& step, const std::string& definition) {
  auto id = backend_.step(pipeline, step, definition);
  if (!id) return id.error();
  steps_.emplace_back(new StepState(*this, *id));
  for (std::uint32_t part = 0; part < StepState::kTables; ++part) table(*id * StepState::kTables + part);
  opened_.push_back({*id, pipeline, step, definition, steps_.back().get()});
  return steps_.back().get();
}

result<void> StateStore::load() {
  const auto one = [&](std::uint64_t number, std::string_view body) -> result<void> {
    if (logs_.empty()) base_ = number - 1;
    last_ = number;
    logs_[number] = body.size();
    log_bytes_ += body.size();
    return store::read_changes(body, [&](std::uint32_t id, std::string_view key, std::optional<std::string_view> value) {
      table(id).read_log(since_start(number), key, value);  // of a step that is gone, too: its rows are folded like the others
    });
  };
  if (auto done = backend_.log(one); !done) return done;
  for (auto& [id, table] : tables_)  // what fits comes into memory: a key that is not there is never looked for on disk
    if (auto done = table->load(budget_bytes_ / 2); !done) return done;
  return {};
}

store::StateChanges StateStore::take_changes() {
  store::StateChanges changes;
  if (changed_bytes_ == 0) return changes;
  for (auto& [id, table] : tables_) table->log_changes(since_start(last_ + 1), changes.body);
  changed_bytes_ = 0;
  if (changes.body.empty()) return changes;
  changes.number = ++last_;
  logs_[last_] = changes.body.size();
  log_bytes_ += changes.body.size();
  if (log_bytes_ > kLogMaxBytes || bytes_ > budget_bytes_) fold(changes);
  // The clock algorithm: one sweep takes what was not used since the last one, the next what is left.
  for (const bool all : {false, true})
    for (auto& [id, table] : tables_) table->evict(all);
  return changes;
}

// The older half of the log; the row of this epoch stays, so that what is under way is never folded twice.
void StateStore::fold(store::StateChanges& changes) {
  std::size_t taken = 0;
  while (logs_.size() > 1 && (taken < log_bytes_ || bytes_ > budget_bytes_)) {
    const auto oldest = logs_.begin();
    changes.folded_up_to = oldest->first;
    taken += oldest->second;
    log_bytes_ -= oldest->second;
    logs_.erase(oldest);
  }
  if (changes.folded_up_to == 0) return;
  const std::uint64_t after = folding_.empty() ? base_ : folding_.back().up_to;
  for (auto& [id, table] : tables_) table->fold(since_start(after), since_start(changes.folded_up_to), changes.folded);
  folding_.push_back({changes.number, changes.folded_up_to});
}

void StateStore::durable(std::uint64_t number) {
  std::uint64_t up_to = base_;
  while (!folding_.empty() && folding_.front().number <= number) {
    up_to = folding_.front().up_to;
    folding_.erase(folding_.begin());
  }
  if (up_to == base_) return;
  for (auto& [id, table] : tables_) table->settle(since_start(up_to));
}

}  // namespace rivulet::pipeline
