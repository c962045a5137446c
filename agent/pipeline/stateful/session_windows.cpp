// Session windows (SEMANTICS.md 11, 12, D2).
#include <algorithm>
#include <tuple>

#include "agent/pipeline/stateful/keyed_windows.h"

namespace rivulet::pipeline {
namespace {

class SessionWindows final : public KeyedWindows {
 public:
  explicit SessionWindows(const OperatorParts& parts) : KeyedWindows(parts), gap_(config_.window.size_ms) {}

 private:
  bool takes_null_values() const override { return true; }
  Timestamp due(const Open& open) const override { return open.end + gap_ + grace_ + 1; }
  Timestamp forgotten(const Remembered&) const override { return INT64_MAX; }
  Window window(const Open& open) const override { return {open.start, open.end, true}; }
  bool before(const Open& a, std::string_view a_key, const Open& b, std::string_view b_key) const override {
    if (until_closed_) return std::tie(a.end, a_key, a.start) < std::tie(b.end, b_key, b.start);
    return std::tie(a.end, a.start, a_key) < std::tie(b.end, b.start, b_key);
  }

  void add(std::string_view key, Timestamp timestamp_ms, const Row& row, Timestamp now, Emit& out) override {
    Windows& of_key = windows(key);
    std::vector<Open> absorbed;  // ascending by (start, end), and so by (end, start): a key's sessions do not overlap
    for (std::size_t i = 0; i < of_key.open.size();) {
      const Open& open = of_key.open[i];
      if (due(open) <= now || open.end < timestamp_ms - gap_ || open.start > timestamp_ms + gap_) {
        ++i;
        continue;
      }
      absorbed.push_back(std::move(of_key.open[i]));
      remove(key, of_key, i);
    }
    if (absorbed.empty() && timestamp_ms < now - grace_ - gap_) return out.late(row, 1);
    Open merged;
    merged.state = aggregates_->fresh();
    merged.start = merged.end = timestamp_ms;
    for (Open& one : absorbed) {
      merged.start = std::min(merged.start, one.start);
      merged.end = std::max(merged.end, one.end);
      aggregates_->merge(merged.state, one.state);
    }
    contribute(merged, merged.end);
    const bool same = absorbed.size() == 1 && merged.start == merged.end;  // [t,t] onto [t,t]
    if (same) merged.emitted = absorbed.front().emitted;
    else
      for (const Open& one : absorbed) replaced(key, window(one), one.end, one.emitted, out);
    const auto place = std::upper_bound(of_key.open.begin(), of_key.open.end(), merged, [](const Open& a, const Open& b) { return std::tie(a.start, a.end) < std::tie(b.start, b.end); });
    Open& added = *of_key.open.insert(place, std::move(merged));
    index(key, of_key);
    changed(key, window(added), added, out);
  }

  const Timestamp gap_;
};

}  // namespace

std::unique_ptr<Operator> make_session_windows(const OperatorParts& parts) { return std::make_unique<SessionWindows>(parts); }

}  // namespace rivulet::pipeline
