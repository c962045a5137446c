#include "agent/sink/sinks.h"

#include <unistd.h>

#include <thread>

#include "agent/sink/stdout/stdout_writer.h"
#include "tests/unit/sink/sink_fixture.h"

using namespace rivulet;
using namespace rivulet::sink;

namespace {

const SystemClock kClock;

config::Config config_of(const std::string& pipelines) {
  const auto loaded = config::load_text("agent: {id: g, state: /nowhere}\nsources: {s: {simulate: {}}}\npipelines:\n" + pipelines, "r.yaml");
  for (const auto& problem : loaded.problems) UNSCOPED_INFO(problem.text());
  REQUIRE(loaded.ok());
  return loaded.config;
}

std::unique_ptr<Sinks> open(const std::string& pipelines, Fixture& fixture) {
  auto config = config_of(pipelines);
  for (const auto& pipeline : config.pipelines)
    for (const auto& to : pipeline.to) fixture.stream(pipeline.name, to.topic);
  auto sinks = Sinks::open(config, *fixture.store, kClock).value();
  if (sinks) sinks->start();
  return sinks;
}

Status only(const Sinks& sinks) {
  const auto all = sinks.status();
  REQUIRE(all.size() == 1);
  return all[0];
}

std::string read_all(int fd) {
  std::string all(64 * 1024, '\0');
  const auto count = ::read(fd, all.data(), all.size());
  all.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return all;
}

}  // namespace

TEST_CASE("records go from the store to their files, and the store forgets them") {
  Fixture fixture;
  const auto sinks = open("  p: {from: s, to: [{file: {path: " + fixture.path("a.json") + "}}, {topic: t}]}\n  q: {from: s, to: {file: {path: " + fixture.path("b.json") + "}}}\n", fixture);
  auto a = fixture.stream("p", "file:" + fixture.path("a.json"));
  auto b = fixture.stream("q", "file:" + fixture.path("b.json"));
  auto topic = fixture.stream("p", "t");
  fixture.put(a, 100);
  fixture.put(b, 50);
  fixture.put(topic, 10);
  sinks->wake();
  REQUIRE(eventually([&] { return fixture.content("a.json") == Fixture::lines(1, 100) && fixture.content("b.json") == Fixture::lines(1, 50); }));
  REQUIRE(eventually([&] { return fixture.store->stats().local_records == 0; }));
  CHECK(fixture.store->stats().outbox_records == 10);
  REQUIRE(eventually([&] {
    const auto all = sinks->status();
    return all.size() == 2 && all[0].records == 100 && all[0].backlog == 0 && all[1].records == 50;
  }));
  CHECK(sinks->status()[0].destination == "file:" + fixture.path("a.json"));
  CHECK(sinks->status()[0].pipeline == "p");
}

TEST_CASE("an output that cannot be written is held, is tried again, and leaves the others alone") {
  Fixture fixture;
  const std::string folder = fixture.path("later");
  const auto sinks = open("  p: {from: s, to: {file: {path: " + folder + "/a.json}}}\n  q: {from: s, to: {file: {path: " + fixture.path("b.json") + "}}}\n", fixture);
  auto a = fixture.stream("p", "file:" + folder + "/a.json");
  auto b = fixture.stream("q", "file:" + fixture.path("b.json"));
  fixture.put(a, 20);
  fixture.put(b, 20);
  sinks->wake();
  REQUIRE(eventually([&] { return fixture.content("b.json") == Fixture::lines(1, 20); }));
  REQUIRE(eventually([&] { return fixture.store->stats().held_bytes > 0 && sinks->status()[0].backlog == 20; }));
  const auto held = sinks->status()[0];
  CHECK_THAT(held.trouble, ContainsSubstring("No such file or directory"));
  CHECK(held.backlog == 20);
  CHECK(held.errors > 0);
  CHECK(held.troubled_for_ms > 0);
  std::filesystem::create_directory(folder);
  REQUIRE(eventually([&] { return fixture.content("later/a.json") == Fixture::lines(1, 20); }));
  REQUIRE(eventually([&] { return fixture.store->stats().held_bytes == 0 && sinks->status()[0].trouble.empty(); }));
}

TEST_CASE("records of an output that was removed still go to its file, as it was written last") {
  Fixture fixture;
  const std::string path = fixture.path("out.csv");
  auto stream = fixture.stream("p", "file:" + path);
  {
    const auto sinks = open("  p: {from: s, to: {file: {path: " + path + ", format: csv, columns: [n], separator: ;}}}\n", fixture);
    fixture.put(stream, 2);
    sinks->wake();
    REQUIRE(eventually([&] { return fixture.content("out.csv") == "n\r\n1\r\n2\r\n"; }));
  }
  fixture.put(stream, 2);
  const auto sinks = open("  other: {from: s, to: t}\n", fixture);
  REQUIRE(sinks);
  REQUIRE(eventually([&] { return fixture.content("out.csv") == "n\r\n1\r\n2\r\n3\r\n4\r\n"; }));
}

TEST_CASE("a pipeline that was renamed writes on to its file behind what the old name left") {
  Fixture fixture;
  auto old = fixture.stream("old", "file:" + fixture.path());
  fixture.put(old, 5);
  const auto sinks = open("  new: {from: s, to: {file: {path: " + fixture.path() + "}}}\n", fixture);
  auto renamed = fixture.stream("new", "file:" + fixture.path());
  fixture.put(renamed, 3);
  sinks->wake();
  REQUIRE(eventually([&] { return fixture.content() == Fixture::lines(1, 5) + Fixture::lines(1, 3); }));
  CHECK(only(*sinks).pipeline == "new");
}

TEST_CASE("records for a destination that nobody can reach wait, are held, and say what to do") {
  Fixture fixture;
  auto mqtt = fixture.stream("p", "mqtt://server:1883");
  auto file = fixture.stream("q", "file:" + fixture.path("never.json"));
  fixture.put(mqtt, 3);
  fixture.put(file, 4);
  const auto sinks = open("  other: {from: s, to: t}\n", fixture);
  REQUIRE(sinks);
  REQUIRE(eventually([&] { return fixture.store->stats().held_bytes > 0; }));
  const auto all = sinks->status();
  REQUIRE(all.size() == 2);
  CHECK(all[0].backlog == 3);
  CHECK_THAT(all[0].trouble, ContainsSubstring("at this server"));
  CHECK_THAT(all[1].trouble, ContainsSubstring("give the file output back"));
  CHECK(fixture.store->stats().local_records == 7);
  CHECK_FALSE(std::filesystem::exists(fixture.path("never.json")));
}

TEST_CASE("records that the store dropped are counted as missing, and the others come") {
  Fixture fixture;
  auto stream = fixture.stream("p", "file:" + fixture.path());
  fixture.put(stream, 10);
  store::ForwardChange change;
  change.gaps.push_back({stream.id, 3, 6, "a test", false});
  REQUIRE(fixture.store->change(change));
  CHECK(fixture.store->stats().local_records == 6);
  const auto sinks = open("  p: {from: s, to: {file: {path: " + fixture.path() + "}}}\n", fixture);
  REQUIRE(eventually([&] { return fixture.content() == Fixture::lines(1, 2) + Fixture::lines(7, 10); }));
  REQUIRE(eventually([&] { return only(*sinks).missing == 4 && only(*sinks).backlog == 0; }));
}

TEST_CASE("nothing local is no sink") {
  Fixture fixture;
  CHECK(open("  other: {from: s, to: t}\n", fixture) == nullptr);
}

TEST_CASE("lines on a pipe come whole, and a reader that does not read holds up nobody's end") {
  Fixture fixture;
  auto& stream = fixture.stream("p", "stdout:");
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto make = [&](boost::asio::io_context&, const std::atomic<bool>&) { return std::make_unique<StdoutWriter>(std::map<std::string, config::StdoutOutput>{{"p", {}}}, ends[1]); };
  Worker worker("p", "stdout:", {stream.id}, *fixture.store, kClock, make);
  worker.start();
  fixture.put(stream, 20);
  worker.wake();
  std::string all;
  REQUIRE(eventually([&] {
    all += read_all(ends[0]);
    return all == Fixture::lines(1, 20);
  }));
  fixture.put(stream, std::vector<std::string>(40, "\"" + std::string(5'000, 'x') + "\""));  // more than a pipe holds
  worker.wake();
  REQUIRE(eventually([&] { return worker.status().backlog > 0 || worker.status().records > 20; }));
  const auto begin = std::chrono::steady_clock::now();
  worker.stop();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));  // the pipe is never read again
  CHECK(fixture.store->stats().local_records > 0);
  ::close(ends[0]);
  Worker again("p", "stdout:", {stream.id}, *fixture.store, kClock, make);
  again.start();
  REQUIRE(eventually([&] { return !again.status().trouble.empty(); }));
  CHECK_THAT(again.status().trouble, ContainsSubstring("Broken pipe"));
  ::close(ends[1]);
}
