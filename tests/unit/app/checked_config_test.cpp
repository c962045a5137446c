// What only the whole program finds wrong with a configuration: the config room knows no librdkafka.
#include "agent/app/checked_config.h"

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;

namespace {

app::CheckedConfig check(const TempFolder& folder, const std::string& settings, config::Secrets secrets = config::Secrets::needed) {
  const std::string file = folder / "rivulet.yaml";
  overwrite(file, "agent: {id: test, state: " + (folder / "state") + "}\nsources: {a: {stdin: {}}}\npipelines: {copy: {from: a, to: out}}\n"
                  "kafka:\n  brokers: [b:9092]\n  librdkafka:\n" + settings);
  return app::check_config(file, SystemClock(), secrets);
}

}  // namespace

TEST_CASE("librdkafka settings that the forwarder could not use are found by check, without their values") {
  const TempFolder folder;
  const auto secrets = GENERATE(config::Secrets::needed, config::Secrets::of_service_later);  // `run`; `check`
  const auto checked = check(folder, "    linger.ms: 5\n    linger.mss: 5\n    socket.timeout.ms: not-for-the-log\n", secrets);
  CHECK_FALSE(checked.ok());
  REQUIRE(checked.problems.size() == 2);
  CHECK_THAT(checked.problems[0].text(), ContainsSubstring("rivulet.yaml:8:17: kafka.librdkafka.linger.mss: librdkafka "));
  CHECK_THAT(checked.problems[0].text(), ContainsSubstring("knows no such setting"));
  CHECK_THAT(checked.problems[1].text(), ContainsSubstring("rivulet.yaml:9:24: kafka.librdkafka.socket.timeout.ms: librdkafka "));
  CHECK_THAT(checked.problems[1].text(), !ContainsSubstring("not-for-the-log"));
}

TEST_CASE("a librdkafka setting may be a secret that only the service has") {
  const TempFolder folder;
  const std::string of_service = "    linger.ms: 5\n    ssl.key.password: \"${file:/run/credentials/rivulet-test.service/none}\"\n";
  CHECK_FALSE(check(folder, of_service).ok());
  for (const auto secrets : {config::Secrets::of_service_later, config::Secrets::unused}) {
    const auto checked = check(folder, of_service, secrets);
    CHECK(checked.ok());
    REQUIRE(checked.problems.size() == 1);
    CHECK_THAT(checked.problems[0].text(), ContainsSubstring("LoadCredential"));
    CHECK(checked.config.kafka->librdkafka.size() == 1);
  }
  CHECK_FALSE(check(folder, "    ssl.key.password: \"${file:/nowhere/none}\"\n", config::Secrets::of_service_later).ok());
}
