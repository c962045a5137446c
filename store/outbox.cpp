#include "store/outbox.h"

#include <algorithm>

#include "agent/base/check.h"

namespace rivulet::store {
namespace {
constexpr std::string_view kLimitReason = "storage limit reached; oldest records dropped (storage.when_full: drop-oldest)";
std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }
}  // namespace

result<void> Outbox::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&insert_, "INSERT INTO packs VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET last = excluded.last, gap = excluded.gap, bytes = excluded.bytes"},
      {&remove_, "DELETE FROM packs WHERE stream = ?1 AND first = ?2"},
      {&read_, "SELECT first, last, gap, at_ms, bytes FROM packs WHERE stream = ?1 AND first >= ifnull((SELECT max(first) FROM packs WHERE stream = ?1 AND first <= ?2), 0) ORDER BY first"},
      {&update_, "UPDATE streams SET last = ?2, acknowledged = ?3 WHERE id = ?1"},
      {&size_before_, "SELECT ifnull(sum(length(bytes)), 0) FROM packs WHERE stream = ?1 AND last <= ?2"},
      {&delete_before_, "DELETE FROM packs WHERE stream = ?1 AND first <= ?2 AND last <= ?2"},
      {&head_, "SELECT first, last, at_ms, length(bytes) FROM packs WHERE stream = ?1 AND first > ?2 AND gap = 0 ORDER BY first LIMIT 1"}};
  for (const auto& [statement, sql] : statements) {
    auto prepared = connection_.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return load();
}

result<void> Outbox::load() {
  streams_.clear();
  auto statement = connection_.prepare("SELECT id, name, topic, last, acknowledged FROM streams");
  if (!statement) return statement.error();
  for (;;) {
    auto row = statement->step();
    if (!row) return row.error();
    if (!*row) break;
    StreamInfo info;
    info.id = static_cast<StreamId>(statement->integer(0));
    info.name = statement->bytes(1);
    info.topic = statement->bytes(2);
    info.last = static_cast<Sequence>(statement->integer(3));
    info.acknowledged = static_cast<Sequence>(statement->integer(4));
    streams_[info.id] = info;
  }
  auto bytes = connection_.integer("SELECT ifnull(sum(length(bytes)), 0) FROM packs");
  if (!bytes) return bytes.error();
  bytes_ = static_cast<std::uint64_t>(*bytes);
  return {};
}

result<StreamInfo> Outbox::stream(const std::string& name, const std::string& topic) {
  for (const auto& [id, info] : streams_)
    if (info.name == name && info.topic == topic) return info;
  auto statement = connection_.prepare("INSERT INTO streams(name, topic, last, acknowledged) VALUES(?1, ?2, 0, 0) RETURNING id");
  if (!statement) return statement.error();
  statement->bind(1, std::string_view(name)).bind(2, std::string_view(topic));
  auto row = statement->step();
  if (!row) return row.error();
  StreamInfo info;
  info.id = static_cast<StreamId>(statement->integer(0));
  info.name = name;
  info.topic = topic;
  streams_[info.id] = info;
  return info;
}

std::vector<StreamInfo> Outbox::streams() const {
  std::vector<StreamInfo> all;
  for (const auto& [id, info] : streams_) all.push_back(info);
  return all;
}

std::uint64_t Outbox::records() const {
  std::uint64_t count = 0;
  for (const auto& [id, info] : streams_) count += info.last - info.acknowledged;
  return count;
}

result<void> Outbox::put(StreamId stream, Sequence first, Sequence last, bool gap, Timestamp at_ms, std::string_view bytes) {
  bytes_ += bytes.size();
  return insert_.bind(1, std::int64_t{stream}).bind(2, number(first)).bind(3, number(last)).bind(4, std::int64_t{gap}).bind(5, at_ms).bind_blob(6, bytes).run();
}

result<void> Outbox::put_data(StreamId stream, Sequence first, const std::vector<PackRecord>& records, std::size_t from, std::size_t to, Timestamp at_ms) {
  if (from >= to) return {};
  std::string body;
  Timestamp previous = 0;
  for (std::size_t i = from; i < to; ++i) {
    append_to_body(body, records[i].key, records[i].value, records[i].timestamp_ms, previous);
    previous = records[i].timestamp_ms;
  }
  return put(stream, first + from, first + to - 1, false, at_ms, codec_.encode(body, to - from, compression_));
}

result<void> Outbox::update_stream(const StreamInfo& info) {
  return update_.bind(1, std::int64_t{info.id}).bind(2, number(info.last)).bind(3, number(info.acknowledged)).run();
}

result<void> Outbox::append(const StreamRecords& records, Timestamp now_ms) {
  const auto it = streams_.find(records.stream);
  RV_CHECK(it != streams_.end(), "an epoch's stream was made before");
  RV_CHECK(records.first == it->second.last + 1, "an epoch goes on where the stream ends");
  StreamInfo info = it->second;
  info.last = records.first + records.count - 1;
  if (auto done = put(records.stream, records.first, info.last, false, now_ms, codec_.encode(records.bytes, records.count, compression_)); !done) return done;
  if (auto done = update_stream(info); !done) return done;
  it->second = info;
  return {};
}

result<std::vector<Pack>> Outbox::read(StreamId stream, Sequence after, std::size_t max_bytes) {
  std::vector<Pack> packs;
  std::size_t size = 0;
  read_.bind(1, std::int64_t{stream}).bind(2, number(after + 1));
  while (size < max_bytes) {
    auto row = read_.step();
    if (!row) return row.error();
    if (!*row) break;
    Pack pack;
    pack.stream = stream;
    pack.first = static_cast<Sequence>(read_.integer(0));
    pack.last = static_cast<Sequence>(read_.integer(1));
    pack.gap = read_.integer(2) != 0;
    if (pack.last <= after) continue;
    const std::uint64_t skip = after + 1 > pack.first ? after + 1 - pack.first : 0;
    const std::string_view bytes = read_.bytes(4);
    if (pack.gap) {
      pack.gap_reason = bytes;
      size += 1;
    } else {
      auto records = codec_.decode(bytes, skip);
      if (!records) {
        read_.reset();
        return records.error();
      }
      pack.records = std::move(*records);
      for (const PackRecord& record : pack.records) size += sizeof(PackRecord) + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
    }
    pack.first += skip;
    packs.push_back(std::move(pack));
  }
  read_.reset();
  return packs;
}

result<void> Outbox::acknowledge(StreamId stream, Sequence last) {
  const auto it = streams_.find(stream);
  RV_CHECK(it != streams_.end() && last <= it->second.last, "only records that were given out are acknowledged");
  if (last <= it->second.acknowledged) return {};
  size_before_.bind(1, std::int64_t{stream}).bind(2, number(last));
  auto row = size_before_.step();
  if (!row) return row.error();
  const auto freed = static_cast<std::uint64_t>(size_before_.integer(0));
  size_before_.reset();
  if (auto done = delete_before_.bind(1, std::int64_t{stream}).bind(2, number(last)).run(); !done) return done;
  StreamInfo info = it->second;
  info.acknowledged = last;
  if (auto done = update_stream(info); !done) return done;
  it->second = info;
  bytes_ -= std::min(bytes_, freed);
  return {};
}

result<std::vector<PackRecord>> Outbox::make_gap(StreamId stream, Sequence first, Sequence last, const std::string& reason, Timestamp now_ms) {
  RV_CHECK(first >= 1 && first <= last, "a gap has a first and a last record");
  std::vector<PackRecord> taken;
  bool gap_written = false;
  for (Sequence cursor = first; cursor <= last;) {
    read_.bind(1, std::int64_t{stream}).bind(2, number(cursor));
    auto row = read_.step();
    if (!row) return row.error();
    if (!*row) break;
    const auto pack_first = static_cast<Sequence>(read_.integer(0));
    const auto pack_last = static_cast<Sequence>(read_.integer(1));
    const bool is_gap = read_.integer(2) != 0;
    const std::int64_t at_ms = read_.integer(3);
    const std::size_t old_size = read_.bytes(4).size();
    auto records = is_gap ? result<std::vector<PackRecord>>(std::vector<PackRecord>()) : codec_.decode(read_.bytes(4));
    read_.reset();
    if (pack_first > last) break;
    const Sequence next = pack_last + 1;
    if (is_gap || pack_last < cursor) {  // already a gap, or a hole that acknowledge() made: nothing to take
      if (next <= cursor) break;
      cursor = next;
      continue;
    }
    if (!records) return records.error();
    if (auto done = remove_.bind(1, std::int64_t{stream}).bind(2, number(pack_first)).run(); !done) return done.error();
    bytes_ -= std::min<std::uint64_t>(bytes_, old_size);
    const std::size_t from = first > pack_first ? first - pack_first : 0;
    const std::size_t to = std::min<Sequence>(last, pack_last) - pack_first + 1;
    if (auto done = put_data(stream, pack_first, *records, 0, from, at_ms); !done) return done.error();
    if (!gap_written) {
      if (auto done = put(stream, pack_first + from, last, true, now_ms, reason); !done) return done.error();
      gap_written = true;
    }
    if (auto done = put_data(stream, pack_first, *records, to, records->size(), at_ms); !done) return done.error();
    for (std::size_t i = from; i < to; ++i) taken.push_back(std::move((*records)[i]));
    cursor = next;
  }
  return taken;
}

result<std::uint64_t> Outbox::drop_oldest(const std::map<StreamId, Sequence>& keep_up_to) {
  StreamId oldest = 0;
  Sequence first = 0, last = 0;
  std::int64_t at_ms = 0, size = 0;
  for (const auto& [id, info] : streams_) {
    const auto keep = keep_up_to.find(id);
    const Sequence after = std::max(info.acknowledged, keep == keep_up_to.end() ? 0 : keep->second);
    head_.bind(1, std::int64_t{id}).bind(2, number(after));
    auto row = head_.step();
    if (!row) return row.error();
    if (*row && (oldest == 0 || head_.integer(2) < at_ms)) {
      oldest = id;
      first = static_cast<Sequence>(head_.integer(0));
      last = static_cast<Sequence>(head_.integer(1));
      at_ms = head_.integer(2);
      size = head_.integer(3);
    }
    head_.reset();
  }
  if (oldest == 0) return 0;
  // Neighbouring gaps are joined, or a long outage would leave a row for each pack that was dropped.
  auto before = connection_.prepare("SELECT first FROM packs WHERE stream = ?1 AND gap = 1 AND last = ?2 AND bytes = ?3");
  if (!before) return before.error();
  before->bind(1, std::int64_t{oldest}).bind(2, number(first - 1)).bind_blob(3, kLimitReason);
  auto row = before->step();
  if (!row) return row.error();
  const Sequence gap_first = *row ? static_cast<Sequence>(before->integer(0)) : first;
  before->reset();
  if (const auto keep = keep_up_to.find(oldest); gap_first == first || (keep != keep_up_to.end() && gap_first <= keep->second)) {
    if (auto done = put(oldest, first, last, true, at_ms, kLimitReason); !done) return done.error();
    bytes_ -= std::min<std::uint64_t>(bytes_, static_cast<std::uint64_t>(size));
    return last - first + 1;
  }
  if (auto done = remove_.bind(1, std::int64_t{oldest}).bind(2, number(first)).run(); !done) return done.error();
  if (auto done = put(oldest, gap_first, last, true, at_ms, kLimitReason); !done) return done.error();
  bytes_ -= std::min<std::uint64_t>(bytes_, static_cast<std::uint64_t>(size) + kLimitReason.size());
  return last - first + 1;
}

}  // namespace rivulet::store
