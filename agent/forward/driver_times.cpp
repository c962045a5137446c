// Driver's part in records that their topic refuses for their times (times.h): the culprits of a refused batch are computed, not
// searched for, and from then on such records are set aside before they are sent.
//
// What is computed with this device's clock is corrected by what the topic was seen to do: a record that it took shows that one
// as far ahead may go (this clock is slow); if none of a refused batch is beyond the limit, the one furthest ahead was refused.

#include <algorithm>
#include <functional>
#include <limits>

#include "agent/base/log.h"
#include "agent/forward/driver.h"

namespace rivulet::forward {
namespace {

constexpr std::size_t slice_bytes = 64 * 1024;
constexpr int scan_slices = 16;                       // of the head of a stream, before each transaction
constexpr std::size_t max_rows = 256;                 // set aside at once of a stream: each splits a pack of the store
constexpr std::int64_t limits_kept_ms = 5 * 60'000;   // an operator may have changed the topic; to ask again costs a recovery
constexpr std::int64_t clocks_differ_ms = 60'000;     // this device's and the broker's, at most, for a record to be blamed for it
constexpr std::int64_t limit_step_ms = 1'000;         // of devices that are ahead by the limit, an hour of time zone, say
constexpr std::int64_t say_every_ms = 60'000;

// Calls take(sequence, ahead_ms) for each record of the stream in (after, until], reading so many slices at most.
template <typename Take>
result<void> each_time(Outbox& outbox, StreamId stream, Sequence after, Sequence until, int slices, std::int64_t now_ms, Take take) {
  for (int i = 0; i < slices && after < until; ++i) {
    const auto packs = outbox.read(stream, after, slice_bytes);
    if (!packs) return packs.error();
    const auto before = after;
    for (const auto& pack : *packs) {
      const auto last = std::min(pack.last, until);
      for (auto sequence = std::max(after + 1, pack.first); !pack.gap && sequence <= last; ++sequence)
        take(sequence, ahead_ms(pack.records[static_cast<std::size_t>(sequence - pack.first)].timestamp_ms, now_ms));
      after = std::max(after, last);
    }
    if (after == before) break;
  }
  return {};
}

// Beyond max_rows the rest waits for the next scan.
void add(std::vector<Rows>& rows, StreamId stream, Sequence sequence) {
  if (!rows.empty() && rows.back().stream == stream && rows.back().last + 1 == sequence) rows.back().last = sequence;
  else if (rows.size() < max_rows) rows.push_back({stream, sequence, sequence});
}

}  // namespace

const TimeLimits* Driver::limits_of(const std::string& topic) const {
  const auto found = limits_.find(topic);
  return found == limits_.end() ? nullptr : &found->second.limits;
}

TimeLimits& Driver::learn_limits(const std::string& topic) {
  auto [at, is_new] = limits_.try_emplace(topic);
  if (is_new) at->second = {uplink_.time_limits(topic, 2'000), clock_.steady_ms() + limits_kept_ms};
  auto& limits = at->second.limits;
  if (const auto taken = taken_ahead_.find(topic); taken != taken_ahead_.end()) limits.after_ms = std::max(limits.after_ms, taken->second);
  return limits;
}

void Driver::forget_limits() {
  say_refused();
  std::erase_if(limits_, [now_ms = clock_.steady_ms()](const auto& known) { return now_ms >= known.second.until_ms; });
}

// The records of the transaction under way that made `topic` refuse it.
void Driver::find_refused(const std::string& topic, Event& out) {
  for (const auto& rows : transaction_.streams())
    if (info(rows.stream).topic == topic && store::is_changelog(info(rows.stream).name)) return add(out.refused, rows.stream, rows.first);  // all were sent with one time, this clock's
  auto& limits = learn_limits(topic);
  const auto now_ms = clock_.wall_ms();
  const auto scan = [&](const auto& take) {
    for (const auto& rows : transaction_.streams()) {
      if (info(rows.stream).topic != topic) continue;
      if (const auto done = each_time(outbox_, rows.stream, rows.first - 1, rows.last, std::numeric_limits<int>::max(), now_ms, [&](Sequence s, std::int64_t ahead) { take(rows.stream, s, ahead); });
          !done) {
        log::debug("forward: {}", done.error().message);  // then it is searched for
        return false;
      }
    }
    return true;
  };
  std::int64_t furthest = std::numeric_limits<std::int64_t>::min();
  bool any = false;
  if (!scan([&](StreamId, Sequence, std::int64_t ahead) {
        furthest = std::max(furthest, ahead);
        any = any || limits.refuse(ahead);
      })) return;
  if (!any) {
    if (out.failure.code != kafka::invalid_timestamp) return;
    if (limits.after_ms == TimeLimits::none || furthest < limits.after_ms - clocks_differ_ms) return;
    limits.after_ms = furthest - limit_step_ms;
  }
  // One side at a time: the next scan finds the other.
  const bool too_late = limits.too_late(furthest);
  if (!scan([&](StreamId stream, Sequence sequence, std::int64_t ahead) {
        if (too_late ? limits.too_late(ahead) : limits.too_early(ahead)) add(out.refused, stream, sequence);
      })) return out.refused.clear();
  out.text = refused_for_time(topic, limits, too_late);
}

// What stands at the heads of these streams and would be refused goes into `nothing`. Every other time what may go is sent first, so
// that a device with a wrong clock cannot hold up the others however fast it is. True: nothing may be sent now.
bool Driver::set_aside(std::vector<const store::StreamInfo*>& ready, Event& nothing) {
  std::vector<std::function<bool(StreamId)>> stay;  // a stream that begins with such a record, or the unit that it belongs to
  left_aside_ = false;
  for (const auto* stream : ready) {
    const auto* limits = limits_of(stream->topic);
    if (limits == nullptr || store::is_changelog(stream->name)) continue;
    std::vector<Rows> late, early;
    const auto done = each_time(outbox_, stream->id, stream->acknowledged, stream->last, scan_slices, clock_.wall_ms(), [&](Sequence sequence, std::int64_t ahead) {
      if (limits->refuse(ahead)) add(limits->too_late(ahead) ? late : early, stream->id, sequence);
    });
    if (!done) continue;
    const auto& rows = late.empty() ? early : late;
    if (rows.empty()) continue;
    set_aside_why_[stream->id] = refused_for_time(stream->topic, *limits, !late.empty());
    nothing.text = set_aside_why_[stream->id];
    nothing.refused.insert(nothing.refused.end(), rows.begin(), rows.end());
    const auto unit = std::find_if(options_.units.begin(), options_.units.end(), [&](const auto& one) { return one.has(stream->id); });
    if (unit != options_.units.end()) stay.push_back([unit](StreamId id) { return unit->has(id); });
    else if (rows.front().first == stream->acknowledged + 1) stay.push_back([which = stream->id](StreamId id) { return id == which; });
  }
  if (nothing.refused.empty()) return set_aside_last_ = false;
  auto going = ready;
  std::erase_if(going, [&](const auto* stream) { return std::any_of(stay.begin(), stay.end(), [&](const auto& is_it) { return is_it(stream->id); }); });
  if (!set_aside_last_ || going.empty()) return set_aside_last_ = true;
  ready = std::move(going);
  set_aside_why_.clear();
  left_aside_ = true;
  return set_aside_last_ = false;
}

void Driver::note_settled() {
  for (const auto& [topic, furthest_ms] : ahead_)
    if (furthest_ms != std::numeric_limits<std::int64_t>::min()) taken_ahead_[topic] = furthest_ms;  // else only gap records went there
  ahead_.clear();
}

Event Driver::quarantine() {
  store::ForwardChange change;
  const auto reason_of = [&](StreamId stream) -> const std::string& {
    const auto found = set_aside_why_.find(stream);
    return found == set_aside_why_.end() ? protocol_.refused_reason() : found->second;
  };
  for (const auto& row : protocol_.refused()) change.gaps.push_back({row.stream, row.first, row.last, reason_of(row.stream), true});
  if (const auto done = outbox_.change(std::move(change)); !done) return store_failed(done.error());
  for (const auto& row : protocol_.refused()) {
    auto& untold = untold_[row.stream];
    if (untold.records == 0) untold.first = row.first;
    untold.records += row.last - row.first + 1;
    untold.last = row.last;
    untold.stream = info(row.stream).name;
    untold.reason = reason_of(row.stream);
  }
  set_aside_why_.clear();
  say_refused();
  return event(Event::Kind::done);
}

// At once the first time, then a line for all of a minute: a device with a wrong clock sends on.
void Driver::say_refused() {
  const auto now_ms = clock_.steady_ms();
  for (auto& [id, untold] : untold_) {
    if (untold.records == 0 || now_ms < untold.next_ms) continue;
    if (untold.records == 1)
      log::error("forward: record {} of stream {}: {}; kept in the quarantine (`rivulet quarantine`), a gap record takes its place", untold.first, untold.stream, untold.reason);
    else
      log::error("forward: {} records of stream {}, {} .. {}: {}; kept in the quarantine (`rivulet quarantine`), gap records take their place", untold.records, untold.stream,
                    untold.first, untold.last, untold.reason);
    untold.records = 0;
    untold.next_ms = now_ms + say_every_ms;
  }
}

}  // namespace rivulet::forward
