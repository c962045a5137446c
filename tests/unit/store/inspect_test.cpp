#include "store/inspect.h"

#include "tests/unit/store/store_fixture.h"

using namespace rivulet;
using namespace rivulet::store;

TEST_CASE("a command sees what the running agent has committed, as it goes on") {
  Folder folder;
  auto store = open(folder);
  const StreamId id = store->stream("machines", "topic").value().id;
  auto inspect = Inspect::open(folder.path).value();
  CHECK(inspect.agent_id().value() == "gateway-1");
  CHECK(inspect.incarnation().value() == store->identity().incarnation);
  CHECK(inspect.streams().value().at(0).last == 0);
  Epoch epoch = records(id, 1, 100);
  epoch.quarantine({"source", "p", "where", "bad", std::nullopt, "x", 5, ""});
  REQUIRE(commit(*store, std::move(epoch)));
  ForwardChange change = acknowledged(id, 60);
  change.facts.emplace_back("prepared", "17");
  REQUIRE(store->change(change));
  const auto streams = inspect.streams().value();
  CHECK(streams.at(0).name == "machines");
  CHECK(streams.at(0).topic == "topic");
  CHECK(streams.at(0).last == 100);
  CHECK(streams.at(0).acknowledged == 60);
  const auto stats = inspect.stats().value();
  CHECK(stats.outbox_records == 40);
  CHECK(stats.outbox_bytes == store->stats().outbox_bytes);
  CHECK(stats.quarantine_records == 1);
  CHECK(inspect.fact("prepared").value() == "17");
  CHECK_FALSE(inspect.fact("other").value().has_value());
  CHECK(inspect.quarantined(0, 10).value().at(0).reason == "bad");
  CHECK(inspect.quarantined(1, 10).value().empty());
}

TEST_CASE("a command sees the store of an agent that is not running, and changes nothing in the folder") {
  Folder folder;
  {
    auto store = open(folder);
    REQUIRE(commit(*store, records(store->stream("s", "t").value().id, 1, 7)));
  }
  {
    auto inspect = Inspect::open(folder.path).value();
    CHECK(inspect.streams().value().at(0).last == 7);
  }
  CHECK(open(folder)->streams().value().at(0).last == 7);
}

TEST_CASE("where there is no store a command says so") {
  Folder folder;
  const auto missing = Inspect::open(folder.path);
  REQUIRE(missing.has_error());
  CHECK(missing.error().code == ErrorCode::not_found);
  CHECK_THAT(missing.error().message, ContainsSubstring("agent.state"));
}
