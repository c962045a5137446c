// Steps that let some records through and leave the rest out: sample, dedupe, deadband, rate_limit.
#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

void read_grouped(const Map& map, Grouped& grouped) {
  const auto by = map.get("by");
  if (by) grouped.by = read_expression(*by);
  if (auto scope = map.get("scope")) grouped.all = scope->choice().value_or("key") == "all";
  if (by && grouped.all) by->error("has no meaning with scope: all, which looks at all records together; expected one of the two");
}

bool is_map(const Value& value, const char* expected) {
  if (value.is_map()) return true;
  value.error(std::string("expected a map such as ") + expected);
  return false;
}

}  // namespace

void read_sample(const Value& value, Step& step) {
  Sample sample;
  if (is_map(value, "{every: 10} or {interval: 10s}")) {
    const Map map(value, schema::sample);
    step.name = read_step_name(map);
    const auto every = map.get("every");
    const auto interval = map.get("interval");
    if (every) sample.every = every->integer().value_or(1);
    if (interval) sample.interval_ms = interval->duration().value_or(1);
    if (every.has_value() == interval.has_value()) value.error("expected either every: 10 or interval: 10s");
    read_grouped(map, sample);
    map.done();
  }
  step.what = std::move(sample);
}

void read_dedupe(const Value& value, Step& step) {
  Dedupe dedupe;
  if (is_map(value, "{by: id, within: 10m}")) {
    const Map map(value, schema::dedupe);
    step.name = read_step_name(map);
    if (auto by = map.need("by", "an expression that is the same for duplicates, such as id"))
      if (auto expression = read_expression(*by)) dedupe.by = std::move(*expression);
    if (auto within = map.need("within", "how far apart duplicates are at most, such as 10m")) dedupe.within_ms = within->duration().value_or(1);
    map.done();
  }
  step.what = std::move(dedupe);
}

void read_deadband(const Value& value, Step& step) {
  Deadband deadband;
  if (is_map(value, "{field: temperature, absolute: 0.5}")) {
    const Map map(value, schema::deadband);
    step.name = read_step_name(map);
    if (auto field = map.need("field", "the field whose value it is about")) deadband.field = field->text().value_or("");
    const auto absolute = map.get("absolute");
    const auto percent = map.get("percent");
    if (absolute) deadband.change = absolute->number().value_or(0);
    if (percent) deadband.change = percent->number().value_or(0);
    deadband.percent = percent.has_value();
    if (absolute.has_value() == percent.has_value()) value.error("expected either absolute: 0.5 or percent: 2, by how much a value has to change");
    if (auto silence = map.get("max_silence")) deadband.max_silence_ms = silence->duration().value_or(1);
    read_grouped(map, deadband);
    map.done();
  }
  step.what = std::move(deadband);
}

void read_rate_limit(const Value& value, Step& step) {
  RateLimit limit;
  if (is_map(value, "{max: 10, per: 1s}")) {
    const Map map(value, schema::rate_limit);
    step.name = read_step_name(map);
    if (auto max = map.need("max", "how many records pass in an interval, such as 10")) limit.max = max->integer().value_or(1);
    if (auto per = map.need("per", "how long an interval is, such as 1s")) limit.per_ms = per->duration().value_or(1);
    if (auto excess = map.get("excess")) limit.thin = excess->choice().value_or("drop") == "thin";
    read_grouped(map, limit);
    map.done();
  }
  step.what = std::move(limit);
}

}  // namespace rivulet::config
