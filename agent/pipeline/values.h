// Values: a field's JSON token as an SQLite value, and an SQLite value as a JSON token.
//
// Text, numbers and null are themselves; true and false are 1 and 0, as in SQL; objects and arrays are their JSON text. Integers beyond
// int64 are the nearest double, numbers beyond a double infinite. Thread: io.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/ids.h"
#include "agent/base/result.h"
#include "agent/pipeline/row.h"

struct sqlite3_context;
struct sqlite3_stmt;
struct sqlite3_value;

namespace rivulet::pipeline {

// Binds without a copy: `field` (null: SQL's NULL) and `buffer` stay until the statement is done. SQLite's answer, 0 when bound.
int bind_field(sqlite3_stmt* statement, int slot, const Field* field, std::string& buffer);

// A JSON token as the result of a function or a column.
void result_token(sqlite3_context* context, std::string_view token);

// What is appended is JSON; `boolean` says that integers are truth values. Blobs and infinite numbers are errors.
result<void> append_json(std::string& to, sqlite3_value* value, bool boolean);
// The same as a key's text: text without quotes. NULL appends nothing.
result<void> append_text(std::string& to, sqlite3_value* value, bool boolean);
// Milliseconds since 1970, cut towards minus infinity; anything else than a number from 0 on is an error.
result<Timestamp> as_timestamp(sqlite3_value* value);

}  // namespace rivulet::pipeline
