// Outbox, the part that puts gaps in the place of records.
#include <algorithm>

#include "agent/base/check.h"
#include "store/changelog.h"
#include "store/outbox.h"

namespace rivulet::store {
namespace {

constexpr std::string_view kLimitReason = "storage limit reached; oldest records dropped (storage.when_full: drop-oldest)";

}  // namespace

result<void> Outbox::make_gap(const ForwardChange::Gap& gap, Timestamp now_ms, const Taken& taken) {
  const auto it = streams_.find(gap.stream);
  RV_CHECK(it != streams_.end() && gap.first >= 1 && gap.last <= it->second.last, "a gap lies within its stream");
  StreamInfo& info = it->second;
  const Sequence first = std::max(gap.first, info.acknowledged + 1);
  if (first > gap.last) return {};
  for (Sequence at = first; at <= gap.last;) {
    auto found = row_at(gap.stream, at);
    if (!found) return found.error();
    if (!*found || (*found)->first > gap.last) break;
    Row row = std::move(**found);
    if (auto done = remove(info, row); !done) return done;
    const Sequence from = std::max(first, row.first), to = std::min(gap.last, row.last);
    PackRecords whole;
    if (!row.gap) {
      auto decoded = codec_.decode(row.bytes);
      if (decoded && decoded->records.size() == row.last - row.first + 1) {
        whole = std::move(*decoded);
        for (Sequence n = from; n <= to; ++n)
          if (auto done = taken(whole.records[n - row.first], true); !done) return done;
      } else {
        if (auto done = taken({std::nullopt, row.bytes, row.at_ms}, false); !done) return done;
        row.gap = true;
        row.bytes = "damaged on the disk";
      }
    }
    if (auto done = put_part(info, row, whole.records, row.first, from - 1); !done) return done;
    if (auto done = put_part(info, row, whole.records, to + 1, row.last); !done) return done;
    at = row.last + 1;
  }
  if (auto done = put(info, {first, gap.last, true, now_ms, gap.reason}); !done) return done;
  return update(info);
}

result<std::uint64_t> Outbox::drop_oldest(const std::map<StreamId, Sequence>& keep_up_to) {
  const auto kept = [&](StreamId id) {
    const auto keep = keep_up_to.find(id);
    return keep == keep_up_to.end() ? Sequence{0} : std::min(keep->second, kMaxSequence);
  };
  std::optional<std::int64_t> oldest_ms;
  StreamId oldest = 0;
  Sequence at = 0;
  for (const auto& [id, info] : streams_) {
    const Sequence after = std::max(info.acknowledged, kept(id));
    if (after >= info.last || is_changelog(info.name)) continue;
    head_.bind(1, row_id(id, after + 1)).bind(2, row_id(id, kMaxSequence));
    auto row = head_.step();
    if (!row) return row.error();
    if (*row && (!oldest_ms || head_.integer(1) < *oldest_ms)) {
      oldest = id;
      oldest_ms = head_.integer(1);
      at = first_of(head_.integer(0));
    }
    head_.reset();
  }
  if (!oldest_ms) return 0;

  StreamInfo& info = streams_[oldest];
  auto found = row_at(oldest, at);
  if (!found) return found.error();
  RV_CHECK(*found && (*found)->first == at, "the pack that was found is still there");
  const Row pack = std::move(**found);
  if (auto done = remove(info, pack); !done) return done.error();
  Row gap{pack.first, pack.last, true, pack.at_ms, std::string(kLimitReason)};
  // Neighbouring gaps are joined, or a long outage would leave a row for each pack that was dropped.
  if (pack.first > 1) {
    auto before = row_at(oldest, pack.first - 1);
    if (!before) return before.error();
    if (*before && (*before)->gap && (*before)->last == pack.first - 1 && (*before)->bytes == kLimitReason && (*before)->first > kept(oldest)) {
      gap.first = (*before)->first;
      if (auto done = remove(info, **before); !done) return done.error();
    }
  }
  if (auto done = put(info, gap); !done) return done.error();
  if (auto done = update(info); !done) return done.error();
  return pack.last - pack.first + 1;
}

}  // namespace rivulet::store
