#include <algorithm>
#include <map>
#include <set>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

enum class Mark { fresh, open, done };

struct Walk {
  Config& config;
  Report& report;
  std::vector<std::vector<std::size_t>> reads;  // of each pipeline: the pipelines in its `from` and its joins' `with`
  std::vector<Mark> marks;
  std::vector<std::size_t> trail;
  std::vector<std::size_t> order;
  bool cycle = false;

  // Depth first, without recursion: a chain may be as long as the file.
  void visit(std::size_t root) {
    struct Open {
      std::size_t at, next = 0;  // next of what it reads from
    };
    std::vector<Open> stack;
    const auto enter = [&](std::size_t at) {
      if (marks[at] == Mark::done) return;
      if (marks[at] == Mark::open) return report_cycle(at);
      marks[at] = Mark::open;
      trail.push_back(at);
      stack.push_back({at});
    };
    enter(root);
    while (!stack.empty()) {
      const auto at = stack.back().at;
      const auto& from = reads[at];
      if (stack.back().next < from.size()) {
        enter(from[stack.back().next++]);
        continue;
      }
      stack.pop_back();
      trail.pop_back();
      marks[at] = Mark::done;
      order.push_back(at);
    }
  }
  void report_cycle(std::size_t at) {
    cycle = true;
    if (report.full()) return;
    const Pipeline& pipeline = config.pipelines[at];
    std::string names;
    for (auto it = std::find(trail.begin(), trail.end(), at); it != trail.end(); ++it) names += config.pipelines[*it].name + " -> ";
    report.error(pipeline.at, "pipelines." + pipeline.name, "reads from itself: " + names + pipeline.name + "; remove one of these from or with");
  }
};

// Of a pipeline that has no `to` and that nobody reads from.
void warn_of_the_end(const Pipeline& pipeline, Report& report) {
  const Route* route = nullptr;
  for (const Step& step : pipeline.steps)
    if (const auto* one = std::get_if<Route>(&step.what)) route = one;
  if (route == nullptr) report.warning(pipeline.at, "pipelines." + pipeline.name, "has no 'to', and no pipeline reads from it; its records go nowhere");
  else if (!route->otherwise) report.warning(pipeline.at, "pipelines." + pipeline.name, "has no 'to', and no pipeline reads from it; records that no case of its route takes go nowhere (else: TOPIC takes them)");
}

}  // namespace

std::string place(const Location& at) { return at.file + ":" + std::to_string(at.line); }

bool check_graph(Config& config, Report& report) {
  std::map<std::string, Location> names;
  std::vector<std::string> known;
  const auto add = [&](const std::string& name, const Location& at, const std::string& path) {
    if (const auto [it, added] = names.emplace(name, at); !added) report.error(at, path, "this name is taken (" + place(it->second) + "), expected another one");
    else known.push_back(name);
  };
  for (const Source& source : config.sources) add(source.name, source.at, "sources." + source.name);
  for (const Pipeline& pipeline : config.pipelines) add(pipeline.name, pipeline.at, "pipelines." + pipeline.name);
  std::set<std::string> tables;
  for (const LookupTable& table : config.tables) {
    add(table.name, table.at, "tables." + table.name);
    tables.insert(table.name);
  }

  std::map<std::string, bool> used;
  for (const Pipeline& pipeline : config.pipelines) {
    const std::string path = "pipelines." + pipeline.name + ".from";
    for (std::size_t i = 0; i < pipeline.from.size(); ++i) {
      const std::string& from = pipeline.from[i];
      used[from] = true;
      if (report.full()) continue;
      if (tables.count(from) != 0) report.error(pipeline.at, path, "'" + from + "' is a lookup table, which has no records of its own; expected a source or a pipeline (a join step looks into the table)");
      else if (names.count(from) == 0) report.error(pipeline.at, path, "there is no source or pipeline '" + from + "'" + suggestion(from, known));
      if (std::find(pipeline.from.begin(), pipeline.from.begin() + static_cast<std::ptrdiff_t>(i), from) != pipeline.from.begin() + static_cast<std::ptrdiff_t>(i))
        report.error(pipeline.at, path, "'" + from + "' stands twice");
    }
    for (const Step& step : pipeline.steps) {
      const auto* join = std::get_if<Join>(&step.what);
      if (join == nullptr || join->with.empty()) continue;
      used[join->with] = true;
      if (!report.full() && names.count(join->with) == 0) report.error(join->with_at, step.path + ".with", "there is no source, pipeline or table '" + join->with + "'" + suggestion(join->with, known));
    }
  }
  for (const Source& source : config.sources)
    if (!used[source.name]) report.warning(source.at, "sources." + source.name, "no pipeline reads from this source; what it takes in goes nowhere");
  for (const LookupTable& table : config.tables)
    if (!used[table.name]) report.warning(table.at, "tables." + table.name, "no join looks into this table");
  for (const Pipeline& pipeline : config.pipelines)
    if (!used[pipeline.name] && pipeline.to.empty()) warn_of_the_end(pipeline, report);

  std::map<std::string, std::size_t> index;  // of pipelines; a name that was taken is whose it was first
  for (std::size_t i = 0; i < config.pipelines.size(); ++i) index.emplace(config.pipelines[i].name, i);
  for (const Source& source : config.sources) index.erase(source.name);
  Walk walk{config, report, std::vector<std::vector<std::size_t>>(config.pipelines.size()), std::vector<Mark>(config.pipelines.size(), Mark::fresh), {}, {}};
  for (std::size_t i = 0; i < config.pipelines.size(); ++i) {
    const auto read = [&](const std::string& name) {
      if (const auto it = index.find(name); it != index.end()) walk.reads[i].push_back(it->second);
    };
    for (const std::string& from : config.pipelines[i].from) read(from);
    for (const Step& step : config.pipelines[i].steps)
      if (const auto* join = std::get_if<Join>(&step.what)) read(join->with);
  }
  for (std::size_t i = 0; i < config.pipelines.size(); ++i) walk.visit(i);
  std::vector<Pipeline> sorted;
  sorted.reserve(walk.order.size());
  for (const std::size_t at : walk.order) sorted.push_back(std::move(config.pipelines[at]));
  config.pipelines = std::move(sorted);
  return !walk.cycle;
}

}  // namespace rivulet::config
