#include "store/quarantine.h"

#include <algorithm>

namespace rivulet::store {

result<void> Quarantine::prepare() {
  auto insert = connection_.prepare("INSERT INTO quarantine(at_ms, source, pipeline, step, reason, key, value, timestamp_ms, topic) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
  if (!insert) return insert.error();
  insert_ = std::move(*insert);
  auto oldest = connection_.prepare("SELECT id, ifnull(length(value), 0) + ifnull(length(key), 0) FROM quarantine ORDER BY id LIMIT 1");
  if (!oldest) return oldest.error();
  oldest_ = std::move(*oldest);
  auto remove = connection_.prepare("DELETE FROM quarantine WHERE id = ?1");
  if (!remove) return remove.error();
  remove_ = std::move(*remove);
  return load();
}

result<void> Quarantine::load() {
  auto records = connection_.integer("SELECT count(*) FROM quarantine");
  if (!records) return records.error();
  auto bytes = connection_.integer("SELECT ifnull(sum(ifnull(length(value), 0) + ifnull(length(key), 0)), 0) FROM quarantine");
  if (!bytes) return bytes.error();
  records_ = static_cast<std::uint64_t>(*records);
  bytes_ = static_cast<std::uint64_t>(*bytes);
  dropped_ = kept_dropped_;
  return {};
}

result<void> Quarantine::add(const QuarantineEntry& entry, Timestamp now_ms) {
  insert_.bind(1, now_ms).bind(2, std::string_view(entry.source)).bind(3, std::string_view(entry.pipeline)).bind(4, std::string_view(entry.step)).bind(5, std::string_view(entry.reason));
  insert_.bind_optional_blob(6, entry.key).bind_optional_blob(7, entry.value).bind(8, entry.timestamp_ms).bind(9, std::string_view(entry.topic));
  if (auto done = insert_.run(); !done) return done;
  ++records_;
  bytes_ += (entry.key ? entry.key->size() : 0) + (entry.value ? entry.value->size() : 0);
  while (records_ > 1 && (records_ > max_records_ || bytes_ > max_bytes_)) {
    auto row = oldest_.step();
    if (!row) return row.error();
    const std::int64_t id = oldest_.integer(0);
    const auto size = static_cast<std::uint64_t>(oldest_.integer(1));
    oldest_.reset();
    if (auto done = remove_.bind(1, id).run(); !done) return done;
    --records_;
    bytes_ -= std::min(bytes_, size);
    ++dropped_;
  }
  return {};
}

result<std::uint64_t> Quarantine::drop(std::int64_t first_id, std::int64_t last_id) {
  auto remove = connection_.prepare("DELETE FROM quarantine WHERE id BETWEEN ?1 AND ?2");
  if (!remove) return remove.error();
  const std::uint64_t before = records_;
  if (auto done = remove->bind(1, first_id).bind(2, last_id).run(); !done) return done.error();
  if (auto loaded = load(); !loaded) return loaded.error();
  return before - records_;
}

result<std::vector<Store::Quarantined>> list_quarantine(Connection& connection, std::int64_t after_id, std::size_t limit) {
  auto select = connection.prepare("SELECT id, at_ms, source, pipeline, step, reason, key, value, timestamp_ms, topic FROM quarantine WHERE id > ?1 ORDER BY id LIMIT ?2");
  if (!select) return select.error();
  select->bind(1, after_id).bind(2, static_cast<std::int64_t>(std::min<std::size_t>(limit, 1'000'000)));
  std::vector<Store::Quarantined> found;
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) return found;
    Store::Quarantined one;
    one.id = select->integer(0);
    one.at_ms = select->integer(1);
    one.source = select->bytes(2);
    one.pipeline = select->bytes(3);
    one.step = select->bytes(4);
    one.reason = select->bytes(5);
    one.key = select->optional_bytes(6);
    one.value = select->optional_bytes(7);
    one.timestamp_ms = select->integer(8);
    one.topic = select->bytes(9);
    found.push_back(std::move(one));
  }
}

}  // namespace rivulet::store
