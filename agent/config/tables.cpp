// Lookup tables: their reading.
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

void read_place(const Value& value, bool file, LookupTable& table) {
  if (!value.is_map()) return value.error(file ? "expected a map such as {path: sites.csv, key: id}" : "expected a map such as {path: sites.db, query: \"SELECT id, name FROM sites\", key: id}");
  const Map map(value, file ? schema::table_file : schema::table_sqlite);
  if (auto path = map.need("path", "where the table is")) {
    table.path = path->text().value_or("");
    const std::string ending = std::filesystem::path(table.path).extension().string();
    if (table.path.empty()) path->error("is empty, expected where the table is");
    else if (file && ending != ".csv" && ending != ".json" && ending != ".jsonl") path->error("expected a file that ends in .csv, .json or .jsonl");
    else if (struct stat found {}; ::stat(table.path.c_str(), &found) != 0) path->warning(table.path + " cannot be read: " + std::strerror(errno) + "; until it can, no source is read");
  }
  if (!file)
    if (auto query = map.need("query", "a SELECT that gives the rows")) table.query = query->text().value_or("");
  if (auto key = map.need("key", "the field that is a row's key")) {
    table.key = key->text().value_or("");
    if (table.key.empty()) key->error("is empty, expected the field that is a row's key");
  }
  map.done();
}

}  // namespace

void read_tables(const Value& value, std::vector<LookupTable>& tables) {
  if (!value.is_map()) return value.error("expected a map of tables, such as sites: {file: {path: sites.csv, key: id}}");
  for (const auto& [name, entry] : value.entries()) {
    LookupTable table;
    table.name = name;
    table.at = entry.at();
    check_name(name, entry);
    if (!entry.is_map()) {
      entry.error("expected a map such as {file: {path: sites.csv, key: id}}");
      continue;
    }
    const Map map(entry, schema::table);
    const auto file = map.get("file"), sqlite = map.get("sqlite");
    if (file.has_value() == sqlite.has_value()) entry.error("expected exactly one of file, sqlite");
    table.kind = sqlite ? LookupTable::Kind::sqlite : LookupTable::Kind::file;
    if (file) read_place(*file, true, table);
    if (sqlite) read_place(*sqlite, false, table);
    map.done();
    tables.push_back(std::move(table));
  }
}

}  // namespace rivulet::config
