// What the log says of records that go to quarantine.
#include "agent/app/quarantine_log.h"

#include "tests/support/log_lines.h"
#include "tests/unit/app/agent_fixture.h"

namespace rivulet {
namespace {

using app::QuarantineLog;
using test::LogLines;

store::QuarantineEntry failed(const std::string& pipeline, const std::string& step, const std::string& reason) {
  store::QuarantineEntry entry;
  entry.source = "in";
  entry.pipeline = pipeline;
  entry.step = step;
  entry.reason = reason;
  return entry;
}

TEST_CASE("of each place where records fail the log says the first with its reason, and once a minute how many more") {
  const LogLines lines;
  QuarantineLog log;
  for (int i = 0; i < 10'000; ++i) log.add(failed("p", "where", "bad " + std::to_string(i)), i);
  log.add(failed("", "decode", "no JSON"), 10'000);
  REQUIRE(lines.with("").size() == 2);
  CHECK(lines.with("")[0] == "quarantine: pipeline p, where: a record was put there: bad 0; `rivulet quarantine list` shows what is kept");
  CHECK(lines.with("")[1] == "quarantine: source in, decode: a record was put there: no JSON; `rivulet quarantine list` shows what is kept");
  log.tell(QuarantineLog::kIntervalMs - 1);
  CHECK(lines.with("").size() == 2);
  log.tell(QuarantineLog::kIntervalMs);
  REQUIRE(lines.with("").size() == 3);
  CHECK(lines.with("")[2] == "quarantine: pipeline p, where: 9999 more records were put there since; `rivulet quarantine list` shows what is kept");
  log.add(failed("p", "where", "worse"), QuarantineLog::kIntervalMs);
  CHECK(lines.with("worse").size() == 1);
}

TEST_CASE("what was counted and not yet told is told at the end") {
  const LogLines lines;
  {
    QuarantineLog log;
    log.add(failed("p", "set", "bad"), 0);
    log.add(failed("p", "set", "bad"), 1);
    log.add(failed("p", "key", "bad"), 1);
  }
  CHECK(lines.with("").size() == 3);
  CHECK(lines.with("pipeline p, set: 1 more record was put there since").size() == 1);
}

TEST_CASE("a reason is one line of bounded length") {
  const LogLines lines;
  QuarantineLog log;
  log.add(failed("p", "set", "a\n\x1b[31m" + std::string(5000, 'x')), 0);
  REQUIRE(lines.with("").size() == 1);
  CHECK(lines.with("")[0].size() < 400);
  CHECK_THAT(lines.with("")[0], ContainsSubstring("a??[31mxxx"));
}

TEST_CASE("an agent logs that records which it cannot decode go to quarantine") {
  test::Folder folder;
  const LogLines lines;
  {
    test::AgentFixture fixture(folder.path());
    EpochNumber epoch = 0;
    for (int i = 0; i < 100; ++i) epoch = fixture.a().send("{broken");
    REQUIRE(fixture.until([&] { return fixture.a().durable_up_to() >= epoch; }));
    CHECK(lines.with("quarantine: source a, decode: a record was put there: ").size() == 1);
    CHECK(lines.with("quarantine: ").size() == 1);
    REQUIRE(fixture.stop());
  }
  CHECK(lines.with("quarantine: source a, decode: 99 more records were put there since").size() == 1);
  CHECK(lines.with("quarantine: ").size() == 2);
}

}  // namespace
}  // namespace rivulet
