// Stateful steps and their time: windows, aggregates, suppress.
#include <algorithm>
#include <map>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::int64_t kMaxOverlap = 10'000;  // windows that one record is in

void read_hopping(const Value& value, WindowSpec& window) {
  if (!value.is_map()) return value.error("expected a map with size and advance, such as {size: 10s, advance: 5s}");
  const Map map(value, schema::hopping);
  const auto size = map.need("size", "how long a window is, such as 10s");
  const auto advance = map.need("advance", "how far apart windows begin, such as 5s");
  if (size) window.size_ms = size->duration().value_or(0);
  if (advance) window.advance_ms = advance->duration().value_or(0);
  if (window.size_ms > 0 && window.advance_ms > window.size_ms) advance->error("is longer than the size, expected at most the size (records in between would be in no window)");
  else if (window.advance_ms > 0 && window.size_ms / window.advance_ms > kMaxOverlap)
    advance->error("puts each record into " + std::to_string(window.size_ms / window.advance_ms) + " windows, expected at most " + std::to_string(kMaxOverlap) + ": is it the unit?");
  map.done();
}

WindowSpec read_window(const Value& value) {
  using Kind = WindowSpec::Kind;
  WindowSpec window;
  window.at = value.at();
  if (!value.is_map()) {
    value.error("expected a map such as {tumbling: 10s, grace: 5s}");
    return window;
  }
  const Map map(value, schema::window);
  static const std::vector<std::pair<const char*, Kind>> kinds = {{"tumbling", Kind::tumbling}, {"hopping", Kind::hopping}, {"sliding", Kind::sliding}, {"session", Kind::session}};
  for (const auto& [name, kind] : kinds) {
    const auto size = map.get(name);
    if (!size) continue;
    if (window.kind != Kind::none) {
      size->error("is a second kind of window, expected one");
      continue;
    }
    window.kind = kind;
    if (kind == Kind::hopping) read_hopping(*size, window);
    else window.size_ms = size->duration().value_or(0);
    if (kind == Kind::tumbling) window.advance_ms = window.size_ms;
  }
  if (auto grace = map.get("grace")) window.grace_ms = grace->duration().value_or(0);
  if (window.kind == Kind::none) value.error("has no size, expected one of tumbling: 10s, hopping: {size: 10s, advance: 5s}, sliding: 10s, session: 30s");
  map.done();
  return window;
}

void read_late(const Value& value, Aggregate& aggregate) {
  if (value.is_map()) {
    const Map map(value, schema::late);
    if (auto topic = map.need("topic", "where late records go")) aggregate.late_topic = topic->topic();
    return map.done();
  }
  static_cast<void>(value.choice());
}

}  // namespace

bool is_stateful(const Step& step) {
  return std::holds_alternative<Aggregate>(step.what) || std::holds_alternative<Suppress>(step.what) || std::holds_alternative<Table>(step.what) ||
         std::holds_alternative<Join>(step.what) || std::holds_alternative<Absence>(step.what) || std::holds_alternative<Sample>(step.what) ||
         std::holds_alternative<Dedupe>(step.what) || std::holds_alternative<Deadband>(step.what) || std::holds_alternative<RateLimit>(step.what);
}
bool has_name(const Step& step) { return is_stateful(step) || std::holds_alternative<Route>(step.what); }

void read_aggregate(const Value& value, Step& step) {
  Aggregate aggregate;
  if (!value.is_map()) {
    value.error("expected a map such as {window: {tumbling: 10s}, select: {n: count(*)}}");
    step.what = std::move(aggregate);
    return;
  }
  const Map map(value, schema::aggregate);
  step.name = read_step_name(map);
  if (auto window = map.get("window")) aggregate.window = read_window(*window);
  if (auto by = map.get("by")) aggregate.by = read_expression(*by);
  if (auto select = map.need("select", "the fields of the result, such as {mean: avg(temperature), n: count(*)}")) aggregate.select = read_assignments(*select);
  if (auto having = map.get("having")) aggregate.having = read_expression(*having);
  if (auto emit = map.get("emit")) {
    const std::string when = emit->choice().value_or("updates");
    aggregate.emit = when == "closed" ? EmitWhen::closed : when == "updates" ? EmitWhen::updates : EmitWhen::every_change;
    aggregate.emit_given = true;
    if (aggregate.emit == EmitWhen::closed && !map.has("window")) emit->error("closed needs a window that can close; expected updates or every-change, or a window");
  }
  if (auto late = map.get("late")) {
    read_late(*late, aggregate);
    if (!map.has("window")) late->error("without a window no record is late; expected a window, or no 'late'");
  }
  map.done();
  step.what = std::move(aggregate);
}

void read_suppress(const Value& value, Step& step) {
  Suppress suppress;
  if (!value.is_map()) {
    value.error("expected {until: closed} or {limit: 10s}");
    step.what = suppress;
    return;
  }
  const Map map(value, schema::suppress);
  step.name = read_step_name(map);
  const auto until = map.get("until");
  const auto limit = map.get("limit");
  if (until) static_cast<void>(until->choice());
  if (limit) suppress.limit_ms = limit->duration().value_or(0);
  suppress.until_closed = until.has_value();
  if (until.has_value() == limit.has_value()) value.error("expected either until: closed or limit: 10s");
  map.done();
  step.what = suppress;
}

Time read_time(const Value& value) {
  Time time;
  if (!value.is_map()) {
    value.error("expected a map such as {scope: stream, idle: 30s}");
    return time;
  }
  const Map map(value, schema::time);
  if (auto scope = map.get("scope")) time.scope = scope->choice().value_or("stream") == "key" ? Time::Scope::key : Time::Scope::stream;
  if (auto idle = map.get("idle")) time.idle_ms = idle->duration().value_or(0);
  if (auto future = map.get("future")) time.future_ms = future->duration().value_or(0);
  map.done();
  return time;
}

void check_stateful(Pipeline& pipeline, const Value& at) {
  std::map<std::string, std::size_t> kinds, names;
  for (const Step& step : pipeline.steps)
    if (has_name(step)) ++kinds[step.kind];
  for (Step& step : pipeline.steps) {
    if (!has_name(step)) continue;
    if (step.name.empty() && kinds[step.kind] > 1) {
      at.report().error(step.at, step.path, "is one of " + std::to_string(kinds[step.kind]) + " " + step.kind + " steps here, expected a name: " + (is_stateful(step) ? "their state is" : "their streams are") + " kept by it");
      continue;
    }
    if (step.name.empty()) step.name = step.kind;
    if (++names[step.name] == 2) at.report().error(step.at, step.path + ".name", "'" + step.name + "' is the name of another step of this pipeline, expected another one");
  }
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const auto* suppress = std::get_if<Suppress>(&pipeline.steps[i].what);
    if (suppress == nullptr) continue;
    auto* before = i == 0 ? nullptr : std::get_if<Aggregate>(&pipeline.steps[i - 1].what);
    const auto error = [&](const std::string& message) { at.report().error(pipeline.steps[i].at, pipeline.steps[i].path, message); };
    if (before == nullptr) error("expected directly after an aggregate step (steps that change its results go after suppress)");
    else if (before->emit == EmitWhen::closed) error("the aggregate before it emits a closed window once, so there is nothing to hold back; expected no suppress, or emit: updates");
    else if (suppress->until_closed && before->window.kind == WindowSpec::Kind::none) error("until: closed needs an aggregate with a window; expected limit: 10s, or a window");
    else before->suppressed = suppress->until_closed ? Aggregate::Suppressed::until_closed : Aggregate::Suppressed::limit;
  }
}

}  // namespace rivulet::config
