#include "agent/pipeline/aggregate/functions.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace rivulet::pipeline::aggregate {
namespace {

constexpr std::size_t kMaxTop = 1000;
constexpr std::size_t kMaxBounds = 100;

constexpr Function kFunctions[] = {
    {"count", 0, 1, "count(*) or count(x)", "count"},
    {"sum", 1, 1, "sum(x)", "sum"},
    {"avg", 1, 1, "avg(x)", "sum", Ask::mean},
    {"rate", 0, 1, "rate(*) or rate(x)", "sum", Ask::rate, false, true},
    {"min", 1, 1, "min(x)", "min"},
    {"max", 1, 1, "max(x)", "max"},
    {"first", 1, 1, "first(x)", "first"},
    {"last", 1, 1, "last(x)", "last"},
    {"delta", 1, 1, "delta(x)", "delta"},
    {"collect", 1, 1, "collect(x)", "collect", Ask::value, true},
    {"collect_set", 1, 1, "collect_set(x)", "collect_set", Ask::value, true},
    {"count_distinct", 1, 1, "count_distinct(x)", "distinct"},
    {"stddev", 1, 1, "stddev(x)", "moments", Ask::deviation},
    {"stddev_pop", 1, 1, "stddev_pop(x)", "moments", Ask::deviation_of_all},
    {"variance", 1, 1, "variance(x)", "moments", Ask::variance},
    {"var_pop", 1, 1, "var_pop(x)", "moments", Ask::variance_of_all},
    {"percentile", 2, 2, "percentile(x, 95)", "quantiles", Ask::quantile},
    {"median", 1, 1, "median(x)", "quantiles", Ask::quantile},
    {"topk", 2, 2, "topk(x, 3)", "topk", Ask::value, true},
    {"histogram", 2, 1 + kMaxBounds, "histogram(x, 10, 20, 30)", "histogram", Ask::value, true},
    {"time_weighted_avg", 1, 1, "time_weighted_avg(x)", "time_weighted"},
};

Error refused(const Function& function, const std::string& what) { return {ErrorCode::invalid, fmt::format("{}: {}, such as {}", function.name, what, function.usage)}; }

}  // namespace

const Function* find_function(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Function& one) { return one.name == name; });
  return found == std::end(kFunctions) ? nullptr : found;
}

std::string function_names() {
  std::string names;
  for (const Function& one : kFunctions) names += (names.empty() ? "" : ", ") + std::string(one.name);
  return names;
}

bool constants_in_slot(const Function& function) { return std::string_view(function.slot) != "quantiles"; }

result<std::unique_ptr<Accumulator>> make_accumulator(const Function& function, bool of_all, const std::vector<double>& constants) {
  const std::string_view slot = function.slot;
  if (of_all || slot == "count") return make_count(of_all);
  if (slot == "sum") return make_sum();
  if (slot == "min" || slot == "max") return make_extreme(slot == "max");
  if (slot == "first" || slot == "last") return make_position(slot == "last");
  if (slot == "delta") return make_delta();
  if (slot == "collect" || slot == "collect_set") return make_list(slot == "collect_set");
  if (slot == "distinct") return make_distinct();
  if (slot == "moments") return make_moments();
  if (slot == "time_weighted") return make_time_weighted();
  if (slot == "quantiles") {
    if (!constants.empty() && !(constants[0] >= 0 && constants[0] <= 100)) return refused(function, "expected a percentage from 0 to 100");
    return make_quantiles();
  }
  if (slot == "topk") {
    if (!(constants[0] >= 1 && constants[0] <= kMaxTop) || constants[0] != std::floor(constants[0])) return refused(function, fmt::format("expected how many, from 1 to {}", kMaxTop));
    return make_topk(static_cast<std::size_t>(constants[0]));
  }
  if (std::adjacent_find(constants.begin(), constants.end(), [](double a, double b) { return !(a < b); }) != constants.end()) return refused(function, "expected bounds that ascend");
  return make_histogram(constants);
}

}  // namespace rivulet::pipeline::aggregate
