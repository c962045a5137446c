// SQL over what stateful steps keep, beside a running agent.
#include <sqlite3.h>
#include <unistd.h>

#include <fmt/core.h>

#include <cstdio>

#include "agent/app/checked_config.h"
#include "agent/app/commands.h"
#include "agent/app/query_output.h"

namespace rivulet::app {
namespace {

// Of SQLite, in this process: a gateway's agent needs the rest. Sorting and grouping go to a file long before.
constexpr std::int64_t kHeapBytes = 32 << 20;

int failed(const Error& error) {
  fmt::print(stderr, "{}\n", error.message);
  return kCannot;
}

bool needs_quotes(const std::string& name) {
  for (const char& c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9' && &c != name.data()))) return true;
  return name.empty();
}

std::string as_sql(const std::string& name) {
  if (!needs_quotes(name) && sqlite3_keyword_check(name.c_str(), static_cast<int>(name.size())) == 0) return name;
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

// As text, or a row a table.
result<void> list(const std::vector<pipeline::QueryTable>& tables, QueryFormat format, QueryOutput& output) {
  if (format != QueryFormat::text)
    if (auto done = output.columns({"name", "also", "what", "columns"}); !done) return done;
  result<void> done;
  const auto print = [&](const pipeline::QueryTable& table, const std::string& what) {
    if (table.names.empty() || !done) return;
    const std::string name = as_sql(table.names.back()), also = table.names.size() > 1 ? as_sql(table.names.front()) : "";
    std::string columns;
    for (const std::string& column : table.columns) columns += (columns.empty() ? "" : ", ") + as_sql(column);
    if (format != QueryFormat::text) done = output.row({std::string_view(name), std::string_view(also), std::string_view(what), std::string_view(columns)});
    else fmt::print("{}\n  {}{}\n  {}\n", name, what, also.empty() ? "" : ", also " + also, columns);
  };
  for (const auto& table : tables) print(table, fmt::format("step {} of pipeline {}", table.step, table.pipeline));
  for (const auto& table : pipeline::store_tables(tables)) print(table, table.step == "outbox" ? "records that wait for Kafka or a local output; gap: why records from seq on were dropped" : "records that could not go on");
  return !done || format == QueryFormat::text ? done : output.finish();
}

}  // namespace

int command_query(const QueryOptions& options) {
  const SystemClock clock;
  const CheckedConfig checked = check_config(options.config, clock, config::Secrets::unused);
  if (!checked.ok()) return print_problems(checked), kCannot;
  std::vector<std::string> clashes;
  const auto tables = pipeline::query_tables(*checked.topology, clashes);
  for (const std::string& clash : clashes) fmt::print(stderr, "{}\n", clash);
  const pipeline::QueryLimits limits;
  QueryOutput output(options.format, STDOUT_FILENO, clock, limits.read_ms);
  if (options.sql.empty()) {
    const auto done = list(tables, options.format, output);
    return done ? kDone : failed(done.error());
  }
  sqlite3_hard_heap_limit64(kHeapBytes);
  if (auto done = pipeline::query(*checked.topology, checked.config.agent.state, clock, limits, options.sql, output); !done) return failed(done.error());
  if (auto done = output.finish(); !done) return failed(done.error());
  return kDone;
}

}  // namespace rivulet::app
