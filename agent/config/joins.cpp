// Joins, tables, absence: their reading. What kind a join is and whether it fits: inputs.cpp.
#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

Join::Within read_within(const Value& value) {
  Join::Within within;
  if (!value.is_map()) {
    value.error("expected a map such as {before: 5s, after: 5s, grace: 1s}");
    return within;
  }
  const Map map(value, schema::within);
  const auto before = map.get("before");
  const auto after = map.get("after");
  if (before) within.before_ms = before->duration().value_or(0);
  if (after) within.after_ms = after->duration().value_or(0);
  if (auto grace = map.get("grace")) within.grace_ms = grace->duration().value_or(0);
  if (!before && !after) value.error("has neither before nor after, expected how far apart two records may be, such as {before: 5s, after: 5s}");
  else if (within.before_ms + within.after_ms < 0) value.error("lets nothing match: it ends before it begins; expected before + after of 0s or more");
  map.done();
  return within;
}

}  // namespace

void read_table(const Value& value, Step& step) {
  Table table;
  if (value.is_map()) {
    const Map map(value, schema::table_step);
    step.name = read_step_name(map);
    if (auto history = map.get("history")) table.history_ms = history->duration().value_or(0);
    map.done();
  } else if (!value.is_null()) {
    value.error("expected {} or {history: 1h}");
  }
  step.what = table;
}

void read_join(const Value& value, Step& step) {
  Join join;
  if (!value.is_map()) {
    value.error("expected a map such as {with: sites, kind: left, select: {site: right.name}}");
    step.what = std::move(join);
    return;
  }
  const Map map(value, schema::join);
  step.name = read_step_name(map);
  join.with_at = value.at();
  if (auto with = map.need("with", "a source, a pipeline or a table to join with")) {
    join.with = with->text().value_or("");
    join.with_at = with->at();
  }
  if (auto kind = map.get("kind")) {
    const std::string word = kind->choice().value_or("inner");
    join.kind = word == "left" ? Join::Kind::left : word == "outer" ? Join::Kind::outer : Join::Kind::inner;
  }
  if (auto within = map.get("within")) join.within = read_within(*within);
  if (auto grace = map.get("grace")) join.grace_ms = grace->duration().value_or(0);
  if (auto on = map.get("on")) join.on = read_expression(*on);
  if (auto select = map.get("select")) join.select = read_assignments(*select);
  if (auto late = map.get("late")) {
    if (late->is_map()) {
      const Map to(*late, schema::late);
      if (auto topic = to.need("topic", "where late records go")) join.late_topic = topic->topic();
      to.done();
    } else {
      static_cast<void>(late->choice());
    }
    if (!map.has("within")) late->error("only a join of two streams has late records; expected no 'late'");
  }
  map.done();
  step.what = std::move(join);
}

void read_absence(const Value& value, Step& step) {
  Absence absence;
  if (!value.is_map()) {
    value.error("expected a map such as {after: 30s}");
  } else {
    const Map map(value, schema::absence);
    step.name = read_step_name(map);
    if (auto after = map.need("after", "how long a key is silent before it is absent, such as 30s")) absence.after_ms = after->duration().value_or(1);
    map.done();
  }
  step.what = absence;
}

}  // namespace rivulet::config
