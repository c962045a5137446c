// Steps in words.
#include <fmt/core.h>

#include "agent/pipeline/steps.h"

namespace rivulet::pipeline {
namespace {

std::string duration(std::int64_t ms) {
  if (ms % 60'000 == 0 && ms > 0) return fmt::format("{}m", ms / 60'000);
  if (ms % 1000 == 0) return fmt::format("{}s", ms / 1000);
  return fmt::format("{}ms", ms);
}

std::string describe(const config::Aggregate& aggregate) {
  static constexpr const char* kinds[] = {"without a window", "tumbling", "hopping", "sliding", "session"};
  static constexpr const char* emits[] = {"updates, once an epoch", "every change", "each window once, when it is closed"};
  const config::WindowSpec& window = aggregate.window;
  std::string text = kinds[static_cast<int>(window.kind)];
  if (window.kind != config::WindowSpec::Kind::none) text += " " + duration(window.size_ms);
  if (window.kind == config::WindowSpec::Kind::hopping) text += " every " + duration(window.advance_ms);
  if (window.kind != config::WindowSpec::Kind::none) text += ", grace " + duration(window.grace_ms);
  text += fmt::format(", by {}, emits {}", aggregate.by ? aggregate.by->sql : "the key", emits[static_cast<int>(aggregate.emits())]);
  if (aggregate.having) text += ", having " + aggregate.having->sql;
  return text + ": ";
}

std::string describe(const config::Join& join) {
  static constexpr const char* kinds[] = {"inner", "left", "outer"};
  static constexpr const char* hows[] = {"two streams", "the stream with the table", "two tables", "two tables by a foreign key", "the stream with the lookup table"};
  std::string text = fmt::format("{}, {}, with {}", hows[static_cast<int>(join.how)], kinds[static_cast<int>(join.kind)], join.with);
  if (join.on) text += ", on " + join.on->sql;
  if (join.within) text += fmt::format(", from {} before to {} after, grace {}", duration(join.within->before_ms), duration(join.within->after_ms), duration(join.within->grace_ms));
  if (join.grace_ms) text += ", grace " + duration(*join.grace_ms);
  return text;
}

std::string describe(const config::Flatten& flatten) {
  std::string text = fmt::format("names joined by '{}'", flatten.separator);
  if (flatten.depth != 0) text += fmt::format(", {} levels", flatten.depth);
  return text + (flatten.explode ? ", a record for each element of " + *flatten.explode : "");
}

std::string describe(const config::Enrich& enrich) {
  return fmt::format("by {} from {} keys of the configuration", enrich.by ? enrich.by->sql : "the key", enrich.rows->by_key.size());
}

std::string whose(const config::Grouped& grouped) { return grouped.all ? ", all records together" : ", by " + (grouped.by ? grouped.by->sql : "the key"); }

std::string describe(const config::Sample& sample) {
  return (sample.every != 0 ? fmt::format("the first of every {} records", sample.every) : "records at least " + duration(sample.interval_ms) + " apart") + whose(sample);
}

std::string describe(const config::Deadband& deadband) {
  std::string text = fmt::format("{} when it changes by more than {}{}", deadband.field, deadband.change, deadband.percent ? "%" : "");
  if (deadband.max_silence_ms) text += ", the latest after " + duration(*deadband.max_silence_ms);
  return text + whose(deadband);
}

std::string describe(const config::RateLimit& limit) {
  return fmt::format("{} records in {} at most, {}", limit.max, duration(limit.per_ms), limit.thin ? "of the rest the last when it is over" : "the rest is dropped") + whose(limit);
}

std::string describe(const config::Route& route) {
  std::string text = route.all ? "to each of: " : "to the first of: ";
  for (const auto& one : route.cases) text += fmt::format("{} if {}, ", one.to.topic, one.when.sql);
  return text + (route.otherwise ? "else " + route.otherwise->topic : "else on");
}

}  // namespace

std::string describe(const config::Step& step) {
  const auto assignments = [](const std::vector<config::Assignment>& fields) {
    std::string text;
    for (const config::Assignment& field : fields) text += (text.empty() ? "" : ", ") + field.field + " = " + field.expression.sql;
    return text;
  };
  std::string text = step.kind + " ";
  if (const auto* where = std::get_if<config::Where>(&step.what)) text += where->condition.sql;
  if (const auto* key = std::get_if<config::Key>(&step.what)) text += key->expression.sql;
  if (const auto* timestamp = std::get_if<config::SetTimestamp>(&step.what)) text += timestamp->expression.sql;
  if (const auto* set = std::get_if<config::Set>(&step.what)) text += assignments(set->fields);
  if (const auto* select = std::get_if<config::Select>(&step.what)) text += assignments(select->fields);
  if (const auto* drop = std::get_if<config::Drop>(&step.what))
    for (const std::string& field : drop->fields) text += field + " ";
  if (const auto* rename = std::get_if<config::Rename>(&step.what))
    for (const auto& [from, to] : rename->fields) text += from + " to " + to + " ";
  if (const auto* log = std::get_if<config::LogStep>(&step.what)) text += log->message;
  if (const auto* flatten = std::get_if<config::Flatten>(&step.what)) text += describe(*flatten);
  if (const auto* enrich = std::get_if<config::Enrich>(&step.what)) text += describe(*enrich);
  if (const auto* clamp = std::get_if<config::Clamp>(&step.what)) text += fmt::format("timestamps more than {} ahead of the clock to {}", duration(clamp->future_ms), clamp->to_limit ? "that limit" : "the clock's time");
  if (const auto* route = std::get_if<config::Route>(&step.what)) text += describe(*route);
  if (const auto* sample = std::get_if<config::Sample>(&step.what)) text += describe(*sample);
  if (const auto* dedupe = std::get_if<config::Dedupe>(&step.what)) text += "records with the same " + dedupe->by.sql + " within " + duration(dedupe->within_ms);
  if (const auto* deadband = std::get_if<config::Deadband>(&step.what)) text += describe(*deadband);
  if (const auto* limit = std::get_if<config::RateLimit>(&step.what)) text += describe(*limit);
  if (const auto* aggregate = std::get_if<config::Aggregate>(&step.what)) text += describe(*aggregate) + assignments(aggregate->select);
  if (const auto* table = std::get_if<config::Table>(&step.what)) text += table->history_ms ? "every version, " + duration(*table->history_ms) + " back" : "the latest row of each key";
  if (const auto* join = std::get_if<config::Join>(&step.what)) text += describe(*join) + (join->select.empty() ? "" : ": " + assignments(join->select));
  if (const auto* absence = std::get_if<config::Absence>(&step.what)) text += "of a key " + duration(absence->after_ms) + " after its last record, told when a later record or time.idle brings that time";
  if (const auto* suppress = std::get_if<config::Suppress>(&step.what)) text += suppress->until_closed ? "until closed" : "for " + duration(suppress->limit_ms) + " after the first change";
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace rivulet::pipeline
