// What the status listener answers, from a Snapshot alone.
#include "agent/app/history.h"
#include "agent/app/last_errors.h"
#include "agent/app/logging.h"
#include "agent/app/status_page.h"
#include "agent/app/status_server.h"
#include "tests/support/catch.h"

namespace rivulet {
namespace {

using app::History;
using app::LastErrors;

app::StatusAnswer get(const std::string& target, const app::Snapshot& now = {}, const std::string& accept = "*/*") {
  return app::answer_status("GET", target, accept, [&] { return now; }, [] { return std::vector<History::Sample>(2); });
}

TEST_CASE("a link that never was is a problem once an attempt failed, one that broke is none") {
  app::Snapshot now;
  now.forward.emplace();
  CHECK(get("/healthz", now).code == 200);  // it is still trying
  now.forward->last_error = "kafka: h:9092: Connection refused";
  CHECK_THAT(get("/healthz", now).body, ContainsSubstring("there never was a connection to Kafka: kafka: h:9092: Connection refused"));
  CHECK_THAT(get("/status", now).body, ContainsSubstring(R"("link":"offline","connected":false)"));
  now.streams.push_back({{1, "p", "t", 9, 9, 0}, {}});
  CHECK(get("/healthz", now).code == 200);  // it was restarted in an outage
  now.streams.front().info.acknowledged = 0;
  CHECK(get("/healthz", now).code == 503);
  now.forward->connected = true;
  CHECK(get("/healthz", now).code == 200);
}

TEST_CASE("records that are dropped at the storage limit are a problem while it goes on, and no reason to start the agent anew") {
  app::Snapshot now;
  now.totals.dropped = 7;
  CHECK_THAT(get("/status", now, "text/plain").body, ContainsSubstring("healthy") && ContainsSubstring("0 late, 7 left out") && !ContainsSubstring("at the limit"));
  now.store.dropped_records = 12'345;
  now.dropped_ago_ms = app::kDroppingMs - 1;
  const std::string text = get("/status", now, "text/plain").body;
  CHECK_THAT(text, ContainsSubstring("PROBLEM the store is at its limit and the oldest records are dropped") && ContainsSubstring("12345 since the start: ") && !ContainsSubstring("\nhealthy"));
  CHECK_THAT(text, ContainsSubstring("7 left out") && ContainsSubstring("oldest records were dropped at the limit since the start"));
  CHECK_THAT(get("/status", now).body, ContainsSubstring(R"("healthy":false,"problems":["the store is at its limit)"));
  CHECK(get("/healthz", now).code == 200);
  now.dropped_ago_ms = app::kDroppingMs;
  CHECK_THAT(get("/status", now).body, ContainsSubstring(R"("healthy":true,"problems":[])"));
}

TEST_CASE("a source in trouble is a problem to look at, and no reason to start the agent anew") {
  app::Snapshot now;
  now.sources.push_back({"plant", "tcp", "cannot listen on 0.0.0.0:502: Address already in use", 0, 0, {}, false, false});
  CHECK_THAT(get("/status", now, "text/plain").body, ContainsSubstring("\nhealthy\n"));
  CHECK_THAT(get("/metrics", now).body, ContainsSubstring("\nrivulet_source_up{source=\"plant\"} 1\n"));
  now.sources[0].in_trouble = true;
  CHECK_THAT(get("/status", now, "text/plain").body,
             ContainsSubstring("PROBLEM the source plant is in trouble: cannot listen on 0.0.0.0:502: Address already in use\n") && !ContainsSubstring("\nhealthy\n"));
  CHECK_THAT(get("/status", now).body, ContainsSubstring(R"("healthy":false,"problems":["the source plant is in trouble: cannot)") && ContainsSubstring(R"("waiting":false,"up":false)"));
  CHECK_THAT(get("/metrics", now).body, ContainsSubstring("\nrivulet_source_up{source=\"plant\"} 0\n") && ContainsSubstring("\nrivulet_healthy 1\n"));
  CHECK(get("/healthz", now).code == 200);
}

TEST_CASE("of two streams of one name only the one whose topic takes nothing is held") {
  app::Snapshot now;
  now.streams = app::with_holds({{1, "p", "good", 9, 9, 0}, {2, "p", "missing", 9, 0, 0}, {3, "q", "missing", 9, 9, 0}}, {{"p", "missing", "there is no such topic"}});
  const std::string metrics = get("/metrics", now).body;
  for (const char* line : {"{stream=\"p\",topic=\"good\"} 0", "{stream=\"p\",topic=\"missing\"} 1", "{stream=\"q\",topic=\"missing\"} 0"})
    CHECK_THAT(metrics, ContainsSubstring(std::string("\nrivulet_stream_held") + line + "\n"));
  CHECK(now.streams[1].held == "there is no such topic");
}

TEST_CASE("lines of one shape are one entry with the newest text, and the quietest goes at the bound") {
  LastErrors errors;
  const auto add = [&](const std::string& text, std::int64_t at) { errors.add(true, app::log_shape(text), text, at); };
  add("broker 1 is down", 10);
  add("other trouble", 11);
  add("broker 2 is down", 20);
  auto all = errors.newest_first();
  REQUIRE(all.size() == 2);
  CHECK(all[0].text == "broker 2 is down");
  CHECK(all[0].count == 2);
  CHECK(all[0].first_ms == 10);
  CHECK(all[0].last_ms == 20);
  for (char c = 'a'; c < 'a' + static_cast<char>(LastErrors::kEntries); ++c) add(std::string("trouble ") + c, 30);
  all = errors.newest_first();
  CHECK(all.size() == LastErrors::kEntries);
  CHECK(all.back().text == "trouble a");
}

TEST_CASE("the text of a last error is bounded and cut between characters") {
  LastErrors errors;
  std::string text(LastErrors::kTextBytes - 1, 'x');
  text += "\xC3\xA9 and more";
  errors.add(false, "shape", text, 1);
  CHECK(errors.newest_first()[0].text == std::string(LastErrors::kTextBytes - 1, 'x') + "...");
}

TEST_CASE("the history has what came in each step, and the oldest goes after an hour") {
  History history(1'000);
  CHECK_FALSE(history.due(1'000 + History::kStepMs - 1));
  std::int64_t now_ms = 1'000;
  for (std::uint64_t i = 1; i <= History::kSteps + 5; ++i) {
    now_ms += History::kStepMs;
    REQUIRE(history.due(now_ms));
    history.add({i * i, i * 10, i, true, i % 2 == 0}, now_ms);
  }
  const auto samples = history.samples();
  REQUIRE(samples.size() == History::kSteps);
  CHECK(samples.front().backlog == 6);
  CHECK(samples.front().in == 6 * 6 - 5 * 5);
  CHECK(samples.back().backlog == History::kSteps + 5);
  CHECK(samples.back().forwarded == 10);
  CHECK(samples.back().seconds == History::kStepMs / 1000);
  CHECK(samples.back().healthy == 0);
}

TEST_CASE("a step that was held up says how long it was, and numbers beyond 32 bits are cut") {
  History history(0);
  history.add({5'000'000'000, 1, 5'000'000'000, false, true}, 3 * History::kStepMs + 400);
  const auto sample = history.samples().at(0);
  CHECK(sample.seconds == 3 * History::kStepMs / 1000);
  CHECK(sample.in == 0xFFFFFFFF);
  CHECK(sample.backlog == 0xFFFFFFFF);
  CHECK(sample.link_up == 0);
}

TEST_CASE("the status page is HTML with its own policy, everything else may load nothing") {
  const auto page = get("/");
  CHECK(page.code == 200);
  CHECK(page.type == "text/html; charset=utf-8");
  CHECK(page.body == app::status_page());
  CHECK(page.policy.find("script-src 'sha256-") != std::string_view::npos);
  CHECK(page.policy.find("unsafe") == std::string_view::npos);
  for (const char* path : {"/status", "/metrics", "/healthz", "/history", "/nothing"}) CHECK(get(path).policy == "default-src 'none'; frame-ancestors 'none'");
  CHECK(get("/?x").body == page.body);
  CHECK(get("//").code == 404);
}

TEST_CASE("names and texts cannot break out of the JSON or of a metric's label") {
  app::Snapshot now;
  now.agent_id = "a\"}\n\\\xff";
  now.streams.push_back({{1, "s\"\\\n", "t\xff", 9, 4, 100}, "held\x01"});
  now.last_errors.push_back({true, "<script>\"\\\n", 1, 2, 3});
  const std::string json = get("/status", now).body;
  CHECK_THAT(json, ContainsSubstring(R"("streams":[{"name":"s\"\\\u000a","topic":"t\u00ff","last":9,"acknowledged":4,"waiting":5,"bytes":100,"held":"held\u0001"}])"));
  CHECK_THAT(json, ContainsSubstring(R"("last_errors":[{"level":"error","text":"<script>\"\\\u000a","first_ms":1,"last_ms":2,"count":3}])"));
  const std::string metrics = get("/metrics", now).body;
  CHECK_THAT(metrics, ContainsSubstring("\nrivulet_stream_outbox_records{stream=\"s\\\"\\\\\\n\",topic=\"t\xEF\xBF\xBD\"} 5\n"));
  now.streams.front().info.gap_records = 2;
  CHECK_THAT(get("/metrics", now).body, ContainsSubstring("rivulet_stream_outbox_records{stream=\"s\\\"\\\\\\n\",topic=\"t\xEF\xBF\xBD\"} 3\n"));
  CHECK_THAT(metrics, ContainsSubstring("rivulet_stream_held{stream=\"s\\\"\\\\\\n\",topic=\"t\xEF\xBF\xBD\"} 1\n"));
}

TEST_CASE("the history is rows of numbers with their names") {
  CHECK(get("/history").body == "{\"step_s\":20,\"steps\":180,\"columns\":[\"seconds\",\"in\",\"forwarded\",\"backlog\",\"link_up\",\"healthy\"],\"samples\":[[0,0,0,0,0,0],[0,0,0,0,0,0]]}\n");
}

}  // namespace
}  // namespace rivulet
