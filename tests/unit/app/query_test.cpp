// rivulet query: the state of stateful steps as tables of SQL, beside a running agent.
#include "agent/pipeline/query/query.h"

#include <unistd.h>

#include <future>

#include "agent/app/query_output.h"
#include "agent/pipeline/stateful/operator.h"
#include "store/inspect.h"
#include "tests/unit/app/agent_fixture.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

// Rows as text: columns by a bar, rows one by one.
class Collected final : public pipeline::QueryRows {
 public:
  std::vector<std::string> names, lines;
  std::function<void()> at_row;
  result<void> columns(const std::vector<std::string>& given) override {
    names = given;
    lines.clear();
    return {};
  }
  result<void> row(const std::vector<pipeline::QueryValue>& values) override {
    std::string line;
    for (const auto& value : values) {
      if (!line.empty()) line += '|';
      if (const auto* integer = std::get_if<std::int64_t>(&value)) line += std::to_string(*integer);
      else if (const auto* text = std::get_if<std::string_view>(&value)) line += *text;
      else if (const auto* real = std::get_if<double>(&value)) line += std::to_string(*real).substr(0, 4);
      else line += "null";
    }
    lines.push_back(line);
    if (at_row) at_row();
    return {};
  }
};

std::string one_step(const std::string& step) {
  return "pipelines:\n  p: {from: [a, b], steps: [{timestamp: ts}, {key: k}, " + step + "], to: out}\n";
}
std::string record(std::int64_t ts, const std::string& key, int v = 1) { return "{\"ts\":" + std::to_string(ts) + ",\"k\":\"" + key + "\",\"v\":" + std::to_string(v) + "}"; }

struct Queried : AgentFixture {
  Queried(const Folder& folder, const std::string& step) : AgentFixture(folder.path(), 5, one_step(step)) {}
  void take(const std::vector<std::string>& records) {
    EpochNumber epoch = 0;
    for (const std::string& each : records) epoch = a().send(each);
    REQUIRE(until([&] { return a().durable_up_to() >= epoch; }));
  }
  result<void> ask(const std::string& sql, pipeline::QueryRows& rows, const Clock& time = SystemClock()) {
    const auto topology = topology_of(config, clock);
    return pipeline::query(*topology, config.agent.state, time, {}, sql, rows);
  }
  std::vector<std::string> rows(const std::string& sql) {
    Collected found;
    if (auto done = ask(sql, found); !done) FAIL(done.error().message);
    return found.lines;
  }
  std::string refused(const std::string& sql) {
    Collected found;
    auto done = ask(sql, found);
    REQUIRE(done.has_error());
    return done.error().message;
  }
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("an aggregate without windows is a row a key, with what it selects as it would emit it now") {
  Folder folder;
  Queried agent(folder, "{aggregate: {select: {n: count(*), mean: \"round(avg(v) + 0.25, 2)\", all: collect(v), big: max(v) > 5, key: key}, having: n < 4}}");
  agent.take({record(10, "x", 1), record(30, "y", 7), record(20, "x", 2), record(1, "z"), record(1, "z"), record(1, "z"), record(1, "z")});
  Collected found;
  REQUIRE(agent.ask("SELECT * FROM p ORDER BY key", found));
  CHECK(found.names == Lines{"key", "n", "mean", "all", "big", "key_2", "ts"});
  CHECK(found.lines == Lines{"x|2|1.75|[1,2]|0|x|20", "y|1|7.25|[7]|1|y|30"});  // having refuses z
  CHECK(agent.rows("SELECT n FROM \"p.aggregate\" WHERE key = 'y'") == Lines{"1"});
  CHECK(agent.rows("SELECT n FROM P WHERE key = 7").empty());
  CHECK(agent.rows("SELECT sum(value) FROM p, json_each(p.\"all\")") == Lines{"10"});
}

TEST_CASE("windows have their bounds as in the results, of each kind") {
  const auto asked = [](const std::string& window, const Lines& records) {
    Folder folder;
    Queried agent(folder, "{aggregate: {window: {" + window + ", grace: 1s}, select: {n: count(*)}}}");
    agent.take(records);
    const Lines of_a = agent.rows("SELECT key, window_start, window_end, n, ts FROM p WHERE key = 'a' ORDER BY 1, 2, 3");
    Lines all = agent.rows("SELECT key, window_start, window_end, n, ts FROM p ORDER BY 1, 2, 3");
    for (const std::string& line : of_a) CHECK(std::find(all.begin(), all.end(), line) != all.end());
    CHECK(static_cast<std::ptrdiff_t>(of_a.size()) == std::count_if(all.begin(), all.end(), [](const std::string& line) { return line.rfind("a|", 0) == 0; }));
    return all;
  };
  const Lines records{record(1, "a"), record(2, "aa"), record(12, "a"), record(13, "a")};
  CHECK(asked("tumbling: 10ms", records) == Lines{"a|0|10|1|1", "a|10|20|2|13", "aa|0|10|1|2"});
  CHECK(asked("hopping: {size: 10ms, advance: 5ms}", records) == Lines{"a|0|10|1|1", "a|5|15|2|13", "a|10|20|2|13", "aa|0|10|1|2"});
  CHECK(asked("sliding: 3ms", records) == Lines{"a|0|3|1|1", "a|9|12|1|12", "a|10|13|2|13", "a|13|16|1|13", "aa|0|3|1|2"});
  CHECK(asked("session: 5ms", records) == Lines{"a|1|1|1|1", "a|12|13|2|13", "aa|2|2|1|2"});
}

TEST_CASE("what suppress holds back can be seen") {
  Folder folder;
  Queried agent(folder, "{aggregate: {window: {tumbling: 10ms, grace: 1s}, select: {n: count(*)}}}, {suppress: {limit: 1h}}");
  agent.take({record(1, "a"), record(2, "a")});
  CHECK(agent.rows("SELECT key, window_start, window_end, value ->> 'n', ts FROM \"p.suppress\"") == Lines{"a|0|10|2|2"});
  CHECK_THAT(agent.refused("SELECT * FROM p"), ContainsSubstring("no such table: p; there are \"p.aggregate\", \"p.suppress\""));
}

TEST_CASE("a table step is a row a key, and with history a row a version with the time in which it was valid") {
  Folder folder;
  Queried agent(folder, "{table: {}}");
  agent.take({record(10, "t", 1), record(30, "k1", 7), record(20, "t", 2), record(5, "t0", 3)});
  Collected found;
  REQUIRE(agent.ask("SELECT * FROM p ORDER BY key", found));
  CHECK(found.names == Lines{"key", "value", "ts"});
  CHECK(found.lines == Lines{"k1|{\"ts\":30,\"k\":\"k1\",\"v\":7}|30", "t|{\"ts\":20,\"k\":\"t\",\"v\":2}|20", "t0|{\"ts\":5,\"k\":\"t0\",\"v\":3}|5"});
  CHECK(agent.rows("SELECT value ->> 'v' FROM \"p.table\" WHERE key = 't'") == Lines{"2"});

  Folder other;
  Queried versions(other, "{table: {history: 1h}}");
  versions.take({record(10, "a", 1), record(30, "b", 7), record(20, "a", 2), record(15, "a", 3)});
  REQUIRE(versions.ask("SELECT key, window_start, window_end, value ->> 'v', ts FROM p ORDER BY 1, 2", found));
  CHECK(found.lines == Lines{"a|10|15|1|10", "a|15|20|3|15", "a|20|9223372036854775807|2|20", "b|30|9223372036854775807|7|30"});
  CHECK(versions.rows("SELECT value ->> 'v' FROM p WHERE key = 'a' AND 17 >= window_start AND 17 < window_end") == Lines{"3"});
}

TEST_CASE("a query sees one commit while the agent goes on, and the next query the next") {
  Folder folder;
  Queried agent(folder, "{aggregate: {select: {n: count(*)}}}");
  agent.take({record(1, "a"), record(1, "b"), record(1, "c")});
  Collected found;
  bool once = false;
  found.at_row = [&] {
    if (!std::exchange(once, true)) agent.take({record(2, "a"), record(2, "b"), record(2, "c"), record(2, "d")});
  };
  REQUIRE(agent.ask("SELECT key, n FROM p UNION ALL SELECT key, n FROM \"p.aggregate\"", found));
  CHECK(found.lines == Lines{"a|1", "b|1", "c|1", "a|1", "b|1", "c|1"});
  CHECK(agent.rows("SELECT key, n FROM p") == Lines{"a|2", "b|2", "c|2", "d|1"});
}

TEST_CASE("with many keys and little memory a query sees them all, in the table and in the log", "[deadline]") {
  Folder folder;
  Queried agent(folder, "{aggregate: {select: {n: count(*)}}}");
  for (int epoch = 0; epoch < 24; ++epoch) {
    Lines records;
    for (int i = epoch * 5000; i < epoch * 5000 + 5000; ++i) records.push_back(record(i, "machine-" + std::to_string(i)));
    agent.take(records);
  }
  agent.take({record(1, "machine-7")});
  const auto folded = store::Inspect::open(folder.path()).value().state().value();
  REQUIRE(folded.size() == 1);
  CHECK((folded[0].rows > 0 && folded[0].rows < 120'000));  // the rest is in the log
  CHECK(agent.rows("SELECT count(*), sum(n) FROM p") == Lines{"120000|120001"});
  CHECK(agent.rows("SELECT n FROM p WHERE key = 'machine-7'") == Lines{"2"});
  CHECK(agent.rows("SELECT count(*) FROM p AS l JOIN p AS r ON l.key = r.key WHERE l.key LIKE 'machine-77%'") == Lines{"1111"});
}

TEST_CASE("a query changes nothing and reads nothing else") {
  Folder folder;
  Queried agent(folder, "{aggregate: {select: {n: count(*)}}}");
  for (const std::string sql : {"DELETE FROM p", "INSERT INTO p VALUES(1, 2, 3)", "CREATE TABLE t(a)", "PRAGMA user_version = 1", "ATTACH '/tmp/x' AS x", "UPDATE sqlite_master SET name = 'x'",
                                "BEGIN", "VACUUM INTO '/tmp/x'", "SELECT load_extension('x')", "SELECT * FROM pragma_database_list"}) {
    INFO(sql);
    CHECK_THAT(agent.refused(sql), ContainsSubstring("query: "));
  }
  CHECK_THAT(agent.refused("SELECT 1; SELECT 2"), ContainsSubstring("one SELECT"));
  CHECK_THAT(agent.refused("SELECT nothere FROM p"), ContainsSubstring("no such column: nothere"));
  CHECK_THAT(agent.refused("-- nothing"), ContainsSubstring("expected a SELECT"));
  CHECK(agent.rows("SELECT 1; -- and no more") == Lines{"1"});
}

TEST_CASE("state of another definition is refused with the way out") {
  Folder folder;
  Queried agent(folder, "{aggregate: {select: {n: count(*)}}}");
  agent.take({record(1, "a")});
  agent.config = config_of(folder.path(), "", one_step("{aggregate: {select: {n: sum(v)}}}"));
  CHECK_THAT(agent.refused("SELECT * FROM p"), ContainsSubstring("rivulet state reset p aggregate"));
  agent.config = config_of(folder.path(), "", one_step("{aggregate: {name: other, select: {n: sum(v)}}}"));
  CHECK(agent.rows("SELECT * FROM p").empty());  // it has not run yet
}

TEST_CASE("a query that takes longer than it may is ended and says what to do") {
  Folder folder;
  Queried agent(folder, "{aggregate: {select: {n: count(*)}}}");
  class Hurrying final : public Clock {  // each look at the clock is a second
   public:
    std::int64_t wall_ms() const override { return 0; }
    std::int64_t steady_ms() const override { return now_ms_ += 1000; }

   private:
    mutable std::int64_t now_ms_ = 0;
  };
  Collected found;
  const auto done = agent.ask("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c", found, Hurrying());
  REQUIRE(done.has_error());
  CHECK(done.error().code == ErrorCode::unavailable);
  CHECK_THAT(done.error().message, ContainsSubstring("5 s"));
}

TEST_CASE("where SQL cannot tell two names apart neither step has the name") {
  const auto config = config_of("/tmp", "", "pipelines:\n"
                                            "  P: {from: a, steps: [{key: k}, {aggregate: {select: {n: count(*)}}}], to: o1}\n"
                                            "  p: {from: a, steps: [{key: k}, {aggregate: {name: mine, select: {n: count(*)}}}], to: o2}\n"
                                            "  q.x: {from: b, steps: [{key: k}, {aggregate: {name: y, select: {n: count(*)}}}], to: o3}\n"
                                            "  q: {from: b, steps: [{key: k}, {aggregate: {name: x.y, select: {n: count(*)}}}], to: o4}\n");
  const SystemClock clock;
  std::vector<std::string> clashes;
  const auto topology = topology_of(config, clock);
  const auto tables = pipeline::query_tables(*topology, clashes);
  REQUIRE(tables.size() == 4);
  CHECK(tables[0].names == Lines{"P.aggregate"});
  CHECK(tables[1].names == Lines{"p.mine"});
  CHECK(tables[2].names == Lines{"q.x"});
  CHECK(tables[3].names == Lines{"q"});
}

TEST_CASE("rows are written as aligned text, JSON and CSV") {
  const auto written = [](app::QueryFormat format, bool rows) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const SystemClock clock;
    app::QueryOutput output(format, ends[1], clock, 5000);
    REQUIRE(output.columns({"key", "n"}));
    if (rows) {
      REQUIRE(output.row({std::string_view("d,\"\x1b\xC3\xA9"), std::int64_t{12}}));
      REQUIRE(output.row({std::string_view("long key"), 1.5}));
      REQUIRE(output.row({std::monostate{}, pipeline::Blob{"ab"}}));
    }
    REQUIRE(output.finish());
    ::close(ends[1]);
    std::string text(1000, '\0');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(ends[0], text.data(), text.size()))));
    ::close(ends[0]);
    return text;
  };
  CHECK(written(app::QueryFormat::text, true) == "key       n\n--------  ----\nd,\"\\x1b\xC3\xA9  12\nlong key  1.5\nnull      6162\n");
  CHECK(written(app::QueryFormat::text, false) == "key  n\n---  -\n");
  CHECK(written(app::QueryFormat::json, true) == "{\"key\":\"d,\\\"\\u001b\xC3\xA9\",\"n\":12}\n{\"key\":\"long key\",\"n\":1.5}\n{\"key\":null,\"n\":\"6162\"}\n");
  CHECK(written(app::QueryFormat::csv, true) == "key,n\r\n\"d,\"\"\x1b\xC3\xA9\",12\r\nlong key,1.5\r\n,6162\r\n");
}

TEST_CASE("an output that nobody takes ends the query in time") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const SystemClock clock;
  app::QueryOutput output(app::QueryFormat::json, ends[1], clock, 50);
  REQUIRE(output.columns({"value"}));
  const std::string value(100'000, 'x');
  result<void> done;
  for (int i = 0; done && i < 20; ++i) done = output.row({std::string_view(value)});
  REQUIRE(done.has_error());
  CHECK_THAT(done.error().message, ContainsSubstring("was not taken in time"));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("steps that thin out show what they remember") {
  {
    Folder folder;
    Queried agent(folder, "{deadband: {field: v, absolute: 5, max_silence: 1s}}");
    agent.take({record(10, "x", 1), record(20, "x", 2), record(21, "y", 7)});
    CHECK(agent.rows("SELECT key, last, held, ts FROM p ORDER BY key") == Lines{"x|1|{\"ts\":20,\"k\":\"x\",\"v\":2}|10", "y|7|null|21"});
    CHECK(agent.rows("SELECT last FROM p WHERE key = 'y'") == Lines{"7"});
  }
  {
    Folder folder;
    Queried agent(folder, "{rate_limit: {max: 2, per: 10ms, excess: thin}}");
    agent.take({record(10, "x", 1), record(12, "x", 2), record(13, "y", 7)});
    CHECK(agent.rows("SELECT key, window_start, window_end, passed, held FROM p ORDER BY key") == Lines{"x|10|20|1|{\"ts\":12,\"k\":\"x\",\"v\":2}", "y|10|20|1|null"});
  }
  {
    Folder folder;
    Queried agent(folder, "{dedupe: {by: v, within: 1s}}");
    agent.take({record(20, "x", 1), record(10, "y", 2), record(20, "y", 1)});
    CHECK(agent.rows("SELECT key, stream_time, ts FROM p ORDER BY key") == Lines{"1|20|20", "2|20|10"});
    CHECK(agent.rows("SELECT ts FROM p WHERE key = '2'") == Lines{"10"});
  }
  {
    Folder folder;
    Queried agent(folder, "{sample: {every: 3}}");
    agent.take({record(20, "x", 1), record(10, "x", 2), record(20, "y", 1)});
    CHECK(agent.rows("SELECT key, count FROM p ORDER BY key") == Lines{"x|2", "y|1"});
  }
}

TEST_CASE("what waits for Kafka and what could not go on are tables, as of the same commit") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, "pipelines:\n  p: {from: [a], steps: [{timestamp: ts}, {key: k}, {set: {w: 'json_extract(v, ''$.x'')'}}], to: out}\n  q: {from: a, steps: [{key: k}, {timestamp: ts}], to: other}\n");
  EpochNumber epoch = 0;
  for (const char* payload : {R"({"ts":10,"k":"x","v":"{}"})", R"({"ts":20,"k":"y","v":"no json"})", "broken", R"({"ts":30,"k":"z","v":"{}"})"}) epoch = agent.a().send(payload);
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  const auto topology = topology_of(agent.config, agent.clock);
  const auto ask = [&](const std::string& sql) {
    Collected found;
    if (auto done = pipeline::query(*topology, agent.config.agent.state, SystemClock(), {}, sql, found); !done) FAIL(done.error().message);
    return found.lines;
  };
  CHECK(ask("SELECT stream, topic, seq, key, ts, window_start, gap FROM outbox WHERE stream = 'q' ORDER BY seq") == Lines{"q|other|1|x|10|null|null", "q|other|2|y|20|null|null", "q|other|3|z|30|null|null"});
  CHECK(ask("SELECT count(*), min(seq), max(seq) FROM \"store.outbox\" WHERE stream = 'p'") == Lines{"2|1|2"});
  CHECK(ask("SELECT value ->> 'k' FROM outbox WHERE stream = 'p' AND seq = 2") == Lines{"z"});
  CHECK(ask("SELECT count(*) FROM outbox WHERE stream = 'none'") == Lines{"0"});
  CHECK(ask("SELECT id, source, pipeline, step, topic, key, value FROM quarantine ORDER BY id").size() == 2);
  CHECK(ask("SELECT value FROM quarantine WHERE step = 'decode'") == Lines{"broken"});
  CHECK(ask("SELECT pipeline, step FROM quarantine WHERE pipeline <> ''") == Lines{"p|set"});

  store::StreamInfo stream;
  for (const auto& each : *agent.store->streams())
    if (each.name == "q") stream = each;
  store::ForwardChange change;
  change.acknowledged = {{stream.id, 1}};
  change.gaps = {{stream.id, 2, 2, "on purpose", false}};
  REQUIRE(agent.store->change(change));
  CHECK(ask("SELECT seq, key, gap FROM outbox WHERE stream = 'q' ORDER BY seq") == Lines{"2|null|1 records: on purpose", "3|z|null"});
}

TEST_CASE("bytes of the outbox that are no text are a blob, and two of them are told apart") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, "pipelines:\n  p: {from: a, steps: [{key: k}], to: out}\n");
  store::StreamInfo stream;
  for (const auto& each : *agent.store->streams())
    if (each.topic == "out") stream = each;
  store::Epoch epoch;
  epoch.append(stream.id, stream.last + 1, "\xB0", "\xFF\x00", 1);
  epoch.append(stream.id, stream.last + 2, "\xB1", "text", 2);
  epoch.append(stream.id, stream.last + 3, "", std::nullopt, 3);
  std::promise<result<void>> durable;
  agent.store->commit(std::move(epoch), [&](result<void> outcome) { durable.set_value(outcome); });
  REQUIRE(durable.get_future().get());
  const auto topology = topology_of(agent.config, agent.clock);
  Collected found;
  REQUIRE(pipeline::query(*topology, agent.config.agent.state, SystemClock(), {}, "SELECT hex(key), typeof(key), typeof(value) FROM outbox ORDER BY seq", found));
  CHECK(found.lines == Lines{"B0|blob|blob", "B1|blob|text", "text|null"});
}

TEST_CASE("a step that is called outbox keeps its name, and the outbox has another") {
  Folder folder;
  AgentFixture agent(folder.path(), 5, "pipelines:\n  outbox: {from: a, steps: [{key: k}, {aggregate: {select: {n: count(*)}}}], to: out}\n");
  const EpochNumber epoch = agent.a().send(R"({"k":"x"})");
  REQUIRE(agent.until([&] { return agent.a().durable_up_to() >= epoch; }));
  const auto topology = topology_of(agent.config, agent.clock);
  Collected found;
  REQUIRE(pipeline::query(*topology, agent.config.agent.state, SystemClock(), {}, "SELECT n FROM outbox", found));
  CHECK(found.lines == Lines{"1"});
  REQUIRE(pipeline::query(*topology, agent.config.agent.state, SystemClock(), {}, "SELECT stream FROM \"store.outbox\"", found));
  CHECK(found.lines == Lines{"outbox"});
}
