// The changelog's format, and what the store does with changelogs: they are never dropped, and an empty store is filled from them.
#include "store/changelog.h"

#include <set>

#include "tests/support/seeds.h"
#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

namespace {

ChangelogHeader header() {
  ChangelogHeader header;
  header.complete = false;
  header.incarnation = Uuid{{1, 2, 3}};
  header.own = 9;
  header.records = 4;
  header.last = 1'000'000;
  header.bytes = 77;
  header.streams = {{3, "p", "topic", 500, 20}, {4, "s/undecodable", "bad", 0, 0}};
  return header;
}

}  // namespace

TEST_CASE("a changelog's records are read as they were written") {
  CHECK(decode_header(encode_body(header())) == header());
  const ChangelogCatalogue catalogue{{{"p", "aggregate", "definition \n"}, {"q", "", ""}}, {"s"}};
  CHECK(decode_catalogue(encode_body(catalogue)) == catalogue);
  const std::string bytes = changelog_state_key("gateway", "p", "aggregate", 15, std::string("\0key\xff", 5));
  const auto key = decode_changelog_key(bytes);
  REQUIRE(key);
  CHECK((key->kind == ChangelogKind::state && key->agent == "gateway" && key->pipeline == "p" && key->step == "aggregate" && key->part == 15));
  CHECK(key->key == std::string_view("\0key\xff", 5));
  const std::string position = changelog_position_key("gateway", "s", "");
  CHECK((decode_changelog_key(position)->source == "s" && decode_changelog_key(position)->key.empty()));
  const Generation generation = random_generation();
  const std::string value = changelog_value(generation, "body");
  CHECK((decode_changelog_value(value)->generation == generation && decode_changelog_value(value)->body == "body"));
  CHECK(decode_members(encode_members({1, 300, 32767})) == std::vector<StreamId>{1, 300, 32767});
}

TEST_CASE("keys of different agents, kinds and things never are the same") {
  std::set<std::string> keys{changelog_key("a", ChangelogKind::header), changelog_key("a", ChangelogKind::catalogue), changelog_key("b", ChangelogKind::header),
                             changelog_state_key("a", "p", "s", 0, "k"), changelog_state_key("a", "p", "s", 1, "k"), changelog_state_key("a", "ps", "", 0, "k"),
                             changelog_state_key("a", "p", "sk", 0, ""), changelog_position_key("a", "p", "sk"), changelog_position_key("a", "ps", "k")};
  CHECK(keys.size() == 9);
}

TEST_CASE("damaged, hostile and newer bytes are no changelog records") {
  const std::string whole = encode_body(header());
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(decode_header(whole.substr(0, size)));
  CHECK_FALSE(decode_header(whole + "x"));
  std::string newer = changelog_value({}, "body");
  newer[0] = 2;
  CHECK_FALSE(decode_changelog_value(newer));
  CHECK_FALSE(decode_changelog_key(changelog_state_key("a", "p", "s", 16, "k")));  // no such part
  CHECK_FALSE(decode_changelog_key(""));
  test::each_seed(200, [](std::uint64_t seed) {
    test::Random random(seed);
    std::string bytes;
    for (auto size = random.below(60); size > 0; --size) bytes += static_cast<char>(random.below(256));
    (void)decode_header(bytes);
    (void)decode_catalogue(bytes);
    (void)decode_changelog_key(bytes);
    (void)decode_changelog_value(bytes);
    for (const StreamId id : decode_members(bytes)) CHECK(id > 0);
  });
}

TEST_CASE("drop-oldest leaves a changelog alone and refuses when nothing else is left") {
  Folder folder;
  Options options;
  options.max_bytes = 8ULL << 20;
  options.when_full = WhenFull::drop_oldest;
  options.compression = Compression::none;
  auto store = open(folder, options);
  const StreamId results = store->stream("p", "t").value().id;
  const StreamId changelog = store->stream(changelog_name("c"), "c").value().id;
  const std::string large(30'000, 'x');
  Sequence next = 1;
  for (; store->has_room() && next < 2000; ++next) {
    Epoch epoch;
    epoch.append(changelog, next, "k", large, 1);
    epoch.append(results, next, "k", large, 1);
    REQUIRE(commit(*store, std::move(epoch)));
  }
  CHECK(next < 2000);
  CHECK(store->stats().dropped_records > 0);
  Sequence expected = 1;
  const auto kept = store->read(changelog, 0, SIZE_MAX).value(), dropped = store->read(results, 0, SIZE_MAX).value();
  for (const Pack& pack : kept) {
    CHECK_FALSE(pack.gap);
    CHECK(pack.first == expected);
    expected = pack.last + 1;
  }
  CHECK(expected == next);
  for (const Pack& pack : dropped) CHECK(pack.gap);
}

TEST_CASE("an empty store is filled with state, positions and streams, and goes on from there") {
  Folder folder;
  {
    auto store = open(folder);
    CHECK(store->unused().value());
    Rebuild first;
    first.begin = true;
    StateStep step;
    step.pipeline = "p";
    step.step = "aggregate";
    step.definition = "d";
    first.steps.push_back(step);
    first.rows = {{"p", "aggregate", 1, "k1", "v1"}, {"p", "aggregate", 1, "k2", "v2"}, {"p", "aggregate", 0, "t", "9"}};
    first.positions = {{"s", "at", "7"}, {"s", "gone", "1"}};
    first.facts = {{kRestoringFact, "1"}};
    REQUIRE(store->rebuild(first));
    CHECK(store->unused().value());  // a restore may begin again
    Rebuild last;
    last.rows = {{"p", "aggregate", 1, "k1", std::nullopt}, {"p", "aggregate", 1, "k2", "v3"}};
    last.positions = {{"s", "gone", std::nullopt}};
    last.streams = {{4, "p", "t", 40, 40, 0}};
    last.facts = {{kRestoringFact, std::nullopt}, {"witness", "w"}};
    REQUIRE(store->rebuild(last));
    CHECK_FALSE(store->unused().value());
    CHECK(store->stream("p", "t").value().last == 40);
    CHECK(store->stream("q", "t").value().id == 5);  // ids are not used twice
  }
  auto store = open(folder);
  CHECK(store->positions("s").value() == std::map<std::string, std::string>{{"at", "7"}});
  CHECK(store->fact("witness").value() == "w");
  auto state = store->open_state().value();
  const auto id = state->step("p", "aggregate", "d");
  REQUIRE(id);
  CHECK(state->step("p", "aggregate", "other").has_error());
  CHECK(state->rows(*id * kStateParts + 1, "", "", 10).value() == std::vector<std::pair<std::string, std::string>>{{"k2", "v3"}});
  CHECK(state->get(*id * kStateParts, "t").value() == "9");
  REQUIRE(commit(*store, records(4, 41, 42)));
  CHECK(store->read(4, 40, SIZE_MAX).value()[0].first == 41);
}

TEST_CASE("a restore that begins again leaves nothing of the one before") {
  Folder folder;
  auto store = open(folder);
  Rebuild rebuild;
  rebuild.begin = true;
  StateStep step;
  step.pipeline = step.step = "old";
  rebuild.steps.push_back(step);
  rebuild.rows = {{"old", "old", 0, "k", "v"}};
  rebuild.positions = {{"s", "k", "v"}};
  rebuild.streams = {{1, "p", "t", 3, 3, 0}};
  rebuild.facts = {{kRestoringFact, "1"}};
  REQUIRE(store->rebuild(rebuild));
  Rebuild again;
  again.begin = true;
  REQUIRE(store->rebuild(again));
  CHECK(store->positions("s").value().empty());
  CHECK(store->streams().value().empty());
  auto state = store->open_state().value();
  CHECK(state->step("old", "old", "another definition"));
}
