#include "store/state_tables.h"

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
  for (const StateChange& change : changes.folded) {
    Statement& statement = change.value ? put_ : erase_;
    statement.bind(1, std::int64_t{change.table}).bind_blob(2, change.key);
    if (change.value) statement.bind_blob(3, *change.value);
    if (auto done = statement.run(); !done) return done;
  }
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

}  // namespace rivulet::store
