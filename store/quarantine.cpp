#include "store/quarantine.h"

#include <algorithm>

namespace rivulet::store {

result<void> Quarantine::prepare() {
  auto insert = connection_.prepare("INSERT INTO quarantine(at_ms, source, pipeline, step, reason, key, value, timestamp_ms, topic, place, window_start, window_end, first_line) "
                                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)");
  if (!insert) return insert.error();
  insert_ = std::move(*insert);
  auto oldest = connection_.prepare("SELECT id FROM quarantine ORDER BY id LIMIT 1");
  if (!oldest) return oldest.error();
  oldest_ = std::move(*oldest);
  auto remove = connection_.prepare("DELETE FROM quarantine WHERE id = ?1 RETURNING ifnull(length(value), 0) + ifnull(length(key), 0) + ifnull(length(first_line), 0)");
  if (!remove) return remove.error();
  remove_ = std::move(*remove);
  return load();
}

result<void> Quarantine::load() {
  auto records = connection_.integer("SELECT count(*) FROM quarantine");
  if (!records) return records.error();
  auto bytes = connection_.integer("SELECT ifnull(sum(ifnull(length(value), 0) + ifnull(length(key), 0) + ifnull(length(first_line), 0)), 0) FROM quarantine");
  if (!bytes) return bytes.error();
  records_ = static_cast<std::uint64_t>(*records);
  bytes_ = static_cast<std::uint64_t>(*bytes);
  dropped_ = kept_dropped_;
  return {};
}

result<void> Quarantine::add(const QuarantineEntry& entry, Timestamp now_ms) {
  insert_.bind(1, now_ms).bind(2, std::string_view(entry.source)).bind(3, std::string_view(entry.pipeline)).bind(4, std::string_view(entry.step)).bind(5, std::string_view(entry.reason));
  insert_.bind_optional_blob(6, entry.key).bind_optional_blob(7, entry.value).bind(8, entry.timestamp_ms).bind(9, std::string_view(entry.topic));
  insert_.bind(10, std::string_view(entry.place)).bind_optional_blob(13, entry.first_line);
  if (entry.window) insert_.bind(11, entry.window->start_ms).bind(12, entry.window->end_ms);
  else insert_.bind_null(11).bind_null(12);
  if (auto done = insert_.run(); !done) return done;
  ++records_;
  bytes_ += entry.payload_bytes();
  while (bound_.exceeded(records_, bytes_)) {
    auto row = oldest_.step();
    if (!row) return row.error();
    const std::int64_t id = oldest_.integer(0);
    oldest_.reset();
    if (auto done = remove(id); !done) return done;
    ++dropped_;
  }
  return {};
}

result<void> Quarantine::remove(std::int64_t id) {
  auto row = remove_.bind(1, id).step();
  if (!row) return row.error();
  if (*row) {
    bytes_ -= std::min(bytes_, static_cast<std::uint64_t>(remove_.integer(0)));
    --records_;
  }
  remove_.reset();
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

result<bool> has_places(Connection& connection) {
  auto columns = connection.integer("SELECT count(*) FROM pragma_table_info('quarantine') WHERE name = 'place'");
  if (!columns) return columns.error();
  return *columns != 0;
}

result<std::vector<Store::Quarantined>> list_quarantine(Connection& connection, std::int64_t after_id, std::size_t limit) {
  const auto places = has_places(connection);
  if (!places) return places.error();
  const std::string columns = *places ? "place, window_start, window_end, first_line" : "NULL, NULL, NULL, NULL";
  const std::string sql = "SELECT id, at_ms, source, pipeline, step, reason, key, value, timestamp_ms, topic, " + columns + " FROM quarantine WHERE id > ?1 ORDER BY id LIMIT ?2";
  auto select = connection.prepare(sql.c_str());
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
    one.place = select->bytes(10);
    if (select->optional_bytes(11)) one.window = Window{select->integer(11), select->integer(12)};
    one.first_line = select->optional_bytes(13);
    found.push_back(std::move(one));
  }
}

}  // namespace rivulet::store
