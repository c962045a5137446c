// Which sources and what else of an agent a changed configuration leaves as they are.
#include "agent/app/config_change.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;

TEST_CASE("an http source is made anew when its codec is another one, which says what a body may be") {
  const auto load = [](const std::string& http, const std::string& tcp) {
    return config::load_text("agent: {id: test, state: /s}\nsources:\n  h: {http: {listen: \"127.0.0.1:1\"}, decode: " + http + "}\n  t: {tcp: {listen: \"127.0.0.1:2\"}, decode: " + tcp + "}\npipelines:\n  copy: {from: [h, t], to: out}\n", "t.yaml");
  };
  const auto one = load("json", "json"), raw = load("raw", "raw"), named = load("{raw: {pattern: \"(?<a>.*)\"}}", "json");
  for (const auto* config : {&one, &raw, &named}) REQUIRE(config->ok());
  const auto keeps = [](const config::Config& before, const config::Config& after, std::size_t source) { return app::keeps_source({before, {}}, {after, {}}, after.sources[source]); };
  CHECK(keeps(one.config, one.config, 0));
  CHECK_FALSE(keeps(one.config, raw.config, 0));
  CHECK(keeps(one.config, raw.config, 1));
  CHECK(keeps(raw.config, named.config, 0));
}

TEST_CASE("a source of TLS is made anew when its certificate was renewed, and only then") {
  const TempFolder folder;
  for (const char* name : {"ca", "cert", "key"}) overwrite(folder / name, "one");
  const auto load = [&](const std::string& more) {
    return config::load_text("agent: {id: test, state: /s}\nsources:\n  t: {tcp: {listen: \"127.0.0.1:1\", acknowledge: true, tls: {certificate: " + (folder / "cert") + ", key: " + (folder / "key") + "}" + more + "}}\n  m: {mqtt: {url: \"mqtt://h:1883\", topics: [x]}}\n  k: {kafka: {topic: x}}\nkafka: {brokers: [b:1]}\npipelines:\n  copy: {from: [t, m, k], to: out}\n", "t.yaml");
  };
  const auto one = load(""), same = load(""), other = load(", max_clients: 3");
  REQUIRE(one.ok());
  REQUIRE(other.ok());
  const auto stamps = app::stamps_of(one.config);
  const auto keeps = [&](const config::Config& after, std::size_t source) { return app::keeps_source({one.config, stamps}, {after, app::stamps_of(after)}, after.sources[source]); };
  for (std::size_t i = 0; i < 3; ++i) CHECK(keeps(same.config, i));
  CHECK_FALSE(keeps(other.config, 0));
  CHECK(keeps(other.config, 1));
  overwrite(folder / "cert", "another, longer one");
  CHECK_FALSE(keeps(same.config, 0));
  CHECK(keeps(same.config, 1));
  CHECK(app::keeps_forwarder({one.config, stamps}, {same.config, stamps}));

  config::Config brokers = same.config;
  brokers.kafka->brokers.emplace_back("b2:1");
  CHECK_FALSE(app::keeps_source({one.config, stamps}, {brokers, stamps}, brokers.sources[2]));  // it reads from them
  CHECK(keeps(brokers, 1));
  CHECK_FALSE(app::keeps_forwarder({one.config, stamps}, {brokers, stamps}));
}
