// A SQLite extension, as an operator may have one: fahrenheit(celsius).
#include <sqlite3ext.h>

SQLITE_EXTENSION_INIT1

namespace {

void fahrenheit(sqlite3_context* context, int, sqlite3_value** values) {
  if (sqlite3_value_type(values[0]) == SQLITE_NULL) return;
  sqlite3_result_double(context, sqlite3_value_double(values[0]) * 1.8 + 32);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int sqlite3_extension_init(sqlite3* db, char**, const sqlite3_api_routines* api) {
  SQLITE_EXTENSION_INIT2(api);
  return sqlite3_create_function_v2(db, "fahrenheit", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, fahrenheit, nullptr, nullptr, nullptr);
}
