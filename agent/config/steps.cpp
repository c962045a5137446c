// Steps without state that have settings of their own: flatten, enrich, clamp, route.
#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxSeparator = 16;
constexpr std::size_t kMaxCases = 100;
constexpr std::size_t kMaxTableFields = 100;  // of a row

Enrich::Row read_constants(const Value& value) {
  Enrich::Row row;
  if (!value.is_map() || value.node().size() == 0) {
    value.error("expected a map of field: value, such as {site: north, floor: 3}");
    return row;
  }
  if (value.node().size() > kMaxTableFields) {
    value.error("has " + std::to_string(value.node().size()) + " fields, expected at most " + std::to_string(kMaxTableFields));
    return row;
  }
  for (const auto& [field, constant] : value.entries()) {
    if (constant.is_null()) row.emplace_back(field, Constant{"null", true});
    else if (auto text = constant.text()) row.emplace_back(field, Constant{std::move(*text), constant.node().Tag() == "?"});
  }
  return row;
}

}  // namespace

void read_flatten(const Value& value, Step& step) {
  Flatten flatten;
  if (value.is_map()) {
    const Map map(value, schema::flatten);
    if (auto separator = map.get("separator")) {
      flatten.separator = separator->text().value_or("_");
      if (flatten.separator.size() > kMaxSeparator) separator->error("is longer than " + std::to_string(kMaxSeparator) + " bytes, expected a short text such as _");
    }
    if (auto depth = map.get("depth")) flatten.depth = static_cast<std::uint32_t>(depth->integer().value_or(1));
    if (auto most = map.get("max_fields")) flatten.max_fields = static_cast<std::uint32_t>(most->integer().value_or(1));
    if (auto explode = map.get("explode")) flatten.explode = explode->text();
    map.done();
  } else if (!value.is_null()) {
    value.error("expected {} or a map such as {separator: _, depth: 2}");
  }
  step.what = std::move(flatten);
}

void read_enrich(const Value& value, Step& step) {
  auto rows = std::make_shared<Enrich::Rows>();
  Enrich enrich;
  if (!value.is_map()) {
    value.error("expected a map such as {by: device, table: {press-1: {site: north}}}");
  } else {
    const Map map(value, schema::enrich);
    if (auto by = map.get("by")) enrich.by = read_expression(*by);
    if (auto table = map.need("table", "the fields that a key gives, such as {press-1: {site: north}}")) {
      if (!table->is_map() || table->node().size() == 0) table->error("expected a map of keys to fields, such as {press-1: {site: north}}");
      else
        for (const auto& [key, row] : table->entries()) rows->by_key.emplace(key, read_constants(row));
    }
    if (auto otherwise = map.get("default")) rows->otherwise = read_constants(*otherwise);
    map.done();
  }
  enrich.rows = std::move(rows);
  step.what = std::move(enrich);
}

void read_clamp(const Value& value, Step& step) {
  Clamp clamp;
  if (!value.is_map()) {
    value.error("expected a map such as {future: 10s}");
  } else {
    const Map map(value, schema::clamp);
    if (auto future = map.need("future", "how far ahead of the clock a timestamp may be, such as 10s")) clamp.future_ms = future->duration().value_or(0);
    if (auto to = map.get("to")) clamp.to_limit = to->choice().value_or("now") == "limit";
    map.done();
  }
  step.what = clamp;
}

namespace {

Output read_topic(const Value& value) {
  Output output = read_output(value);
  if (output.local) value.error("is no topic, and a route goes to topics; expected a pipeline of its own for a local output");
  return output;
}

}  // namespace

void read_route(const Value& value, Step& step) {
  Route route;
  if (!value.is_map()) {
    value.error("expected a map such as {cases: [{when: \"level = 'error'\", to: errors}], else: others}");
    step.what = std::move(route);
    return;
  }
  const Map map(value, schema::route);
  step.name = read_step_name(map);
  if (auto cases = map.need("cases", "a list such as [{when: \"level = 'error'\", to: errors}]")) {
    if (!cases->is_list()) cases->error("expected a list such as [{when: \"level = 'error'\", to: errors}]");
    else if (cases->node().size() > kMaxCases) cases->error("has " + std::to_string(cases->node().size()) + " cases, expected at most " + std::to_string(kMaxCases));
    else
      for (const Value& each : cases->list()) {
        if (!each.is_map()) {
          each.error("expected a map such as {when: \"level = 'error'\", to: errors}");
          continue;
        }
        const Map one(each, schema::route_case);
        Route::Case read;
        if (auto when = one.need("when", "the condition"))
          if (auto expression = read_expression(*when)) read.when = std::move(*expression);
        if (auto to = one.need("to", "a topic")) read.to = read_topic(*to);
        one.done();
        route.cases.push_back(std::move(read));
      }
  }
  if (auto otherwise = map.get("else")) route.otherwise = read_topic(*otherwise);
  if (auto match = map.get("match")) route.all = match->choice().value_or("first") == "all";
  map.done();
  step.what = std::move(route);
}

}  // namespace rivulet::config
