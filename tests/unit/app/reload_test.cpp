// A Service whose file changes, with sources in the test's hand.
#include <spdlog/spdlog.h>

#include <boost/asio/ip/tcp.hpp>
#include <fstream>

#include "tests/unit/app/reload_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

const std::string kCounts =
    "pipelines:\n  counts:\n    from: a\n    steps: [{aggregate: {window: {tumbling: 10s}, by: \"'k'\", select: {n: \"count(*)\"}, emit: updates}}]\n    to: counts\n";

using Values = std::vector<std::string>;

}  // namespace

TEST_CASE("a reload adds a pipeline, and a source that did not change goes on as it is") {
  ReloadFixture fixture;
  fixture.send("a", R"({"n":1})");
  HandSource* const before = &fixture.source("a");
  const EpochNumber epoch = before->durable_up_to();
  fixture.write(kSources, kCopy + "  more: {from: a, steps: [{set: {m: n + 1}}], to: more}\n");
  const app::ReloadStatus done = fixture.reload();
  CHECK(done.successful);
  CHECK(done.reloads == 1);
  CHECK(&fixture.source("a") == before);
  CHECK(fixture.times_made["a"] == 1);
  CHECK_FALSE(before->stopped);
  fixture.send("a", R"({"n":2})");
  CHECK(before->durable_up_to() > epoch);
  CHECK(std::is_sorted(before->durable.begin(), before->durable.end()));
  CHECK(fixture.stored() == Values{R"(copy {"n":1})", R"(copy {"n":2})", R"(more {"n":2,"m":3})"});
}

TEST_CASE("what a pipeline that a reload takes out has stored stays in the outbox") {
  ReloadFixture fixture(kSources, kCopy + "  more: {from: a, to: more}\n");
  fixture.send("a", R"({"n":1})");
  fixture.write(kSources, kCopy);
  CHECK(fixture.reload().successful);
  fixture.send("a", R"({"n":2})");
  CHECK(fixture.stored() == Values{R"(copy {"n":1})", R"(copy {"n":2})", R"(more {"n":1})"});
  CHECK(fixture.service->look().store.outbox_records == 3);
}

TEST_CASE("an expression that changed counts from the next record on, and sequence numbers go on") {
  ReloadFixture fixture(kSources, "pipelines:\n  p: {from: a, steps: [{set: {m: n + 1}}], to: out}\n");
  fixture.send("a", R"({"n":1})");
  fixture.write(kSources, "pipelines:\n  p: {from: a, steps: [{set: {m: n * 100}}], to: out}\n");
  CHECK(fixture.reload().successful);
  fixture.send("a", R"({"n":2})");
  CHECK(fixture.stored() == Values{R"(p {"n":1,"m":2})", R"(p {"n":2,"m":200})"});
  const auto streams = fixture.service->store().streams();
  REQUIRE(streams);
  REQUIRE(streams->size() == 1);
  CHECK(streams->front().last == 2);
}

TEST_CASE("a source that changed is made anew, after the old one has ended, from the position that is durable") {
  ReloadFixture fixture("sources:\n  a: {stdin: {}}\n  b: {stdin: {}}\n", "pipelines:\n  copy: {from: [a, b], to: out}\n");
  fixture.source("a").intake.set_position("at", "17");
  fixture.send("a", R"({"n":1})");
  source::Intake& old = fixture.source("a").intake;
  HandSource* const before = &fixture.source("a");
  fixture.write("sources:\n  a: {stdin: {max_line: 5KiB}}\n  b: {stdin: {}}\n", "pipelines:\n  copy: {from: [a, b], to: out}\n");
  CHECK(fixture.reload().successful);
  CHECK(fixture.times_made["a"] == 2);
  CHECK(fixture.times_made["b"] == 1);
  CHECK(fixture.source("a").started);
  CHECK(fixture.source("a").intake.positions_at_start().at("at") == "17");
  CHECK(before->stopped);  // it lingers, so that its acknowledgements go out; nothing comes through it any more
  CHECK_FALSE(old.can_accept());
  before->send(R"({"n":666})");
  old.erase_position("at");
  CHECK(old.epoch() > fixture.source("b").intake.epoch());
  fixture.send("a", R"({"n":2})");
  fixture.send("b", R"({"n":3})");
  CHECK(fixture.stored() == Values{R"(copy {"n":1})", R"(copy {"n":2})", R"(copy {"n":3})"});
  CHECK(fixture.service->store().positions("a")->at("at") == "17");
}

TEST_CASE("a source that was held back over a reload is asked to go on") {
  ReloadFixture fixture;
  bool refused = false;
  fixture.source("a").when_durable = [&](EpochNumber) { refused = refused || !fixture.source("a").intake.can_accept(); };
  fixture.source("a").send(R"({"n":1})");
  fixture.write(kSources, kCopy + "  more: {from: a, to: more}\n");
  fixture.service->reload();  // sources are paused at once, for the epoch that fills
  CHECK_FALSE(fixture.source("a").intake.can_accept());
  REQUIRE(fixture.until([&] { return fixture.source("a").room > 0; }));
  CHECK(refused);
  CHECK(fixture.service->look().reload.reloads == 1);
  CHECK(fixture.source("a").intake.can_accept());
}

TEST_CASE("a position that changes while a reload waits for the last epoch is not lost") {
  ReloadFixture fixture;
  int changes = 0;
  fixture.source("a").when_durable = [&](EpochNumber) {
    if (++changes <= 3) fixture.source("a").intake.set_position("change", std::to_string(changes));
  };
  fixture.source("a").send(R"({"n":1})");
  fixture.write(kSources, kCopy + "  more: {from: a, to: more}\n");
  CHECK(fixture.reload().successful);
  REQUIRE(fixture.until([&] { return fixture.service->store().positions("a")->count("change") == 1 && fixture.service->store().positions("a")->at("change") == "3"; }));
}

TEST_CASE("an invalid configuration is refused as a whole, with its places, until the next good one") {
  ReloadFixture fixture;
  const std::int64_t taken_ms = fixture.service->look().reload.taken_ms;
  fixture.write(kSources, kCopy + "  more: {from: a, steps: [{wher: n}], to: more}\n  third: {from: nobody, to: t}\n");
  const app::ReloadStatus refused = fixture.reload();
  CHECK_FALSE(refused.successful);
  CHECK(refused.problem.find("rivulet.yaml:6:") != std::string::npos);
  CHECK(refused.problem.find("1 more") != std::string::npos);
  CHECK(refused.taken_ms == taken_ms);
  CHECK(refused.refused_ms > 0);
  fixture.send("a", R"({"n":1})");
  app::Snapshot now = fixture.service->look();
  CHECK(now.pipelines.size() == 1);
  CHECK(app::status_text(now).find(refused.problem) != std::string::npos);
  CHECK(app::metrics_text(now).find("rivulet_config_last_reload_successful 0\n") != std::string::npos);
  CHECK(app::status_json(now).find("\"last_reload_successful\":false") != std::string::npos);
  CHECK(app::health_problems(now).empty());  // it works, by the configuration before

  fixture.write(kSources, kCopy);
  CHECK(fixture.reload().successful);
  now = fixture.service->look();
  CHECK(now.reload.problem.empty());
  CHECK(app::metrics_text(now).find("rivulet_config_last_reload_successful 1\n") != std::string::npos);
  CHECK(fixture.stored() == Values{R"(copy {"n":1})"});
}

TEST_CASE("a file that is no YAML, or gone, is refused") {
  ReloadFixture fixture;
  overwrite(fixture.file(), "agent: [\n");
  CHECK_FALSE(fixture.reload().successful);
  std::filesystem::remove(fixture.file());
  CHECK_FALSE(fixture.reload().successful);
  fixture.send("a", R"({"n":1})");
}

TEST_CASE("what is read at the start only is named, and nothing of the rest is taken") {
  ReloadFixture fixture;
  const std::string state = fixture.folder / "state";
  fixture.write_agent("id: other, state: " + state + ", commit_interval: 30ms");
  CHECK(fixture.reload().problem.find("needs a restart: agent.id (") != std::string::npos);
  fixture.write_agent("id: other, state: " + state + "-2");
  CHECK(fixture.reload().problem.find("needs a restart: agent.id, agent.state (") != std::string::npos);
  fixture.send("a", R"({"n":1})");
}

TEST_CASE("a window goes on over a reload that leaves its step as it was") {
  ReloadFixture fixture(kSources, kCounts);
  fixture.send("a", R"({"n":1})");
  fixture.write(kSources, kCounts + "  more: {from: a, to: more}\n");
  CHECK(fixture.reload().successful);
  fixture.send("a", R"({"n":2})");
  const Values stored = fixture.stored();
  REQUIRE(stored.size() == 3);
  CHECK(stored[0].find(R"("n":1)") != std::string::npos);
  CHECK((stored[1].find(R"("n":2)") != std::string::npos || stored[1].find("window_start") != std::string::npos));  // the windows may have changed meanwhile
}

TEST_CASE("a window whose definition changed is refused before a source is held back") {
  ReloadFixture fixture(kSources, kCounts);
  fixture.send("a", R"({"n":1})");
  std::string changed = kCounts;
  changed.replace(changed.find("10s"), 3, "20s");
  fixture.write(kSources, changed + "  more: {from: a, to: more}\n");
  fixture.service->reload();
  CHECK(fixture.source("a").intake.can_accept());
  const app::ReloadStatus refused = fixture.service->look().reload;
  CHECK(refused.under_way.empty());
  CHECK_FALSE(refused.successful);
  CHECK(refused.problem.find("counts") != std::string::npos);
  CHECK(refused.problem.find("rivulet state") != std::string::npos);
  fixture.send("a", R"({"n":2})");
  CHECK(fixture.service->look().pipelines.size() == 1);
}

TEST_CASE("a source that cannot be made leaves the configuration before at work") {
  ReloadFixture fixture;
  fixture.send("a", R"({"n":1})");
  fixture.write("sources:\n  a: {stdin: {}}\n  broken: {stdin: {}}\n", "pipelines:\n  copy: {from: [a, broken], to: out}\n");
  const app::ReloadStatus refused = fixture.reload();
  CHECK_FALSE(refused.successful);
  CHECK(refused.problem == "no such device");
  CHECK(fixture.times_made["a"] == 1);
  fixture.send("a", R"({"n":2})");
  fixture.write(kSources, kCopy + "  more: {from: a, to: more}\n");
  CHECK(fixture.reload().successful);
  fixture.send("a", R"({"n":3})");
  CHECK(fixture.stored() == Values{R"(copy {"n":1})", R"(copy {"n":2})", R"(copy {"n":3})", R"(more {"n":3})"});
}

TEST_CASE("counters go on over a reload, also those of a source that was made anew") {
  ReloadFixture fixture("sources:\n  a: {stdin: {}}\n  b: {stdin: {}}\n", "pipelines:\n  copy: {from: [a, b], to: out}\n");
  for (const char* name : {"a", "b"}) fixture.send(name, R"({"n":1})");
  fixture.source("a").intake.count("dropped", 7);
  const app::Snapshot before = fixture.service->look();
  fixture.write("sources:\n  a: {stdin: {max_line: 5KiB}}\n  b: {stdin: {}}\n", "pipelines:\n  copy: {from: [a, b], steps: [{set: {m: 1}}], to: out}\n");
  CHECK(fixture.reload().successful);
  for (const char* name : {"a", "b"}) fixture.send(name, R"({"n":2})");
  const app::Snapshot after = fixture.service->look();
  REQUIRE(after.sources.size() == 2);
  CHECK(after.sources[0].records == 2);
  CHECK(after.sources[0].events.at("dropped") == 7);
  CHECK(after.sources[1].records == 2);
  CHECK(after.pipelines[0].counts.in == 4);
  CHECK(after.totals.in == before.totals.in + 2);
  CHECK(after.epochs > before.epochs);
  CHECK(after.stored == 4);
}

TEST_CASE("what a step left out is counted on over reloads, by pipeline and step") {
  const auto pipelines = [](int m) { return "pipelines:\n  copy: {from: a, steps: [{sample: {every: 3, scope: all}}, {set: {m: " + std::to_string(m) + "}}], to: out}\n"; };
  ReloadFixture fixture(kSources, pipelines(0));
  for (int m = 1; m <= 2; ++m) {
    for (int i = 0; i < 3; ++i) fixture.send("a", R"({"k":1})");
    fixture.write(kSources, pipelines(m));
    CHECK(fixture.reload().successful);
  }
  const app::Snapshot now = fixture.service->look();
  REQUIRE(now.steps.size() == 1);
  CHECK(now.steps[0].dropped == now.totals.dropped);
  CHECK(app::metrics_text(now).find("rivulet_step_dropped_total{pipeline=\"copy\",step=\"sample\"} 4\n") != std::string::npos);
}

TEST_CASE("reloads that come while one is under way become one more") {
  ReloadFixture fixture;
  fixture.source("a").send(R"({"n":1})");
  for (int i = 0; i < 5; ++i) fixture.service->reload();
  REQUIRE(fixture.until([&] { return fixture.service->look().reload.reloads == 2; }));
  run_ready(fixture.service->io());
  fixture.send("a", R"({"n":2})");
  CHECK(fixture.service->look().reload.reloads == 2);
  CHECK(fixture.stored() == Values{R"(copy {"n":1})", R"(copy {"n":2})"});
}

TEST_CASE("an agent that is told to stop during a reload stops") {
  ReloadFixture fixture;
  const EpochNumber epoch = fixture.source("a").send(R"({"n":1})");
  fixture.write(kSources, kCopy + "  more: {from: a, to: more}\n");
  fixture.service->reload();
  fixture.service->stop("the test");
  CHECK(fixture.source("a").stopped);
  REQUIRE(fixture.until([&] { return fixture.service->io().stopped() || fixture.source("a").durable_up_to() >= epoch; }));
  CHECK(fixture.service->look().reload.reloads == 0);
  fixture.service->reload();  // refused without a word to systemd
  CHECK(fixture.service->look().reload.under_way.empty());
  CHECK(fixture.stored() == Values{R"(copy {"n":1})"});
}

TEST_CASE("a lookup table that is new is loaded before the change over") {
  ReloadFixture fixture;
  const std::string joined = "pipelines:\n  copy: {from: a, steps: [{key: k}, {join: {with: sites, kind: left, select: {n: left.n, site: right.site}}}], to: out}\n";
  fixture.write(kSources, joined, "tables:\n  sites: {file: {path: " + (fixture.folder / "sites.csv") + ", key: k}}\n");
  fixture.service->reload();
  fixture.send("a", R"({"n":1,"k":"x"})");  // the table is not there: the configuration before goes on
  CHECK(fixture.service->look().reload.under_way.find("sites") != std::string::npos);
  overwrite(fixture.folder / "sites.csv", "k,site\nx,north\n");
  REQUIRE(fixture.until([&] { return fixture.service->look().reload.reloads == 1; }));
  fixture.send("a", R"({"n":2,"k":"x"})");
  CHECK(fixture.stored() == Values{R"(copy {"n":1,"k":"x"})", R"(copy {"n":2,"site":"north"})"});
}

TEST_CASE("the log level and the limits are those of the file that was read last") {
  ReloadFixture fixture;
  const std::uint64_t limit = fixture.service->look().store.outbox_max_bytes;
  const auto level = spdlog::default_logger()->level();
  overwrite(fixture.file(), "agent: {id: test, state: " + (fixture.folder / "state") + ", commit_interval: 1m, memory: 8MiB, storage: {max: 128MiB}}\nlog: {level: warning}\n" + kSources + kCopy);
  CHECK(fixture.reload().successful);
  CHECK(spdlog::default_logger()->level() == spdlog::level::warn);
  CHECK(fixture.service->look().store.outbox_max_bytes > limit);
  fixture.source("a").send(R"({"n":1})");
  run_ready(fixture.service->io());
  CHECK(fixture.service->look().epochs == 0);  // an hour has not passed
  fixture.source("a").intake.commit_soon();
  REQUIRE(fixture.until([&] { return fixture.service->look().epochs == 1; }));
  spdlog::default_logger()->set_level(level);
}

TEST_CASE("a status listener that cannot be had is refused, another one takes the old one's place") {
  ReloadFixture fixture(kSources, kCopy + "status: {listen: \"127.0.0.1:0\"}\n");
  const std::string first = fixture.service->status_address();
  CHECK_FALSE(first.empty());
  fixture.write(kSources, kCopy + "status: {listen: \"" + first + "\"}\n");
  CHECK_FALSE(fixture.reload().successful);
  CHECK(fixture.service->status_address() == first);
  fixture.write(kSources, kCopy + "status: {listen: \"unix:" + (fixture.folder / "s.sock") + "\"}\n");
  CHECK(fixture.reload().successful);
  CHECK(fixture.service->status_address() != first);
  fixture.write(kSources, kCopy);
  CHECK(fixture.reload().successful);
  CHECK(fixture.service->status_address().empty());
}

TEST_CASE("a status listener whose address was taken at the start is there when it is free") {
  boost::asio::io_context other;
  auto taken = std::make_unique<boost::asio::ip::tcp::acceptor>(other, boost::asio::ip::tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  ReloadFixture fixture(kSources, kCopy + "status: {listen: \"127.0.0.1:" + std::to_string(taken->local_endpoint().port()) + "\"}\n");
  CHECK(fixture.service->status_address().empty());
  taken.reset();
  CHECK(fixture.until([&] { return !fixture.service->status_address().empty(); }));
}
