#include "store/state_file.h"

namespace rivulet::store {

result<StateFile> StateFile::open(const std::string& path, const std::string& vfs) {
  StateFile file;
  auto connection = Connection::open(path, Connection::Mode::read_only, vfs);
  if (!connection) return connection.error();
  file.connection_ = std::move(*connection);
  if (auto set = file.connection_.execute("PRAGMA cache_size=-512; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON"); !set) return set.error();
  const std::pair<Statement*, const char*> statements[] = {
      {&file.get_, "SELECT value FROM state WHERE part = ?1 AND key = ?2"},
      {&file.rows_, "SELECT key, value FROM state WHERE part = ?1 AND key >= ?2 ORDER BY key LIMIT ?3"},
      {&file.rows_to_, "SELECT key, value FROM state WHERE part = ?1 AND key >= ?2 AND key < ?4 ORDER BY key LIMIT ?3"}};
  for (const auto& [statement, sql] : statements) {
    auto prepared = file.connection_.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return file;
}

result<std::optional<std::string>> StateFile::get(std::uint32_t table, std::string_view key) {
  get_.bind(1, std::int64_t{table}).bind_blob(2, key);
  auto row = get_.step();
  if (!row) return row.error();
  std::optional<std::string> value;
  if (*row) value = std::string(get_.bytes(0));
  get_.reset();
  return value;
}

result<std::vector<std::pair<std::string, std::string>>> StateFile::rows(std::uint32_t table, std::string_view from, std::string_view to, std::size_t limit) {
  std::vector<std::pair<std::string, std::string>> found;
  Statement& statement = to.empty() ? rows_ : rows_to_;
  statement.bind(1, std::int64_t{table}).bind_blob(2, from).bind(3, static_cast<std::int64_t>(limit));
  if (!to.empty()) statement.bind_blob(4, to);
  for (;;) {
    auto row = statement.step();
    if (!row) return row.error();
    if (!*row) break;
    found.emplace_back(statement.bytes(0), statement.bytes(1));
  }
  statement.reset();
  return found;
}

}  // namespace rivulet::store
