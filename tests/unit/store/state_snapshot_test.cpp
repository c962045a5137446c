// The state as another process reads it: the table with the log over it, as of one commit.
#include "store/state_snapshot.h"

#include <random>

#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

using Model = std::map<std::string, std::string>;

const auto never = [] { return false; };

Model read(StateSnapshot& snapshot, std::uint32_t table, const std::string& from = {}, const std::string& to = {}) {
  Model found;
  const auto scan = snapshot.scan(table, from, to).value();
  std::string last;
  while (scan->next().value()) {
    REQUIRE((found.empty() || scan->key() > last));
    last = scan->key();
    found.emplace(scan->key(), scan->value());
  }
  return found;
}

Epoch epoch_of(StateChanges state) {
  Epoch epoch;
  epoch.set_state(std::move(state));
  return epoch;
}

StateChanges put(std::uint64_t number, std::uint32_t table, const std::string& key, std::optional<std::string> value) {
  StateChanges changes;
  changes.number = number;
  append_change(changes.body, table, key, value ? std::optional<std::string_view>(*value) : std::nullopt);
  return changes;
}

}  // namespace

TEST_CASE("a snapshot is the table with the log over it, whatever of the log fits in memory") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    Folder folder;
    auto store = open(folder);
    const std::uint32_t table = store->open_state().value()->step("p", "s", "d").value() * kStateParts + 1;
    Model model, in_log;
    for (std::uint64_t number = 1; number <= 12; ++number) {
      StateChanges changes;
      changes.number = number;
      if (number % 5 == 0) {  // the log so far goes into the table
        for (const auto& [key, value] : in_log) append_change(changes.folded, table, key, value == "gone" ? std::nullopt : std::optional<std::string_view>(value));
        changes.folded_up_to = number - 1;
        in_log.clear();
      }
      for (int i = 0; i < 15; ++i) {
        const std::string key = "k" + std::to_string(below(60)), value = std::string(below(40), 'v') + std::to_string(number);
        const bool erased = below(4) == 0;
        append_change(changes.body, table, key, erased ? std::nullopt : std::optional<std::string_view>(value));
        append_change(changes.body, table + 1, key, "of another table");
        in_log[key] = erased ? "gone" : value;
        if (erased) model.erase(key);
        else model[key] = value;
      }
      REQUIRE(commit(*store, epoch_of(std::move(changes))));
    }
    for (const std::size_t overlay_bytes : {std::size_t{1}, std::size_t{1000}, std::size_t{5000}, kOverlayBytes}) {
      const auto snapshot = StateSnapshot::open(folder.path, never, overlay_bytes).value();
      CHECK(snapshot->step("p", "s").value()->definition == "d");
      CHECK(read(*snapshot, table) == model);
      const std::string from = "k" + std::to_string(below(60)), to = "k" + std::to_string(below(60));
      Model expected;
      for (const auto& row : model)
        if (row.first >= from && row.first < to) expected.insert(row);
      if (from <= to) CHECK(read(*snapshot, table, from, to) == expected);
    }
  }
}

TEST_CASE("a snapshot does not see what is committed after it was taken") {
  Folder folder;
  auto store = open(folder);
  const std::uint32_t table = store->open_state().value()->step("p", "s", "d").value() * kStateParts;
  REQUIRE(commit(*store, epoch_of(put(1, table, "a", "1"))));
  const auto before = StateSnapshot::open(folder.path, never).value();
  StateChanges next = put(2, table, "a", "2");
  append_change(next.folded, table, "b", "3");
  next.folded_up_to = 1;
  REQUIRE(commit(*store, epoch_of(std::move(next))));
  CHECK(read(*before, table) == Model{{"a", "1"}});
  CHECK(read(*StateSnapshot::open(folder.path, never).value(), table) == Model{{"a", "2"}, {"b", "3"}});
}

TEST_CASE("a step that has never run is not there, and its table is empty") {
  Folder folder;
  auto store = open(folder);
  const auto snapshot = StateSnapshot::open(folder.path, never).value();
  CHECK_FALSE(snapshot->step("p", "s").value().has_value());
  CHECK(read(*snapshot, 17).empty());
}

TEST_CASE("who holds a snapshot can end the reading of a long log") {
  Folder folder;
  auto store = open(folder);
  REQUIRE(commit(*store, epoch_of(put(1, 17, "a", "1"))));
  const auto snapshot = StateSnapshot::open(folder.path, [] { return true; }).value();
  const auto scan = snapshot->scan(17, {}, {});
  REQUIRE(scan.has_error());
  CHECK(scan.error().code == ErrorCode::unavailable);
}
