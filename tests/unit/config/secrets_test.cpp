// Secrets: where they come from, and that nothing shows them.
#include <cstdlib>

#include "agent/config/config.h"
#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/config/problems.h"

using namespace rivulet;
using namespace rivulet::config;

TEST_CASE("a secret comes from a file or the environment and never shows in a message") {
  const test::TempFolder folder;
  test::overwrite(folder / "password", "hunter2\n");
  ::setenv("RIVULET_TEST_SECRET", "hunter3", 1);
  const std::string head = "agent: {id: g}\nkafka: {brokers: [b], sasl: {mechanism: PLAIN, username: u, password: \"${file:" + folder / "password" + "}\"}}\n";
  const Loaded good = load_text(head, "r.yaml");
  INFO(all(good));
  REQUIRE(good.ok());
  CHECK(good.config.kafka->sasl->password.reveal() == "hunter2");
  const Loaded from_environment = load_text("agent: {id: g, state: \"/x/${env:RIVULET_TEST_SECRET}/$${y}\"}", "r.yaml");
  CHECK(from_environment.config.agent.state == "/x/hunter3/${y}");
  const Loaded bad = load_text("agent: {id: g}\nkafka: {brokers: [b], sasl: {mechanism: \"${file:" + folder / "absent" + "}\", username: u, password: [hunter4]}}\n", "r.yaml");
  CHECK_FALSE(bad.ok());
  CHECK_THAT(all(bad), ContainsSubstring("cannot read ${file:"));
  CHECK(all(bad).find("hunter") == std::string::npos);
}

TEST_CASE("what a file or the environment says is not shown where it does not fit, nor a login in an address") {
  const test::TempFolder folder;
  const auto problems = [&](const std::string& secret, const std::string& rest) {
    test::overwrite(folder / "secret", secret + "\n");
    const Loaded bad = load_text("agent: {id: g" + rest + "}\n", "r.yaml");
    CHECK_FALSE(bad.ok());
    INFO(all(bad));
    CHECK(all(bad).find("hunter") == std::string::npos);
    return all(bad);
  };
  const std::string file = "\"${file:" + folder / "secret" + "}\"", shown = "'${file:" + folder.path().string();
  CHECK_THAT(problems("hunter2", ", commit_interval: " + file), ContainsSubstring("agent.commit_interval: " + shown) && ContainsSubstring("is not a duration"));
  CHECK_THAT(problems("hunter2" + std::string(200, 'x'), ", memory: " + file), ContainsSubstring(shown));
  CHECK_THAT(problems("7", ", commit_interval: " + file), ContainsSubstring("agent.commit_interval: " + shown) && ContainsSubstring("such as 250ms or 10s"));
  for (const std::string& url : {std::string("ssl://u:hunter2@broker:8883"), std::string("mqtt://u:hunter2@broker"), "${file:" + folder / "secret" + "}", "mqtt://${file:" + folder / "secret" + "}"})
    problems("hunter 2", "}\nsources: {m: {mqtt: {url: \"" + url + "\", topics: [t]}}");
  problems("hunter", "}\nkafka: {brokers: [\"user:hunter2@kafka-1:9092\"]");
}

TEST_CASE("a secret that only the service has is an error, a warning of check, and nothing to who uses none") {
  const test::TempFolder folder;
  test::overwrite(folder / "rivulet.yaml", "agent: {id: g}\nkafka: {brokers: [b], sasl: {mechanism: PLAIN, username: u, password: \"${file:/run/credentials/rivulet-test.service/absent}\"}}\n"
                               "sources: {in: {http: {listen: \"127.0.0.1:1\", token: \"${file:/run/credentials/rivulet-test.service/token}\"}}}\npipelines: {p: {from: in, to: t}}\n");
  const std::string file = folder / "rivulet.yaml";
  const Loaded needed = load(file);
  CHECK_FALSE(needed.ok());
  REQUIRE(needed.problems.size() == 2);
  CHECK_THAT(needed.problems[0].text(), ContainsSubstring("while the service runs"));
  const Loaded checked = load(file, Secrets::of_service_later);
  INFO(all(checked));
  CHECK(checked.ok());
  CHECK(checked.problems.size() == 2);
  CHECK(load(file, Secrets::unused).ok());

  test::overwrite(folder / "rivulet.yaml", "agent: {id: g}\nkafka: {brokers: [b], sasl: {mechanism: PLAIN, username: u, password: \"${file:" + folder / "absent" + "}\"}}\n");
  CHECK_FALSE(load(file).ok());
  CHECK_FALSE(load(file, Secrets::of_service_later).ok());
  CHECK(load(file, Secrets::unused).ok());
  test::overwrite(folder / "rivulet.yaml", "agent: {id: g}\nkafka: {brokers: [b], sasl: {mechanism: PLAIN, username: u, password: \"${fill:/x}\"}}\n");
  CHECK_FALSE(load(file, Secrets::unused).ok());
}
