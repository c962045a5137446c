// Route: where a record goes by conditions: to one of several topics, each a stream of its own, or on through its pipeline.
//
// The conditions are one SQL statement; like `where`'s they see a null value's fields as NULLs. A record that a case takes (the first that holds, or with
// `match: all` each that does) ends here, else it goes to `else` where there is one, else on. A condition or a key that fails: it goes
// to quarantine and nowhere else. Thread: io. Lifetime: the Evaluator's; keys that run() answers live as the row's.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/pipeline/evaluator.h"
#include "agent/pipeline/row.h"

namespace rivulet::pipeline {

class Route {
 public:
  struct Target {
    config::Output to;
    std::unique_ptr<Group> key;  // none: the record's
    std::size_t output = 0;      // its number in the topology, by who builds it
  };
  struct Taken {
    const Target* target;
    std::optional<std::string_view> key;
  };

  // Adds each problem with its place; what is compiled is meaningful only without any.
  Route(Evaluator& evaluator, Arena& arena, const config::Step& step, std::vector<config::Problem>& problems);
  std::vector<Target>& targets() { return targets_; }
  // Error: which expression failed, and why. Nothing taken: the record goes on.
  result<void> run(const Row& row, std::vector<Taken>& taken);

 private:
  void add_target(Evaluator& evaluator, const config::Output& to, const std::string& path, std::vector<config::Problem>& problems);
  result<void> take(const Target& target, const Row& row, std::vector<Taken>& taken);

  Arena& arena_;
  const bool all_, has_else_;
  const std::size_t cases_;
  Group choice_;                 // of the first case, its number; of all a 1 or 0 for each
  std::vector<Target> targets_;  // the cases', then else
};

}  // namespace rivulet::pipeline
