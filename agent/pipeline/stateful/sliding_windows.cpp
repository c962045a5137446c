// Sliding windows (SEMANTICS.md 8 to 10, D4, D6, D9): [t-d, t] and [t+1, t+1+d] of every record, both ends inclusive.
//
// A record is remembered as what it adds to a window, until no later window can hold it. Windows are made from what is remembered.
#include <algorithm>

#include "agent/pipeline/stateful/keyed_windows.h"

namespace rivulet::pipeline {
namespace {

class SlidingWindows final : public KeyedWindows {
 public:
  explicit SlidingWindows(const OperatorParts& parts) : KeyedWindows(parts), difference_(config_.window.size_ms) {}

 private:
  bool takes_null_values() const override { return false; }
  Timestamp due(const Open& open) const override { return open.end + grace_ + 1; }
  Timestamp forgotten(const Remembered& record) const override { return record.timestamp_ms + difference_ + 1 + grace_ + 1; }
  Window window(const Open& open) const override { return {open.start, open.end, false}; }
  bool before(const Open& a, std::string_view a_key, const Open& b, std::string_view b_key) const override { return std::tie(a.start, a_key) < std::tie(b.start, b_key); }

  // One record on its way through its key's windows.
  struct Visit {
    std::string_view key;
    Timestamp timestamp_ms, close;  // windows that end before `close` are final
    Windows& of_key;
    Emit& out;
  };

  static auto place(Windows& of_key, Timestamp start) {
    return std::lower_bound(of_key.open.begin(), of_key.open.end(), start, [](const Open& open, Timestamp at) { return open.start < at; });
  }
  static bool has(Windows& of_key, Timestamp start) {
    const auto at = place(of_key, start);
    return at != of_key.open.end() && at->start == start;
  }

  // A window with all remembered records in it; nothing if there are none.
  void make(const Visit& visit, Timestamp start) {
    Open made;
    made.start = start;
    made.end = start + difference_;
    if (made.end < visit.close) return;
    for (const Remembered& record : visit.of_key.records) {
      if (record.timestamp_ms < made.start || record.timestamp_ms > made.end) continue;
      if (made.timestamp_ms == kNoTime) made.state = aggregates_->fresh();
      aggregates_->merge(made.state, record.state);
      made.timestamp_ms = record.timestamp_ms;
    }
    if (made.timestamp_ms == kNoTime) return;
    Open& added = *visit.of_key.open.insert(place(visit.of_key, start), std::move(made));
    changed(visit.key, window(added), added, visit.out);
  }

  void remember(const Visit& visit) {
    auto& records = visit.of_key.records;
    const auto at = std::lower_bound(records.begin(), records.end(), visit.timestamp_ms, [](const Remembered& one, Timestamp t) { return one.timestamp_ms < t; });
    Remembered* record = nullptr;
    if (at != records.end() && at->timestamp_ms == visit.timestamp_ms) {
      record = &*at;
    } else {
      record = &*records.insert(at, Remembered{visit.timestamp_ms, aggregates_->fresh(), true});
    }
    Entry one{std::move(record->state)};
    contribute(one, visit.timestamp_ms);
    record->state = std::move(one.state);
    record->dirty = true;
  }

  void add(std::string_view key, Timestamp t, const Row& row, Timestamp now, Emit& out) override {
    const Timestamp close = now - grace_;
    if (t + difference_ < close) return out.late(row, 1);
    Windows& of_key = windows(key);
    const Visit visit{key, t, close, of_key, out};
    const Timestamp own = std::max<Timestamp>(0, t - difference_);
    Timestamp previous = kNoTime;  // the highest remembered timestamp below t
    for (const Remembered& record : of_key.records)
      if (record.timestamp_ms < t) previous = record.timestamp_ms;
    const auto holds = [&](Timestamp start) { return start <= t && t <= start + difference_ && start + difference_ >= close; };
    const bool after_previous = previous != kNoTime && holds(previous + 1) && !has(of_key, previous + 1) && previous + 1 != own;
    const bool own_is_new = holds(own) && !has(of_key, own);
    std::vector<Timestamp> existing;
    for (const Open& open : of_key.open)
      if (holds(open.start)) existing.push_back(open.start);
    if (!existing.empty() || after_previous || own_is_new) remember(visit);
    if (!holds(own)) out.late(row, 1);
    const auto update = [&](Timestamp start) {
      Open& open = *place(of_key, start);
      contribute(open, t);
      changed(key, window(open), open, out);
    };
    const auto own_right = [&] {
      if (!has(of_key, t + 1)) make(visit, t + 1);
    };
    if (t >= difference_) {
      for (auto start = existing.rbegin(); start != existing.rend(); ++start) update(*start);
      if (after_previous) make(visit, previous + 1);
      if (own_is_new) make(visit, own);
      own_right();
    } else {
      for (const Timestamp start : existing)
        if (start > 0) update(start);
      own_right();
      if (after_previous) make(visit, previous + 1);
      if (own_is_new) make(visit, own);
      else if (holds(own)) update(own);
    }
    index(key, of_key);
  }

  const Timestamp difference_;
};

}  // namespace

std::unique_ptr<Operator> make_sliding_windows(const OperatorParts& parts) { return std::make_unique<SlidingWindows>(parts); }

}  // namespace rivulet::pipeline
