#include "agent/forward/units.h"

#include <algorithm>

#include "agent/base/check.h"

namespace rivulet::forward {

bool Unit::has(StreamId stream) const { return stream == changelog || std::find(members.begin(), members.end(), stream) != members.end(); }

UnitTurn::UnitTurn(const Unit& unit, const std::vector<store::StreamInfo>& streams) : unit_(unit) {
  for (const auto& stream : streams) {
    if (unit.has(stream.id)) places_[stream.id] = {stream.acknowledged, stream.last};
  }
  places_.try_emplace(unit.changelog);
}

bool UnitTurn::pending(StreamId stream) const {
  const auto found = places_.find(stream);
  return found != places_.end() && found->second.after < found->second.last;
}

result<void> UnitTurn::take_header(const store::PackRecord& record) {
  const auto wrong = [&](const std::string& what) {
    return Error{ErrorCode::corrupt, "record " + std::to_string(changelog_after() + 1) + " of it should begin an epoch, and " + what};
  };
  const auto key = record.key ? store::decode_changelog_key(*record.key) : std::nullopt;
  const auto value = record.value ? store::decode_changelog_value(*record.value) : std::nullopt;
  if (!key || key->kind != store::ChangelogKind::header || !value) return wrong("is something else");
  auto header = store::decode_header(value->body);
  if (!header) return wrong("cannot be read");
  const Place& changelog = at(unit_.changelog);
  if (header->last != changelog.after + header->records || header->last > changelog.last) return wrong("counts other records than there are");
  std::uint64_t records = header->records;
  for (const auto& stream : header->streams) {
    const auto place = places_.find(stream.id);
    const bool known = place != places_.end();
    if (stream.records == 0 && (!known || place->second.last >= stream.last)) continue;
    if (!known || stream.last > place->second.last) return wrong("names records of stream " + stream.name + " that the outbox does not have");
    records += stream.records;
  }
  header_ = std::move(*header);
  records_ = records;
  started_ = false;
  return {};
}

Sequence UnitTurn::limit(StreamId member) const {
  const Place& place = at(member);
  if (!pending(unit_.changelog)) return place.last;
  if (header_ && !started_) {
    for (const auto& stream : header_->streams)
      if (stream.id == member) return std::min(stream.before(), place.last);
  }
  return place.after;  // an epoch that comes later names it
}

std::optional<UnitTurn::Range> UnitTurn::alone() const {
  if (wants_header()) return std::nullopt;
  for (const auto& [id, place] : places_) {
    if (id == unit_.changelog) continue;
    if (const Sequence until = limit(id); place.after < until) return Range{id, place.after, until};
  }
  return std::nullopt;
}

std::vector<UnitTurn::Range> UnitTurn::epoch() const {
  std::vector<Range> ranges;
  if (!header_ || alone()) return ranges;
  const Place& changelog = at(unit_.changelog);
  if (changelog.after < header_->last) ranges.push_back({unit_.changelog, changelog.after, header_->last});
  for (const auto& stream : header_->streams) {
    const auto place = places_.find(stream.id);
    if (place != places_.end() && place->second.after < stream.last) ranges.push_back({stream.id, place->second.after, stream.last});
  }
  return ranges;
}

void UnitTurn::sent(StreamId stream, Sequence up_to) {
  Place& place = places_.at(stream);
  RV_CHECK(up_to >= place.after && up_to <= place.last, "what was sent was there to be sent");
  const bool of_epoch = header_ && (started_ || !alone());
  place.after = up_to;
  if (!of_epoch) return;
  started_ = true;
  if (!epoch().empty()) return;
  header_.reset();
  started_ = false;
}

bool UnitTurn::more() const {
  return std::any_of(places_.begin(), places_.end(), [](const auto& one) { return one.second.after < one.second.last; });
}

}  // namespace rivulet::forward
