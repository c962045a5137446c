#include "agent/pipeline/state/state.h"

#include <map>
#include <random>

#include "agent/pipeline/state/memory.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::pipeline;

namespace {

using Model = std::map<std::string, std::string>;

Model all_of(StateTable& table, const std::string& from = {}, const std::string& to = {}) {
  Model found;
  std::string last;
  table.scan(from, to, [&](std::string_view key, std::string_view value) {
    REQUIRE((found.empty() || std::string(key) > last));
    last = key;
    found.emplace(key, value);
    return true;
  });
  return found;
}

}  // namespace

TEST_CASE("a table answers as a map does, whatever is in memory, in the log or in the file", "[slow]") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    INFO("seed " << seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    StateMemory memory;
    Model model;
    auto state = std::make_unique<StateStore>(memory, below(4) * 1500);
    auto* step = state->open("p", "s", "d").value();
    REQUIRE(state->load());
    std::vector<store::StateChanges> under_way;  // handed over and not durable
    const auto commit_first = [&] {
      memory.commit(under_way.front());
      state->durable(under_way.front().number);
      under_way.erase(under_way.begin());
    };
    for (int i = 0; i < 600; ++i) {
      StateTable& table = step->table(3);
      const std::string key = "k" + std::to_string(below(40));
      switch (below(8)) {
        case 0:
        case 1:
        case 2: {
          const std::string value(below(30), static_cast<char>('a' + below(26)));
          table.put(key, value);
          model[key] = value;
          break;
        }
        case 3:
          table.erase(key);
          model.erase(key);
          break;
        case 4: {
          const auto found = table.get(key);
          REQUIRE(found.has_value() == (model.count(key) == 1));
          if (found) REQUIRE(*found == model[key]);
          break;
        }
        case 5: {
          const std::string to = "k" + std::to_string(below(40));
          Model expected;
          for (const auto& [name, value] : model)
            if (name >= key && name < to) expected.emplace(name, value);
          REQUIRE(all_of(table, key, to) == expected);
          break;
        }
        case 6: {
          auto changes = state->take_changes();
          if (!changes.empty()) under_way.push_back(std::move(changes));
          while (under_way.size() > below(2)) commit_first();
          break;
        }
        default:
          if (below(10) != 0) break;
          if (auto changes = state->take_changes(); !changes.empty()) under_way.push_back(std::move(changes));
          while (!under_way.empty()) commit_first();
          state = std::make_unique<StateStore>(memory, below(4) * 1500);  // a restart
          step = state->open("p", "s", "d").value();
          REQUIRE(state->load());
      }
    }
    REQUIRE(all_of(step->table(3)) == model);
    REQUIRE_FALSE(state->failure().has_value());
  }
}

TEST_CASE("what was put and erased within an epoch leaves no trace") {
  StateMemory memory;
  StateStore state(memory, 1 << 20);
  StateTable& table = state.open("p", "s", "d").value()->table(0);
  REQUIRE(state.load());
  table.put("k", "v");
  table.erase("k");
  CHECK(state.take_changes().empty());
  CHECK(state.memory_bytes() == 0);
}

TEST_CASE("memory stays within its budget where the file has the rest") {
  StateMemory memory;
  StateStore state(memory, 64 * 1024);
  StateTable& table = state.open("p", "s", "d").value()->table(0);
  REQUIRE(state.load());
  for (int i = 0; i < 20'000; ++i) {
    table.put("key-" + std::to_string(i), "a value of some length");
    if (!state.wants_end()) continue;
    const auto changes = state.take_changes();
    memory.commit(changes);
    state.durable(changes.number);
    REQUIRE(state.memory_bytes() < 2 * 64 * 1024);
  }
  CHECK(table.get("key-17") == std::optional<std::string_view>("a value of some length"));
}

TEST_CASE("state under another definition is refused with the way out") {
  StateMemory memory;
  StateStore state(memory, 1 << 20);
  REQUIRE(state.open("p", "s", "sum(a)"));
  const auto refused = state.open("p", "s", "sum(b)");
  REQUIRE(refused.has_error());
  CHECK_THAT(refused.error().message, ContainsSubstring("rivulet state reset p s"));
}
