#include "tests/property/forward/fake_outbox.h"

#include <algorithm>

#include "agent/base/check.h"
#include "store/pack.h"

namespace rivulet::sim {

void FakeOutbox::add_stream(StreamId id, const std::string& topic) {
  store::StreamInfo info;
  info.id = id;
  info.name = "stream-" + std::to_string(id);
  info.topic = topic;
  now_.streams[id] = durable_.streams[id] = info;
}

void FakeOutbox::add_records(StreamId id, std::uint64_t count) {
  now_.streams[id].last += count;
  durable_ = now_;  // a durable commit takes along what came before it
  not_durable_.clear();
}

void FakeOutbox::add_records(StreamId id, std::uint64_t count, Timestamp timestamp_ms) {
  for (std::uint64_t i = 1; i <= count; ++i) times[id][now_.streams[id].last + i] = timestamp_ms;
  add_records(id, count);
}

void FakeOutbox::lose_what_is_not_durable() {
  now_ = durable_;
  auto kept = dice_.between(0, static_cast<std::int64_t>(not_durable_.size()));
  for (const auto& change : not_durable_) {
    if (kept-- <= 0) break;
    apply(now_, change);
  }
  durable_ = now_;
  not_durable_.clear();
  protected_.reset();
}

void FakeOutbox::drop_oldest() {
  const bool prepared = now_.facts.contains("prepared");
  if (!protected_ && prepared) return;
  auto stream = now_.streams.begin();
  std::advance(stream, dice_.between(0, static_cast<std::int64_t>(now_.streams.size()) - 1));
  const auto& [id, info] = *stream;
  const auto kept = protected_ && protected_->contains(id) ? protected_->at(id) : Sequence{0};
  const auto first = std::max(info.acknowledged, kept) + 1;
  const auto last = std::min(info.last, first + static_cast<Sequence>(dice_.between(0, 20)));
  if (first > last) return;
  if (prepared) dropped_while_prepared_ += last - first + 1;
  store::ForwardChange change;
  change.gaps.push_back({id, first, last, "storage limit reached", false});
  apply(now_, change);
  durable_ = now_;
  not_durable_.clear();
}

void FakeOutbox::protect(const std::vector<store::ForwardChange::Acknowledged>& prepared) {
  protected_.emplace();
  for (const auto& [stream, last] : prepared) (*protected_)[stream] = last;
}

bool FakeOutbox::empty() const {
  return std::all_of(now_.streams.begin(), now_.streams.end(), [](const auto& s) { return s.second.acknowledged == s.second.last; });
}

std::size_t FakeOutbox::gaps() const {
  std::size_t count = 0;
  for (const auto& [stream, gaps] : now_.gaps) count += gaps.size();
  return count;
}

void FakeOutbox::crash() {
  if (dice_.hit(faults_.crash)) throw Crash{};
}

result<std::vector<store::StreamInfo>> FakeOutbox::streams() {
  crash();
  std::vector<store::StreamInfo> list;
  for (const auto& [id, info] : now_.streams) list.push_back(info);
  return list;
}

result<std::vector<store::Pack>> FakeOutbox::read(StreamId id, Sequence after, std::size_t) {
  crash();
  const auto& info = now_.streams.at(id);
  std::vector<store::Pack> packs;
  if (after >= info.last) return packs;
  RV_CHECK(after >= info.acknowledged, "nothing that was trimmed is asked for");
  store::Pack pack;
  pack.stream = id;
  pack.first = after + 1;
  const auto gaps = now_.gaps.find(id);
  const auto is_gap = [&](Sequence s) { return gaps != now_.gaps.end() && gaps->second.contains(s); };
  pack.last = pack.first;
  if (is_gap(pack.first)) {
    pack.gap = true;
    pack.gap_reason = gaps->second.at(pack.first);
    while (pack.last < info.last && is_gap(pack.last + 1) && gaps->second.at(pack.last + 1) == pack.gap_reason) ++pack.last;
  } else {
    const auto until = std::min(info.last, after + static_cast<Sequence>(dice_.between(1, 40)));
    while (pack.last < until && !is_gap(pack.last + 1)) ++pack.last;
    std::string body;
    const auto known = times.find(id);
    const auto time_of = [&](Sequence s) {
      const auto found = known == times.end() ? std::map<Sequence, Timestamp>::const_iterator() : known->second.find(s);
      return known == times.end() || found == known->second.end() ? static_cast<Timestamp>(1 + s) : found->second;
    };
    for (auto s = pack.first; s <= pack.last; ++s) store::append_to_body(body, key(id, s), value(id, s), time_of(s), s == pack.first ? 0 : time_of(s - 1));
    store::PackCodec codec;
    auto decoded = codec.decode(codec.encode(body, pack.last - pack.first + 1, store::Compression::none));
    RV_CHECK(decoded.has_value(), "what was encoded is decoded");
    static_cast<store::PackRecords&>(pack) = std::move(*decoded);
  }
  packs.push_back(std::move(pack));
  return packs;
}

bool FakeOutbox::fails() {
  if (failing_calls == 0) return false;
  --failing_calls;
  return true;
}

result<std::optional<std::string>> FakeOutbox::fact(const std::string& name) {
  if (fails()) return Error{ErrorCode::full, "no room"};
  const auto found = now_.facts.find(name);
  if (found == now_.facts.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

void FakeOutbox::apply(State& state, const store::ForwardChange& change) {
  for (const auto& [name, value] : change.facts) {
    if (value) state.facts[name] = *value;
    else state.facts.erase(name);
  }
  for (const auto& done : change.acknowledged) {
    auto& info = state.streams.at(done.stream);
    RV_CHECK(done.last <= info.last, "nothing that does not exist is acknowledged");
    info.acknowledged = std::max(info.acknowledged, done.last);
  }
  for (const auto& gap : change.gaps) {
    for (auto s = gap.first; s <= gap.last; ++s) state.gaps[gap.stream][s] = gap.reason;
  }
}

result<void> FakeOutbox::change(store::ForwardChange change) {
  if (fails()) return Error{ErrorCode::full, "no room"};
  crash();
  apply(now_, change);
  if (change.durable) {
    durable_ = now_;
    not_durable_.clear();
  } else {
    not_durable_.push_back(std::move(change));
  }
  crash();
  return {};
}

}  // namespace rivulet::sim
