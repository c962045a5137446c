#include "agent/pipeline/evaluator.h"

#include <sqlite3.h>

#include <algorithm>
#include <stdexcept>

#include "agent/base/check.h"
#include "agent/codec/json.h"
#include "agent/pipeline/sql_text.h"
#include "agent/pipeline/values.h"

namespace rivulet::pipeline {
namespace {

constexpr std::size_t kKeptBytes = 64 * 1024;  // of each buffer, after a giant record
constexpr std::size_t kMaxFieldsRead = 500;    // by one statement
constexpr const char* kItem = "rivulet_item";
constexpr const char* kPointer = "rivulet-group";

bool same_name(const std::string& a, const char* b) { return sqlite3_stricmp(a.c_str(), b) == 0; }

// SQLite finds these in every table, so it would never ask for a field of that name.
bool hidden_column(const std::string& name) { return same_name(name, "rowid") || same_name(name, "oid") || same_name(name, "_rowid_"); }

std::string quoted_name(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

Error differ_in_case(const std::string& a, const std::string& b) {
  return {ErrorCode::invalid, "the fields '" + a + "' and '" + b + "' differ only in case; use rename on one of them first"};
}

}  // namespace

Evaluator::Evaluator(const Clock& clock) : sandbox_(clock) {
  // (group, index, value) -> whether the chain ends here. It takes the value with its subtype, which a result column has lost.
  const int flags = SQLITE_UTF8 | SQLITE_DIRECTONLY | SQLITE_SUBTYPE;
  if (sqlite3_create_function_v2(sandbox_.db(), kItem, 3, flags, nullptr, &Group::on_item, nullptr, nullptr, nullptr) != SQLITE_OK)
    throw std::runtime_error("expressions: SQLite refused a function");
}

Group::~Group() { sqlite3_finalize(statement_); }

const std::string* Group::clashes(std::string_view field) const {
  const std::string name(field);
  const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const std::string& known) { return known != name && same_name(known, name.c_str()); });
  return found == fields_.end() ? nullptr : &*found;
}

// "SELECT begin FROM (SELECT NULL, ?2 AS "a", ...) end", with every field that SQLite asks for. ?1 is the group itself.
result<sqlite3_stmt*> Group::compile(const std::string& begin, const std::string& end, std::vector<std::string>& fields) const {
  for (;;) {
    std::string sql = "SELECT " + begin + " FROM (SELECT NULL";
    for (std::size_t i = 0; i < fields.size(); ++i) sql += ", ?" + std::to_string(i + 2) + " AS " + quoted_name(fields[i]);
    auto prepared = sandbox_.prepare(sql + ")" + end);
    if (!prepared) return prepared.error();
    if (prepared->statement != nullptr) return prepared->statement;
    const std::string& name = prepared->missing;
    if (fields.size() == kMaxFieldsRead) return Error{ErrorCode::invalid, "reads more than " + std::to_string(kMaxFieldsRead) + " fields"};
    if (same_name(name, "true") || same_name(name, "false")) return Error{ErrorCode::invalid, "a field named '" + name + "' cannot be used here; use rename on it first"};
    if (std::find(fields.begin(), fields.end(), name) != fields.end()) {  // added, and still not found: SQLite reads a.b as table.column
      const std::size_t dot = name.find('.');
      if (dot == std::string::npos) return Error{ErrorCode::invalid, "'" + name + "' cannot be used as a field here"};
      return Error{ErrorCode::invalid, "'" + name + "' is no field; a value inside another is " + name.substr(0, dot) + " ->> '$." + name.substr(dot + 1) + "'"};
    }
    for (const std::string& known : fields)
      if (same_name(known, name.c_str())) return differ_in_case(known, name);
    fields.push_back(name);
  }
}

result<void> Group::add(ItemKind kind, const std::string& sql) {
  auto text = SqlText::analyse(sql);
  if (!text) return text.error();
  for (const std::string& name : text->functions)
    if (same_name(name, kItem)) return Error{ErrorCode::invalid, "no such function: " + name};
  std::vector<std::string> fields;
  for (const std::string& name : text->names)
    if (hidden_column(name) && std::find(fields.begin(), fields.end(), name) == fields.end()) fields.push_back(name);
  // On its own, and where an aggregate is misuse. A newline before the bracket: nothing in the expression can hide it.
  auto scalar = compile("1", " WHERE (" + sql + "\n)", fields);
  if (!scalar) {
    const std::string& message = scalar.error().message;
    if (message.find("misuse of aggregate") != std::string::npos) return Error{ErrorCode::invalid, message + "; it goes over many records and has no place in this step"};
    return scalar.error();
  }
  sqlite3_finalize(*scalar);
  for (const std::string& field : fields) {
    for (const std::string& name : text->names)
      if (name != field && same_name(name, field.c_str())) return differ_in_case(field, name);
    if (const std::string* other = clashes(field)) return differ_in_case(*other, field);
  }
  Item item{kind, sql, text->boolean, text->bare_field, fields};
  // A bare word that SQLite did not take for a column (CURRENT_TIMESTAMP) is no field.
  if (std::find(fields.begin(), fields.end(), item.bare_field) == fields.end()) item.bare_field.clear();
  items_.push_back(std::move(item));
  for (const std::string& field : fields)
    if (std::find(fields_.begin(), fields_.end(), field) == fields_.end()) fields_.push_back(field);
  return {};
}

// CASE WHEN item(?1, 0, (a)) THEN 0 WHEN item(?1, 1, (b)) THEN 0 ELSE 1 END: CASE is documented to evaluate in order and no more than
// it needs (AND is not).
result<void> Group::prepare() {
  RV_CHECK(results_.empty() && !items_.empty(), "a group is prepared once, with items");
  std::string chain = "CASE";
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].bare()) continue;
    chain_.push_back(i);
    chain += " WHEN " + std::string(kItem) + "(?1, " + std::to_string(i) + ", (" + items_[i].sql + "\n)) THEN 0";
    for (const std::string& field : items_[i].fields)
      if (std::find(bound_.begin(), bound_.end(), field) == bound_.end()) bound_.push_back(field);
  }
  if (!chain_.empty()) {
    auto statement = compile(chain + " ELSE 1 END", "", bound_);
    if (!statement) return statement.error();
    statement_ = *statement;
    sqlite3_bind_pointer(statement_, 1, this, kPointer, nullptr);  // stays over resets
  }
  results_.resize(items_.size());
  spans_.resize(items_.size());
  buffers_.resize(bound_.size());
  return {};
}

bool Group::bind(const Row& row, Outcome& outcome) {
  for (std::size_t i = 0; i < bound_.size(); ++i) {
    const Field* field = row.find(bound_[i]);
    if (bind_field(statement_, static_cast<int>(i) + 2, field, buffers_[i]) == SQLITE_OK) continue;
    outcome.kind = Outcome::Kind::failed;
    outcome.item = chain_.front();
    outcome.reason = "the field '" + bound_[i] + "' cannot be used: " + sqlite3_errmsg(sandbox_.db());
    return false;
  }
  return true;
}

result<void> Group::take(std::size_t index, sqlite3_value* value, bool& pass) {
  const Item& item = items_[index];
  Result& result = results_[index];
  pass = true;
  if (item.kind == ItemKind::condition) {  // as in SQLite's WHERE: text counts by the number it begins with
    const int type = sqlite3_value_type(value);
    pass = type == SQLITE_INTEGER ? sqlite3_value_int64(value) != 0 : type != SQLITE_NULL && sqlite3_value_double(value) != 0;
    return {};
  }
  if (item.kind == ItemKind::timestamp) {
    auto time = as_timestamp(value);
    if (!time) return time.error();
    result.timestamp_ms = *time;
    return {};
  }
  result.null = sqlite3_value_type(value) == SQLITE_NULL;
  const std::size_t start = text_.size();
  rivulet::result<void> appended = item.kind == ItemKind::text ? append_text(text_, value, item.boolean) : append_json(text_, value, item.boolean);
  spans_[index] = {start, text_.size() - start};
  return appended;
}

// The token as it stands; as a key, its text.
void Group::copy_field(std::size_t index, const Field* field) {
  const bool as_text = items_[index].kind == ItemKind::text;
  const std::size_t start = text_.size();
  results_[index].null = field == nullptr || (!field->text && field->token.front() == 'n');
  if (field == nullptr) {
    if (!as_text) text_ += "null";
  } else if (as_text) {
    std::string buffer;
    text_ += field->text ? field->token : codec::json_text(field->token, buffer);
  } else if (field->text) {
    codec::append_json_string(text_, field->token);
  } else {
    text_ += field->token;
  }
  spans_[index] = {start, text_.size() - start};
}

void Group::on_item(sqlite3_context* context, int, sqlite3_value** values) {
  auto* group = static_cast<Group*>(sqlite3_value_pointer(values[0], kPointer));
  const auto index = static_cast<std::size_t>(sqlite3_value_int64(values[1]));
  if (group == nullptr || index >= group->items_.size()) return sqlite3_result_error(context, "not for use in expressions", -1);
  bool pass = false;
  if (auto taken = group->take(index, values[2], pass); !taken) return sqlite3_result_error(context, taken.error().message.c_str(), -1);
  if (pass) ++group->completed_;
  else group->stopped_ = true;
  sqlite3_result_int(context, pass ? 0 : 1);
}

Outcome Group::run(const Row& row) {
  RV_CHECK(!results_.empty(), "a group is prepared before it runs");
  if (text_.capacity() > kKeptBytes) text_ = std::string();
  text_.clear();
  Outcome outcome;
  if (statement_ != nullptr) {
    completed_ = 0;
    stopped_ = false;
    sandbox_.begin();
    if (bind(row, outcome)) outcome = finish(sqlite3_step(statement_));
    sqlite3_reset(statement_);
    for (std::string& buffer : buffers_)
      if (buffer.capacity() > kKeptBytes) buffer = std::string();
  }
  if (outcome.kind != Outcome::Kind::passed) return outcome;
  for (std::size_t i = 0; i < items_.size(); ++i)
    if (items_[i].bare()) copy_field(i, row.find(items_[i].bare_field));
  for (std::size_t i = 0; i < items_.size(); ++i)
    if (items_[i].kind == ItemKind::json || items_[i].kind == ItemKind::text) results_[i].text = std::string_view(text_).substr(spans_[i].first, spans_[i].second);
  return outcome;
}

Outcome Group::finish(int code) {
  Outcome outcome;
  if (code != SQLITE_ROW) {
    outcome.kind = Outcome::Kind::failed;
    outcome.item = chain_[std::min(completed_, chain_.size() - 1)];
    outcome.reason = code == SQLITE_INTERRUPT ? "it takes too long" : sqlite3_errmsg(sandbox_.db());
  } else if (stopped_) {
    outcome.kind = Outcome::Kind::stopped;
    outcome.item = chain_[completed_];
  }
  return outcome;
}

}  // namespace rivulet::pipeline
