#include "store/outbox.h"

#include <algorithm>

#include "agent/base/check.h"

namespace rivulet::store {
namespace {

std::int64_t number(std::uint64_t value) { return static_cast<std::int64_t>(value); }

}  // namespace

result<void> Outbox::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&insert_, "INSERT INTO packs VALUES(?1, ?2, ?3, ?4, ?5)"},
      {&remove_, "DELETE FROM packs WHERE id = ?1"},
      {&read_, "SELECT id, last, gap, at_ms, bytes FROM packs WHERE id >= ifnull((SELECT max(id) FROM packs WHERE id BETWEEN ?1 AND ?2), ?2) "
               "AND id <= ?3 ORDER BY id"},
      {&update_, "UPDATE streams SET last = ?2, acknowledged = ?3, bytes = ?4 WHERE id = ?1"},
      {&trimmable_, "SELECT count(*), max(id), sum(size) FROM (SELECT id, length(bytes) AS size FROM packs "
                    "WHERE id BETWEEN ?1 AND ?2 AND last <= ?3 ORDER BY id LIMIT ?4)"},
      {&trim_, "DELETE FROM packs WHERE id BETWEEN ?1 AND ?2"},
      {&raise_writer_, "UPDATE meta SET value = CAST('2' AS BLOB) WHERE name = 'oldest_writer' AND CAST(CAST(value AS TEXT) AS INTEGER) < 2"},
      {&oldest_, "SELECT last FROM packs WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1"},
      {&head_, "SELECT id, at_ms FROM packs WHERE id BETWEEN ?1 AND ?2 AND gap = 0 ORDER BY id LIMIT 1"},
      {&gaps_, "SELECT id, last FROM packs WHERE gap = 1 AND id BETWEEN ?1 AND ?2 AND last > ?3"}};
  for (const auto& [statement, sql] : statements) {
    auto prepared = connection_.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return load();
}

result<void> Outbox::load() {
  streams_.clear();
  trim_due_.clear();
  damaged_.reset();
  auto statement = connection_.prepare("SELECT id, name, topic, last, acknowledged, bytes FROM streams");
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
    info.bytes = static_cast<std::uint64_t>(statement->integer(5));
    streams_[info.id] = std::move(info);
  }
  for (const auto& [id, info] : streams_) {
    oldest_.bind(1, row_id(id, 0)).bind(2, row_id(id, kMaxSequence));
    auto row = oldest_.step();
    if (!row) return row.error();
    if (*row && static_cast<Sequence>(oldest_.integer(0)) <= info.acknowledged) trim_due_.insert(id);
    oldest_.reset();
  }
  auto gaps = connection_.prepare("SELECT id, last FROM packs WHERE gap = 1");
  if (!gaps) return gaps.error();
  for (;;) {
    auto row = gaps->step();
    if (!row) return row.error();
    if (!*row) return {};
    const std::int64_t id = gaps->integer(0);
    const auto info = streams_.find(stream_of(id));
    if (info != streams_.end()) info->second.gap_records += count_above(info->second.acknowledged, first_of(id), static_cast<Sequence>(gaps->integer(1)));
  }
}

result<StreamInfo> Outbox::stream(const std::string& name, const std::string& topic) {
  for (const auto& [id, info] : streams_)
    if (info.name == name && info.topic == topic) return info;
  const StreamId id = streams_.empty() ? 1 : streams_.rbegin()->first + 1;  // rows of streams are never removed
  RV_CHECK(id <= kMaxStreams, "a stream's id fits into a row id");
  auto statement = connection_.prepare("INSERT INTO streams VALUES(?1, ?2, ?3, 0, 0, 0)");
  if (!statement) return statement.error();
  if (auto done = statement->bind(1, std::int64_t{id}).bind(2, std::string_view(name)).bind(3, std::string_view(topic)).run(); !done) return done.error();
  StreamInfo info;
  info.id = id;
  info.name = name;
  info.topic = topic;
  streams_[id] = info;
  return info;
}

std::vector<StreamInfo> Outbox::streams() const {
  std::vector<StreamInfo> all;
  for (const auto& [id, info] : streams_) all.push_back(info);
  return all;
}

void Outbox::streams(std::vector<StreamInfo>& copy) const {
  std::size_t at = 0;
  for (const auto& [id, info] : streams_) {
    if (at < copy.size() && copy[at].id == id) {
      copy[at].last = info.last;
      copy[at].acknowledged = info.acknowledged;
      copy[at].bytes = info.bytes;
      copy[at].gap_records = info.gap_records;
    } else {
      copy.resize(at);
      copy.push_back(info);
    }
    ++at;
  }
  copy.resize(at);
}

const StreamInfo* Outbox::find(StreamId stream) const {
  const auto it = streams_.find(stream);
  return it == streams_.end() ? nullptr : &it->second;
}

std::uint64_t Outbox::records() const {
  std::uint64_t count = 0;
  for (const auto& [id, info] : streams_) count += info.waiting();
  return count;
}

std::uint64_t Outbox::local_records() const {
  std::uint64_t count = 0;
  for (const auto& [id, info] : streams_)
    if (is_local(info.topic)) count += info.waiting();
  return count;
}

std::uint64_t Outbox::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [id, info] : streams_) sum += info.bytes;
  return sum;
}

result<void> Outbox::update(const StreamInfo& info) {
  return update_.bind(1, std::int64_t{info.id}).bind(2, number(info.last)).bind(3, number(info.acknowledged)).bind(4, number(info.bytes)).run();
}

result<void> Outbox::put(StreamInfo& info, const Row& row) {
  info.bytes += row.bytes.size();
  if (row.gap) info.gap_records += count_above(info.acknowledged, row.first, row.last);
  return insert_.bind(1, row_id(info.id, row.first)).bind(2, number(row.last)).bind(3, std::int64_t{row.gap}).bind(4, row.at_ms).bind_blob(5, row.bytes).run();
}

result<void> Outbox::remove(StreamInfo& info, const Row& row) {
  info.bytes -= std::min<std::uint64_t>(info.bytes, row.bytes.size());
  if (row.gap) info.gap_records -= count_above(info.acknowledged, row.first, row.last);
  return remove_.bind(1, row_id(info.id, row.first)).run();
}

// Sequence numbers [first, last] of `whole`, whose decoded content is `records`, as a row of their own.
result<void> Outbox::put_part(StreamInfo& info, const Row& whole, const std::vector<PackRecord>& records, Sequence first, Sequence last) {
  if (first > last) return {};
  Row part{first, last, whole.gap, whole.at_ms, {}};
  if (whole.gap) {
    part.bytes = whole.bytes;
    return put(info, part);
  }
  std::string body;
  const bool windows = std::any_of(records.begin(), records.end(), [](const PackRecord& record) { return record.window.has_value(); });
  Timestamp previous_ms = 0;
  for (Sequence at = first; at <= last; ++at) {
    const PackRecord& record = records[at - whole.first];
    append_to_body(body, record.key, record.value, record.timestamp_ms, previous_ms);
    if (windows) append_window_to_body(body, record.window);
    previous_ms = record.timestamp_ms;
  }
  part.bytes = codec_.encode(body, last - first + 1, compression_, windows);
  return put(info, part);
}

result<void> Outbox::append(const StreamRecords& records, Timestamp now_ms) {
  const auto it = streams_.find(records.stream);
  RV_CHECK(it != streams_.end(), "an epoch's stream was made before");
  StreamInfo& info = it->second;
  RV_CHECK(records.first == info.last + 1, "an epoch goes on where the stream ends");
  const Sequence last = records.first + records.count - 1;
  RV_CHECK(last <= kMaxSequence, "sequence numbers fit into a row id");
  info.last = last;
  if (auto done = put(info, {records.first, last, false, now_ms, codec_.encode(records.bytes, records.count, compression_, records.windows)}); !done) return done;
  if (records.windows)  // a program that cannot read them would take them for damage
    if (auto done = raise_writer_.run(); !done) return done;
  return update(info);
}

result<std::vector<Pack>> Outbox::read(StreamId stream, Sequence after, std::size_t max_bytes) {
  std::vector<Pack> packs;
  std::size_t size = 0;
  damaged_.reset();
  const Sequence from = std::min(after, kMaxSequence - 1) + 1;
  read_.bind(1, row_id(stream, 0)).bind(2, row_id(stream, from)).bind(3, row_id(stream, kMaxSequence));
  while (size < max_bytes || packs.empty()) {
    auto row = read_.step();
    if (!row) return row.error();
    if (!*row) break;
    Pack pack;
    pack.stream = stream;
    pack.first = first_of(read_.integer(0));
    pack.last = static_cast<Sequence>(read_.integer(1));
    pack.gap = read_.integer(2) != 0;
    if (pack.last < from) continue;
    const std::uint64_t skip = from > pack.first ? from - pack.first : 0;
    if (pack.gap) {
      pack.gap_reason = read_.bytes(4);
      size += pack.gap_reason.size();
    } else {
      auto found = codec_.decode(read_.bytes(4), skip);
      if (found && found->records.size() != pack.last - pack.first + 1 - skip) found = Error{ErrorCode::corrupt, "outbox: a pack holds another number of records than its row says"};
      if (!found) {
        if (found.error().code != ErrorCode::corrupt) return read_.reset(), found.error();
        if (packs.empty()) damaged_ = ForwardChange::Gap{stream, pack.first, pack.last, found.error().message, true};
        break;
      }
      static_cast<PackRecords&>(pack) = std::move(*found);
      size += pack.body->size() + pack.records.size() * sizeof(PackRecord);
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
  StreamInfo& info = it->second;
  if (last <= info.acknowledged) return {};
  if (info.gap_records > 0) {
    gaps_.bind(1, row_id(stream, 0)).bind(2, row_id(stream, last)).bind(3, number(info.acknowledged));
    for (;;) {
      auto row = gaps_.step();
      if (!row) return row.error();
      if (!*row) break;
      info.gap_records -= count_above(info.acknowledged, first_of(gaps_.integer(0)), std::min(last, static_cast<Sequence>(gaps_.integer(1))));
    }
    gaps_.reset();
  }
  info.acknowledged = last;
  trim_due_.insert(stream);
  return update(info);
}

result<std::uint64_t> Outbox::trim(std::uint64_t max_packs) {
  std::uint64_t removed = 0;
  while (!trim_due_.empty() && removed < max_packs) {
    StreamInfo& info = streams_[*trim_due_.begin()];
    const std::uint64_t wanted = max_packs - removed;
    trimmable_.bind(1, row_id(info.id, 0)).bind(2, row_id(info.id, info.acknowledged)).bind(3, number(info.acknowledged)).bind(4, number(wanted));
    auto row = trimmable_.step();
    if (!row) return row.error();
    const auto count = static_cast<std::uint64_t>(trimmable_.integer(0));
    const std::int64_t last_id = trimmable_.integer(1);
    const auto freed = static_cast<std::uint64_t>(trimmable_.integer(2));
    trimmable_.reset();
    if (count > 0) {
      if (auto done = trim_.bind(1, row_id(info.id, 0)).bind(2, last_id).run(); !done) return done.error();
      info.bytes -= std::min(info.bytes, freed);
      if (auto done = update(info); !done) return done.error();
      removed += count;
    }
    if (count < wanted) trim_due_.erase(info.id);
  }
  return removed;
}

result<std::optional<Outbox::Row>> Outbox::row_at(StreamId stream, Sequence at) {
  read_.bind(1, row_id(stream, 0)).bind(2, row_id(stream, at)).bind(3, row_id(stream, kMaxSequence));
  std::optional<Row> found;
  for (;;) {
    auto more = read_.step();
    if (!more) return more.error();
    if (!*more) break;
    if (static_cast<Sequence>(read_.integer(1)) < at) continue;
    found = Row{first_of(read_.integer(0)), static_cast<Sequence>(read_.integer(1)), read_.integer(2) != 0, read_.integer(3), std::string(read_.bytes(4))};
    break;
  }
  read_.reset();
  return found;
}

}  // namespace rivulet::store
