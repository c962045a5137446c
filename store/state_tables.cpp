#include "store/state_tables.h"

#include <algorithm>

namespace rivulet::store {

result<void> StateTables::prepare() {
  const std::pair<Statement*, const char*> statements[] = {
      {&insert_log_, "INSERT INTO state_log VALUES(?1, ?2)"},
      {&trim_log_, "DELETE FROM state_log WHERE id <= ?1"},
      {&put_, "INSERT INTO state VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value"},
      {&erase_, "DELETE FROM state WHERE part = ?1 AND key = ?2"},
      {&read_log_, "SELECT id, bytes FROM state_log WHERE id > ?1 ORDER BY id LIMIT 1"}};
  for (const auto& [statement, sql] : statements) {
    auto prepared = connection_.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return {};
}

result<void> StateTables::write(const StateChanges& changes) {
  if (changes.empty()) return {};
  const std::string row = codec_.encode(changes.body, 0, compression_);
  if (auto done = insert_log_.bind(1, static_cast<std::int64_t>(changes.number)).bind_blob(2, row).run(); !done) return done;
  result<void> done;
  auto read = read_changes(changes.folded, [&](std::uint32_t table, std::string_view key, std::optional<std::string_view> value) {
    if (!done) return;
    Statement& statement = value ? put_ : erase_;
    statement.bind(1, std::int64_t{table}).bind_blob(2, key);
    if (value) statement.bind_blob(3, *value);
    done = statement.run();
  });
  if (!done) return done;
  if (!read) return read;
  if (changes.folded_up_to == 0) return {};
  return trim_log_.bind(1, static_cast<std::int64_t>(changes.folded_up_to)).run();
}

result<std::uint32_t> StateTables::step(const std::string& pipeline, const std::string& step, const std::string& definition) {
  auto find = connection_.prepare("SELECT id, definition FROM state_steps WHERE pipeline = ?1 AND step = ?2");
  if (!find) return find.error();
  find->bind(1, std::string_view(pipeline)).bind(2, std::string_view(step));
  auto row = find->step();
  if (!row) return row.error();
  if (*row) {
    if (find->bytes(1) != definition) return definition_changed(pipeline, step);
    return static_cast<std::uint32_t>(find->integer(0));
  }
  auto made = connection_.prepare("INSERT INTO state_steps(pipeline, step, definition) VALUES(?1, ?2, ?3) RETURNING id");
  if (!made) return made.error();
  made->bind(1, std::string_view(pipeline)).bind(2, std::string_view(step)).bind(3, std::string_view(definition));
  if (auto inserted = made->step(); !inserted) return inserted.error();
  const auto id = static_cast<std::uint32_t>(made->integer(0));
  made->reset();
  return id;
}

result<void> StateTables::log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit) {
  for (std::int64_t after = 0;;) {
    auto row = read_log_.bind(1, after).step();
    if (!row) return row.error();
    if (!*row) break;
    after = read_log_.integer(0);
    auto body = codec_.body(read_log_.bytes(1));
    read_log_.reset();
    if (!body) return Error{body.error().code, "state: row " + std::to_string(after) + " of the log: " + body.error().message};
    if (auto done = visit(static_cast<std::uint64_t>(after), *body); !done) return done;
  }
  read_log_.reset();
  return {};
}

result<bool> StateTables::forget(const std::string& pipeline, const std::string& step, bool whole, const Gone& gone) {
  auto steps = list_state(connection_);
  if (!steps) return steps.error();
  const auto found = std::find_if(steps->begin(), steps->end(), [&](const StateStep& one) { return one.pipeline == pipeline && one.step == step; });
  if (found == steps->end()) return false;
  const std::uint32_t first = found->id * kStateParts;
  auto rows = connection_.prepare("SELECT part, key FROM state WHERE part BETWEEN ?1 AND ?2");
  if (!rows) return rows.error();
  rows->bind(1, std::int64_t{first}).bind(2, std::int64_t{first + kStateParts - 1});
  std::vector<std::pair<std::uint32_t, std::string>> going;
  for (;;) {
    auto row = rows->step();
    if (!row) return row.error();
    if (!*row) break;
    const auto part = static_cast<std::uint32_t>(rows->integer(0)) - first;
    if (gone(part, rows->bytes(1))) going.emplace_back(first + part, rows->bytes(1));
  }
  for (const auto& [table, key] : going)
    if (auto done = erase_.bind(1, std::int64_t{table}).bind_blob(2, key).run(); !done) return done.error();
  if (auto done = forget_in_log(found->id, gone); !done) return done.error();
  if (!whole) return true;
  auto name = connection_.prepare("DELETE FROM state_steps WHERE id = ?1");
  if (!name) return name.error();
  if (auto done = name->bind(1, std::int64_t{found->id}).run(); !done) return done.error();
  return true;
}

result<void> StateTables::forget_in_log(std::uint32_t id, const Gone& gone) {
  auto update = connection_.prepare("UPDATE state_log SET bytes = ?2 WHERE id = ?1");
  if (!update) return update.error();
  return log([&](std::uint64_t number, std::string_view body) -> result<void> {
    std::string kept;
    auto read = read_changes(body, [&](std::uint32_t table, std::string_view key, std::optional<std::string_view> value) {
      if (table / kStateParts != id || !gone(table % kStateParts, key)) append_change(kept, table, key, value);
    });
    if (!read) return read;
    if (kept.size() == body.size()) return {};
    const std::string row = codec_.encode(kept, 0, compression_);
    return update->bind(1, static_cast<std::int64_t>(number)).bind_blob(2, row).run();
  });
}

result<void> read_only_changes(std::uint64_t, std::string_view body) {
  return read_changes(body, [](std::uint32_t, std::string_view, std::optional<std::string_view>) {});
}

result<void> check_state_log(Connection& connection) {
  auto there = connection.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'state_log'");
  if (!there) return there.error();
  if (*there == 0) return {};
  StateTables tables(connection, Compression::none);
  if (auto prepared = tables.prepare(); !prepared) return prepared;
  return tables.log(read_only_changes);
}

result<std::vector<StateStep>> list_state(Connection& connection) {
  auto statement = connection.prepare(
      "SELECT id, pipeline, step, definition, (SELECT count(*) FROM state WHERE part BETWEEN id * 16 AND id * 16 + 15), "
      "(SELECT ifnull(sum(length(key) + length(value)), 0) FROM state WHERE part BETWEEN id * 16 AND id * 16 + 15) FROM state_steps ORDER BY pipeline, step");
  if (!statement) return statement.error();
  std::vector<StateStep> found;
  for (;;) {
    auto row = statement->step();
    if (!row) return row.error();
    if (!*row) return found;
    found.push_back({static_cast<std::uint32_t>(statement->integer(0)), std::string(statement->bytes(1)), std::string(statement->bytes(2)), std::string(statement->bytes(3)),
                     static_cast<std::uint64_t>(statement->integer(4)), static_cast<std::uint64_t>(statement->integer(5))});
  }
}

}  // namespace rivulet::store
