// Driver's part in records that their topic refuses for their times (times.h): the culprits of a refused batch are computed where that is sure, else searched
// for by halves, and from then on such records are set aside before they are sent.
//
// This device's clock may be slow, by hours before NTP: by it good records are beyond the limit then. What is sure all the same: if a batch was refused for
// being ahead, the record furthest ahead was. A record close to it is blamed with it, and from then on what is further ahead. And a record that the topic took
// shows that one as far ahead may go.

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

// Calls take(sequence, ahead_ms) for each record of the stream in (after, until], reading so many slices at most. True: a gap is among them.
template <typename Take>
result<bool> each_time(Outbox& outbox, StreamId stream, Sequence after, Sequence until, int slices, std::int64_t now_ms, Take take) {
  bool gap = false;
  for (int i = 0; i < slices && after < until; ++i) {
    const auto packs = outbox.read(stream, after, slice_bytes);
    if (!packs) return packs.error();
    const auto before = after;
    for (const auto& pack : *packs) {
      const auto last = std::min(pack.last, until);
      gap = gap || (pack.gap && last > after);
      for (auto sequence = std::max(after + 1, pack.first); !pack.gap && sequence <= last; ++sequence)
        take(sequence, ahead_ms(pack.records[static_cast<std::size_t>(sequence - pack.first)].timestamp_ms, now_ms));
      after = std::max(after, last);
    }
    if (after == before) break;
  }
  return gap;
}

// Beyond max_rows the rest waits for the next scan.
void add(std::vector<Rows>& rows, StreamId stream, Sequence sequence) {
  if (!rows.empty() && rows.back().stream == stream && rows.back().last + 1 == sequence) rows.back().last = sequence;
  else if (rows.size() < max_rows) rows.push_back({stream, sequence, sequence});
}

// A topic's part of a transaction that it refused.
struct Times {
  std::uint64_t records = 0;
  std::int64_t furthest = std::numeric_limits<std::int64_t>::min(), nearest = TimeLimits::none;  // ms ahead; `nearest` of those beyond the limit
  bool early = false, gap = false;
};
enum class Blame { nobody, early, late };

// By the limits that the topic says it has. `surely_late`: whatever it refused was too far ahead, so the furthest was. Changes `limits` to what is refused from then
// on: one or two minutes short of the furthest, by less than the limit, so that with a slow clock too a record that is not ahead of the true time is not blamed.
Blame judge(TimeLimits& limits, const Times& times, bool surely_late, bool for_time) {
  const bool late = times.nearest != TimeLimits::none;
  if (late && surely_late) {
    const auto close_ms = std::clamp<std::int64_t>(limits.after_ms / 2, 1, clocks_differ_ms);
    const auto sure_ms = (times.furthest - close_ms) / close_ms * close_ms;  // whole minutes, for a person
    if (times.nearest > sure_ms) {
      limits.after_ms = std::max(limits.after_ms, sure_ms);
      return Blame::late;
    }
  }
  if (times.early) {
    limits.after_ms = TimeLimits::none;  // nothing was refused for being ahead
    return Blame::early;
  }
  if (late || !surely_late || !for_time || limits.after_ms == TimeLimits::none || times.furthest < limits.after_ms - clocks_differ_ms) return Blame::nobody;
  limits.after_ms = times.furthest - limit_step_ms;
  return Blame::late;
}

}  // namespace

const TimeLimits* Driver::limits_of(const std::string& topic) const {
  const auto found = limits_.find(topic);
  return found == limits_.end() ? nullptr : &found->second.limits;
}

TimeLimits& Driver::learn_limits(const std::string& topic) {
  auto [at, is_new] = limits_.try_emplace(topic);
  auto& limits = at->second.limits;
  if (!is_new) return limits;
  at->second = {uplink_.time_limits(topic, 2'000), clock_.wall_ms() + limits_kept_ms};
  const auto taken = taken_ahead_.find(topic);  // records that were under way for less time are further ahead
  if (taken != taken_ahead_.end() && taken->second > limits.after_ms) limits.after_ms = (taken->second / clocks_differ_ms + 2) * clocks_differ_ms;
  return limits;
}

// By the wall clock: once that was set, forward or back, what was learned by it does not hold.
void Driver::forget_limits() {
  say_refused();
  std::erase_if(limits_, [now_ms = clock_.wall_ms()](const auto& known) { return now_ms >= known.second.until_ms || known.second.until_ms - now_ms > limits_kept_ms; });
}

// The records of the transaction under way that made `topic` refuse it; none: it is not sure which.
void Driver::find_refused(const std::string& topic, Event& out) {
  for (const auto& rows : transaction_.streams())
    if (info(rows.stream).topic == topic && store::is_changelog(info(rows.stream).name)) return add(out.refused, rows.stream, rows.first);  // all were sent with one time, this clock's
  const bool seen = limits_of(topic) != nullptr;  // what it refused before; else what it says
  auto& limits = learn_limits(topic);
  const auto said = limits;
  const auto now_ms = clock_.wall_ms();
  Times times;
  const auto scan = [&](const auto& take) {
    for (const auto& rows : transaction_.streams()) {
      if (info(rows.stream).topic != topic) continue;
      const auto gap = each_time(outbox_, rows.stream, rows.first - 1, rows.last, std::numeric_limits<int>::max(), now_ms,
                                 [&](Sequence s, std::int64_t ahead) { take(rows.stream, s, ahead); });
      if (!gap) {
        log::debug("forward: {}", gap.error().message);  // then it is searched for
        return false;
      }
      times.gap = times.gap || *gap;
    }
    return true;
  };
  const bool read = scan([&](StreamId, Sequence, std::int64_t ahead) {
    ++times.records;
    times.furthest = std::max(times.furthest, ahead);
    if (said.too_late(ahead)) times.nearest = std::min(times.nearest, ahead);
    times.early = times.early || said.too_early(ahead);
  });
  const bool beyond = times.nearest != TimeLimits::none || times.early;
  if (seen && read && !beyond) {  // it refuses more than was seen
    limits_.erase(topic);
    return find_refused(topic, out);
  }
  auto blame = Blame::nobody;
  if (read && seen) blame = times.nearest != TimeLimits::none ? Blame::late : Blame::early;
  if (read && !seen) {
    // With a slow clock a record may be too far behind without showing it. It is not if the topic took one behind it. A gap record, sent with this clock's time, is
    // not if the last that the topic took had about that time.
    const auto taken = taken_ahead_.find(topic);
    const bool took = taken != taken_ahead_.end(), gap_may_be_behind = times.gap && (!took || taken->second > clocks_differ_ms);
    const bool surely_late = !gap_may_be_behind && (limits.before_ms == TimeLimits::none || (times.records == 1 && took));
    blame = judge(limits, times, surely_late, out.failure.code == kafka::invalid_timestamp);
  }
  // One side at a time: the next scan finds the other.
  const bool found = blame != Blame::nobody && scan([&](StreamId stream, Sequence sequence, std::int64_t ahead) {
    if (blame == Blame::late ? limits.too_late(ahead) : limits.too_early(ahead)) add(out.refused, stream, sequence);
  });
  if (found) {
    out.text = refused_for_time(topic, said, blame == Blame::late);
    return;
  }
  out.refused.clear();
  limits_.erase(topic);  // set_aside() goes by what was seen only
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
    if (furthest_ms != std::numeric_limits<std::int64_t>::min()) taken_ahead_[topic] = furthest_ms;  // else nothing went there
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
