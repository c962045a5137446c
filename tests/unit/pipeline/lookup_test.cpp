#include "agent/pipeline/lookup/lookup.h"

#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "agent/pipeline/lookup/file_rows.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/pipeline/replayed.h"

using namespace rivulet;
using namespace rivulet::pipeline;
using test::TempFolder;

namespace {

using Lines = std::vector<std::string>;

// "key=json;" of each row, or what is wrong.
std::string rows_of(const std::string& path, const std::string& text, std::size_t piece) {
  std::string rows;
  auto reader = FileRows::make(path, "id", [&](std::string_view key, std::string_view json) -> result<void> {
    rows += std::string(key) + "=" + std::string(json) + ";";
    return {};
  });
  for (std::size_t at = 0; at < text.size(); at += piece)
    if (auto fed = reader->feed(std::string_view(text).substr(at, piece)); !fed) return rows + fed.error().message;
  if (auto done = reader->finish(); !done) return rows + done.error().message;
  return rows;
}

config::LookupTable file_table(const std::string& path) {
  config::LookupTable table;
  table.name = "sites";
  table.path = path;
  table.key = "id";
  return table;
}

config::LookupTable database_table(const std::string& path, const std::string& query) {
  config::LookupTable table = file_table(path);
  table.kind = config::LookupTable::Kind::sqlite;
  table.query = query;
  return table;
}

std::string row_of(Lookup& table, const std::string& key) {
  const auto row = table.current(key);
  if (row) return std::string(row->value);
  return table.trouble() ? table.trouble()->message : "none";
}

void look_until_still(Lookup& table) {
  while (table.look({})) {
  }
}

void run_sql(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  char* why = nullptr;
  const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &why);
  INFO((why == nullptr ? "" : why));
  CHECK(code == SQLITE_OK);
  sqlite3_close(db);
}

const std::string kJoined = "sources: {m: {stdin: {}}}\npipelines: {p: {from: m, steps: [{join: {with: sites, kind: left, select: {n: left.n, site: right.name}}}], to: t}}\n";

}  // namespace

TEST_CASE("rows of a file are objects by the text of their key") {
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"a.csv", "id,name,f\n1,Halle,0.50\n007,\"1\",\n\"a,b\",x,-2e3\n", "1={\"id\":1,\"name\":\"Halle\",\"f\":0.50};007={\"id\":\"007\",\"name\":\"1\",\"f\":null};a,b={\"id\":\"a,b\",\"name\":\"x\",\"f\":-2e3};"},
      {"a.csv", "id,\"na\"\"me\"\n1,+1\n", "1={\"id\":1,\"na\\\"me\":\"+1\"};"},
      {"a.csv", "id\n1,2\n", "line 2: has 2 fields, expected 1 as in the first line"},
      {"a.csv", "name\nx\n", "line 1: there is no field 'id', which is to be the key"},
      {"a.csv", "id,id\n", "line 1: the field 'id' stands twice"},
      {"a.csv", "id,\n", "line 1: a field has no name"},
      {"a.csv", "id\n\xff\n", "line 2: is not UTF-8"},
      {"a.csv", "", "line 1: is missing, expected the names of the fields"},
      {"a.json", " [ {\"id\": \"a]\\\"\", \"n\": [1, {\"x\": 2}]}, {\"id\":2}\n] \n", "a]\"={\"id\": \"a]\\\"\", \"n\": [1, {\"x\": 2}]};2={\"id\":2};"},
      {"a.json", "[]", ""},
      {"a.json", "[{\"id\":1},]", "1={\"id\":1};row 2: is empty"},
      {"a.json", "[{\"id\":1}", "the array has no end"},
      {"a.json", "{\"id\":1}", "is no array, expected [{...}, {...}]"},
      {"a.json", "[1]", "row 1: is no object"},
      {"a.json", "[{\"id\":1}]x", "1={\"id\":1};something follows the array"},
      {"a.json", "[{\"id\":null}]", "row 1: has no text or number 'id', which is to be the key"},
      {"a.json", "[{\"n\":1}]", "row 1: has no text or number 'id', which is to be the key"},
      {"a.jsonl", "{\"id\":1}\n\n{\"id\":\"x\"}", "1={\"id\":1};x={\"id\":\"x\"};"},
      {"a.jsonl", "{\"id\":1}\n{\"id\"\n", "1={\"id\":1};line 2: "},
  };
  for (const auto& [path, text, expected] : cases)
    for (const std::size_t piece : {1, 5, 1000}) {
      INFO(path << ": " << text << " in pieces of " << piece);
      const std::string found = rows_of(path, text, piece);
      CHECK(found.substr(0, expected.size()) == expected);
      if (expected.empty() || expected.back() == ';') CHECK(found == expected);
    }
  CHECK(rows_of("a.json", "[" + std::string(2 << 20, ' '), 4096) == "row 1: is longer than 1 MiB");
}

TEST_CASE("a file is loaded anew when it has changed and stood still, whole or not at all") {
  TempFolder folder;
  const std::string path = folder / "sites.csv";
  auto table = Lookup::make(file_table(path));
  look_until_still(*table);
  CHECK_FALSE(table->ready());
  CHECK(row_of(*table, "1").find("sites.csv cannot be read: No such file") != std::string::npos);

  test::overwrite(path, "id,name\n1,Halle\n1,Jena\n");
  look_until_still(*table);
  REQUIRE(table->ready());
  CHECK(row_of(*table, "1") == "{\"id\":1,\"name\":\"Jena\"}");  // of two rows the later
  CHECK(row_of(*table, "2") == "none");

  test::overwrite(path, "id,name\n1,Gera\n2,Ulm\n");
  look_until_still(*table);
  CHECK(row_of(*table, "2") == "none");  // it may still be written
  look_until_still(*table);
  CHECK(row_of(*table, "2") == "{\"id\":2,\"name\":\"Ulm\"}");
  CHECK(table->state() == "2 rows of " + path);

  test::overwrite(path, "id,name\n3,Ulm,x\n");
  look_until_still(*table);
  look_until_still(*table);
  CHECK(row_of(*table, "2") == "{\"id\":2,\"name\":\"Ulm\"}");
  CHECK(table->state() == path + ": line 2: has 3 fields, expected 2 as in the first line; the 2 rows loaded before stay");

  std::filesystem::remove(path);
  look_until_still(*table);
  CHECK(table->ready());
  CHECK(row_of(*table, "1") == "{\"id\":1,\"name\":\"Gera\"}");

  test::overwrite(folder / "new", "id,name\n4,Bonn\n");
  std::filesystem::rename(folder / "new", path);
  look_until_still(*table);
  look_until_still(*table);
  CHECK(row_of(*table, "4") == "{\"id\":4,\"name\":\"Bonn\"}");
  CHECK(row_of(*table, "1") == "none");
}

TEST_CASE("a file that could not be read once is tried again, though nothing about it has changed") {
  TempFolder folder;
  const std::string path = folder / "sites.csv";
  test::overwrite(path, "id,name\n1,Halle\n");
  auto table = Lookup::make(file_table(path));
  namespace fs = std::filesystem;
  fs::permissions(folder.path(), fs::perms::others_exec | fs::perms::others_read, fs::perm_options::add);
  fs::permissions(path, fs::perms::none);  // mtime, size and inode stay
  const bool root = ::geteuid() == 0;      // whom no mode keeps out
  if (root) REQUIRE(::seteuid(65534) == 0);
  look_until_still(*table);
  if (root) REQUIRE(::seteuid(0) == 0);
  fs::permissions(path, fs::perms::owner_read);
  CHECK_FALSE(table->ready());
  CHECK(table->state().find("cannot be read: Permission denied") != std::string::npos);
  look_until_still(*table);
  CHECK(table->ready());
  CHECK(row_of(*table, "1") == "{\"id\":1,\"name\":\"Halle\"}");
}

TEST_CASE("a file that changes while it is read is read again", "[slow]") {
  TempFolder folder;
  const std::string path = folder / "sites.jsonl";
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "{\"id\":" + std::to_string(i) + ",\"v\":1}\n";
  test::overwrite(path, text);
  auto table = Lookup::make(file_table(path));
  REQUIRE(table->look({}));
  REQUIRE(table->look({}));  // the first part
  test::append(path, "{\"id\":\"last\",\"v\":2}\n");
  look_until_still(*table);
  CHECK_FALSE(table->ready());
  look_until_still(*table);
  REQUIRE(table->ready());
  CHECK(row_of(*table, "last") == "{\"id\":\"last\",\"v\":2}");
  CHECK(row_of(*table, "19999") == "{\"id\":19999,\"v\":1}");
}

TEST_CASE("the rows of a file lie in the agent's folder, where nothing is left of them") {
  TempFolder folder;
  test::overwrite(folder / "sites.csv", "id\n1\n");
  test::overwrite(folder / "lookup-sites.tmp", "left by an agent that was killed");
  std::filesystem::create_directory(folder / "state");
  auto table = Lookup::make(file_table(folder / "sites.csv"));
  while (table->look(folder / "state")) {
  }
  REQUIRE(table->ready());
  CHECK(row_of(*table, "1") == "{\"id\":1}");
  CHECK(std::filesystem::is_empty(folder / "state"));
  auto nowhere = Lookup::make(file_table(folder / "sites.csv"));
  while (nowhere->look(folder / "not/there")) {
  }
  CHECK(nowhere->state().find("its rows have no place: ") == 0);
}

TEST_CASE("a database is looked up as it is, one commit an epoch") {
  TempFolder folder;
  const std::string path = folder / "sites.db";
  auto table = Lookup::make(database_table(path, "SELECT id, name, f, b, f IS NULL AS z FROM sites -- all"));
  table->look({});
  CHECK_FALSE(table->ready());
  run_sql(path, "PRAGMA journal_mode=WAL; CREATE TABLE sites(id INTEGER PRIMARY KEY, name TEXT, f REAL, b BLOB); INSERT INTO sites VALUES(1, 'Ha\"lle', 0.5, x'00ff'), (2, NULL, NULL, 7)");
  table->look({});
  REQUIRE(table->ready());
  CHECK(row_of(*table, "1") == R"({"id":1,"name":"Ha\"lle","f":0.5,"b":"00ff","z":0})");
  CHECK(row_of(*table, "2") == R"({"id":2,"name":null,"f":null,"b":7,"z":1})");
  CHECK(row_of(*table, "x") == "none");
  run_sql(path, "UPDATE sites SET name = 'Jena', b = NULL WHERE id = 1");
  CHECK(row_of(*table, "1").find("lle") != std::string::npos);
  table->end_epoch();
  CHECK(row_of(*table, "1").find("Jena") != std::string::npos);
  table->end_epoch();

  run_sql(path, "DROP TABLE sites");
  CHECK(row_of(*table, "1").find("no such table: sites") != std::string::npos);
  CHECK_FALSE(table->ready());
  table->look({});
  CHECK_FALSE(table->ready());
  run_sql(path, "CREATE TABLE sites(id TEXT, name, f, b); INSERT INTO sites VALUES('9', 'Ulm', 1, 2)");
  table->look({});
  CHECK(table->ready());
  CHECK(row_of(*table, "9") == R"({"id":"9","name":"Ulm","f":1,"b":2,"z":0})");
}

TEST_CASE("a database in WAL mode whose -shm file cannot be made says so") {
  TempFolder folder;
  const std::string path = folder / "sites.db";
  run_sql(path, "PRAGMA journal_mode=WAL; CREATE TABLE sites(id INTEGER PRIMARY KEY); INSERT INTO sites VALUES(1)");
  std::filesystem::create_symlink("nowhere", path + "-shm");  // not to be made, as in a folder that may only be read; also not by root
  auto table = Lookup::make(database_table(path, "SELECT id FROM sites"));
  table->look({});
  CHECK_FALSE(table->ready());
  CHECK_THAT(table->state(), ContainsSubstring("unable to open database file; it is in WAL mode") && ContainsSubstring("journal_mode=DELETE"));
  std::filesystem::remove(path + "-shm");
  table->look({});
  CHECK(table->ready());
}

TEST_CASE("a query can only read, and not for ever", "[slow]") {
  TempFolder folder;
  const std::string path = folder / "sites.db";
  run_sql(path, "CREATE TABLE sites(id INTEGER)");
  for (const std::string query : {"SELECT 1 AS id) ; DELETE FROM sites; SELECT * FROM (SELECT 1 AS id", "DELETE FROM sites", "SELECT load_extension('x') AS id", "SELECT name FROM sites", "SELECT 1 AS other"}) {
    INFO(query);
    auto table = Lookup::make(database_table(path, query));
    table->look({});
    CHECK_FALSE(table->ready());
  }
  auto endless = Lookup::make(database_table(path, "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT CAST(id AS TEXT) || 'x' AS id FROM n"));
  endless->look({});
  CHECK_FALSE(endless->ready());

  run_sql(path, "INSERT INTO sites VALUES(5)");
  auto often = Lookup::make(database_table(path, "SELECT id FROM sites"));
  often->look({});
  REQUIRE(often->ready());
  for (int i = 0; i < 200'000; ++i) {
    if (row_of(*often, "5") == "{\"id\":5}") continue;
    FAIL("lookup " << i << ": " << often->state());
  }
}

TEST_CASE("a stream is joined with a lookup table") {
  TempFolder folder;
  test::overwrite(folder / "sites.csv", "id,name\nm1,Halle\nm2,\n");
  const std::string tables = "tables: {sites: {file: {path: " + (folder / "sites.csv") + ", key: id}}}\n";
  CHECK(Replayed(tables + kJoined).in("m", "m1", R"({"n":1})", 10).in("m", "m2", R"({"n":2})", 20).in("m", "m3", R"({"n":3})", 30).out() ==
        Lines{R"(m1 {"n":1,"site":"Halle"} @10)", R"(m2 {"n":2,"site":null} @20)", R"(m3 {"n":3,"site":null} @30)"});
  const std::string by_field = "sources: {m: {stdin: {}}}\npipelines: {p: {from: m, steps: [{join: {with: sites, on: site, select: {n: left.n, site: right.name}}}], to: t}}\n";
  CHECK(Replayed(tables + by_field).in("m", "x", R"({"n":1,"site":"m1"})", 10).in("m", "x", R"({"n":2,"site":"m9"})", 20).in("m", "x", R"({"n":3})", 30).out() ==
        Lines{R"(x {"n":1,"site":"Halle"} @10)", "dropped 1"});
}

TEST_CASE("what does not fit a lookup table is said where it stands") {
  TempFolder folder;
  test::overwrite(folder / "sites.csv", "id\n");
  const std::string path = folder / "sites.csv";
  const std::string tables = "tables: {sites: {file: {path: " + path + ", key: id}}}\n";
  const auto with_join = [&](const std::string& join) { return tables + "sources: {m: {stdin: {}}}\npipelines: {p: {from: m, steps: [{join: " + join + "}], to: t}}\n"; };
  const std::pair<std::string, std::string> cases[] = {
      {with_join("{with: sits}"), "there is no source, pipeline or table 'sits', did you mean 'sites'?"},
      {with_join("{with: sites, kind: outer}"), "'sites' is a lookup table, whose rows wait for no record; expected inner or left"},
      {with_join("{with: sites, within: {before: 1s}}"), "'sites' is a lookup table, which has no 'within'; expected none"},
      {with_join("{with: sites, grace: 1s}"), "'sites' is a lookup table, which knows only what is now; expected no 'grace'"},
      {tables + "sources: {m: {stdin: {}}}\npipelines: {p: {from: m, steps: [{table: {}}, {join: {with: sites}}], to: t}}\n", "a lookup table's changes reach nobody"},
      {tables + "sources: {m: {stdin: {}}}\npipelines: {p: {from: sites, to: t}, q: {from: m, steps: [join: {with: sites}], to: u}}\n", "'sites' is a lookup table, which has no records of its own"},
      {tables + "sources: {sites: {stdin: {}}}\npipelines: {p: {from: sites, to: t}}\n", "this name is taken"},
      {"tables: {s: {file: {path: " + path + "}}}\n", "tables.s.file: 'key' is missing"},
      {"tables: {s: {file: {path: x.txt, key: id}}}\n", "expected a file that ends in .csv, .json or .jsonl"},
      {"tables: {s: {sqlite: {path: x.db, key: id}}}\n", "tables.s.sqlite: 'query' is missing"},
      {"tables: {s: {}}\n", "expected exactly one of file, sqlite"},
      {"tables: {s: {file: {path: x.csv, key: id}, sqlite: {}}}\n", "expected exactly one of file, sqlite"},
      {"tables: {s: {fil: {}}}\n", "did you mean 'file'?"},
      {"tables: {\"a b\": {file: {path: x.csv, key: id}}}\n", "'a b' is not a name"},
      {"tables: 5\n", "expected a map of tables"},
  };
  for (const auto& [yaml, expected] : cases) {
    const std::string problems = problems_of(yaml);
    INFO(yaml << "\n" << problems);
    CHECK(problems.find(expected) != std::string::npos);
  }
  CHECK(problems_of(with_join("{with: sites}")).empty());
}
