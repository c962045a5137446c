// State in the file: one transaction with its epoch, the log, what is folded.
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

StateChanges changes(std::uint64_t number, std::initializer_list<std::pair<const char*, std::optional<std::string>>> rows) {
  StateChanges made;
  made.number = number;
  for (const auto& [key, value] : rows) append_change(made.body, 17, key, value);
  return made;
}

Epoch epoch_of(StateChanges state) {
  Epoch epoch;
  epoch.set_state(std::move(state));
  return epoch;
}

std::string log_of(StateBackend& state) {
  std::string text;
  REQUIRE(state.log([&](std::uint64_t number, std::string_view body) -> result<void> {
    text += std::to_string(number) + ":";
    return read_changes(body, [&](std::uint32_t table, std::string_view key, std::optional<std::string_view> value) {
      text += " " + std::to_string(table) + "/" + std::string(key) + "=" + std::string(value.value_or("gone"));
    });
  }));
  return text;
}

}  // namespace

TEST_CASE("an epoch's state is in the log after a restart, null and empty values apart") {
  Folder folder;
  {
    auto store = open(folder);
    REQUIRE(commit(*store, epoch_of(changes(1, {{"a", "1"}, {"b", ""}}))));
    REQUIRE(commit(*store, epoch_of(changes(2, {{"a", std::nullopt}}))));
  }
  auto store = open(folder);
  const auto state = store->open_state().value();
  CHECK(log_of(*state) == "1: 17/a=1 17/b=2: 17/a=gone");
}

TEST_CASE("folding puts rows where they are found by key and in order, and takes log rows away, in one transaction") {
  Folder folder;
  auto store = open(folder);
  const auto state = store->open_state().value();
  REQUIRE(commit(*store, epoch_of(changes(1, {{"a", "1"}, {"b", "2"}, {"c", "3"}}))));
  CHECK_FALSE(state->get(17, "a").value().has_value());
  StateChanges fold = changes(2, {{"d", "4"}});
  for (const auto& [key, value] : {std::pair("a", "1"), {"b", "2"}, {"c", "3"}}) append_change(fold.folded, 17, key, value);
  fold.folded_up_to = 1;
  REQUIRE(commit(*store, epoch_of(std::move(fold))));
  CHECK(log_of(*state) == "2: 17/d=4");
  CHECK(state->get(17, "b").value() == "2");
  CHECK_FALSE(state->get(18, "b").value().has_value());
  using Rows = std::vector<std::pair<std::string, std::string>>;
  CHECK(state->rows(17, "", "c", 10).value() == Rows{{"a", "1"}, {"b", "2"}});
  CHECK(state->rows(17, "b", "", 1).value() == Rows{{"b", "2"}});
}

TEST_CASE("a step keeps its number, and is refused under another definition") {
  Folder folder;
  std::uint32_t first = 0;
  {
    auto store = open(folder);
    first = store->open_state().value()->step("p", "aggregate", "sum(a)").value();
    CHECK(store->open_state().value()->step("p", "other", "sum(a)").value() != first);
  }
  auto store = open(folder);
  const auto state = store->open_state().value();
  CHECK(state->step("p", "aggregate", "sum(a)").value() == first);
  const auto refused = state->step("p", "aggregate", "sum(b)");
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == ErrorCode::conflict);
  CHECK(state->step("p", "aggregate", "sum(a)").value() == first);
}

TEST_CASE("a row of the log that is damaged is an error") {
  std::size_t seen = 0;
  StateChanges whole = changes(1, {{"a", "1"}, {"b", "2"}});
  for (std::size_t cut = 1; cut < whole.body.size(); ++cut) {
    const auto read = read_changes(std::string_view(whole.body).substr(0, cut), [&](std::uint32_t, std::string_view, std::optional<std::string_view>) { ++seen; });
    if (cut != whole.body.size() / 2) CHECK(read.has_error());  // cut between the two rows it is a shorter body
  }
  CHECK(seen > 0);
}

TEST_CASE("a step's state can be taken away, in the table and in the log, and leaves the others alone") {
  Folder folder;
  auto store = open(folder);
  const auto state = store->open_state().value();
  const std::uint32_t mine = state->step("p", "mine", "d").value() * kStateParts, other = state->step("p", "other", "d").value() * kStateParts;
  StateChanges first;
  first.number = 1;
  append_change(first.body, mine, "a", "1");
  REQUIRE(commit(*store, epoch_of(std::move(first))));
  StateChanges second;
  second.number = 2;
  append_change(second.folded, mine, "a", "1");
  append_change(second.folded, mine + 1, "b", "2");
  append_change(second.folded, other, "c", "3");
  second.folded_up_to = 1;
  append_change(second.body, mine, "a", "4");
  append_change(second.body, mine + 1, "b", "5");
  append_change(second.body, other, "c", "6");
  REQUIRE(commit(*store, epoch_of(std::move(second))));
  CHECK_FALSE(store->forget_state("p", "none", true, [](std::uint32_t, std::string_view) { return true; }).value());
  CHECK(store->forget_state("p", "mine", false, [](std::uint32_t part, std::string_view) { return part == 1; }).value());
  CHECK(log_of(*state) == "2: " + std::to_string(mine) + "/a=4 " + std::to_string(other) + "/c=6");
  CHECK(state->get(mine, "a").value() == "1");
  CHECK_FALSE(state->get(mine + 1, "b").value().has_value());
  CHECK(store->forget_state("p", "mine", true, [](std::uint32_t, std::string_view) { return true; }).value());
  CHECK(log_of(*state) == "2: " + std::to_string(other) + "/c=6");
  CHECK_FALSE(state->get(mine, "a").value().has_value());
  CHECK(state->get(other, "c").value() == "3");
  CHECK(state->step("p", "mine", "another definition").has_value());
}
