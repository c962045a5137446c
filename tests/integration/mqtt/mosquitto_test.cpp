// The MQTT source against a real mosquitto on a free port of loopback; the agent is a FakeIntake that plays durable epochs.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "agent/mqtt/packet.h"
#include "agent/source/mqtt/mqtt_source.h"
#include "tests/integration/mqtt/mosquitto.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_folder.h"

using namespace rivulet;
using namespace rivulet::test;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

namespace {

// The agent: an epoch ends `interval` after the last end, or at once when a source asks.
struct Agent {
  boost::asio::io_context io;
  std::unique_ptr<FakeIntake> intake = std::make_unique<FakeIntake>();
  std::unique_ptr<source::Source> source;
  std::chrono::milliseconds interval{100};
  Steady::time_point ended = Steady::now();
  int asked = 0;
  bool commits = true;

  void start(const config::MqttSource& settings) {
    source = source::make_mqtt_source(io, settings, "m", "agent", *intake);
    source->start();
  }
  void crash() {  // no DISCONNECT leaves: nothing of the old io runs again
    auto next = intake->after_crash();
    source.reset();
    run_ready(io);
    intake = std::move(next);
    asked = 0;
  }
  void crash_and_start(const config::MqttSource& settings) {
    crash();
    start(settings);
  }
  bool until(const std::function<bool()>& condition, std::chrono::milliseconds limit = 60s) {
    return run_until(io, [&] {
      if (commits && (intake->commit_soon_calls != asked || Steady::now() - ended > interval)) {
        asked = intake->commit_soon_calls;
        ended = Steady::now();
        intake->commit(*source);
      }
      return condition();
    }, limit);
  }
  bool subscribed() { return until([&] { return source->state().rfind("subscribed", 0) == 0; }); }
  std::size_t held() const {  // ids that were not released
    return static_cast<std::size_t>(std::count_if(intake->positions.begin(), intake->positions.end(), [](const auto& one) { return one.first.rfind("id:", 0) == 0 && one.second.size() == 8; }));
  }
  std::size_t different() const {
    const auto all = intake->payloads();
    return std::set<std::string>(all.begin(), all.end()).size();
  }
};

config::MqttSource settings_for(const Mosquitto& server, int version, int qos) {
  config::MqttSource settings;
  settings.host = "127.0.0.1";
  settings.port = server.port;
  settings.version = version;
  settings.qos = qos;
  settings.topics = {"plant/#"};
  return settings;
}

}  // namespace

TEST_CASE("every QoS in both versions delivers each message once while nothing fails") {
  Mosquitto server;
  server.start();
  for (const int version : {3, 5})
    for (const int qos : {0, 1, 2}) {
      INFO("version " << version << " QoS " << qos);
      auto settings = settings_for(server, version, qos);
      settings.client_id = "c" + std::to_string(version) + std::to_string(qos);
      Agent agent;
      agent.start(settings);
      REQUIRE(agent.subscribed());
      server.publish(1, 200, qos, "plant/x/y");
      REQUIRE(agent.until([&] { return agent.intake->accepted.size() >= 200; }));
      CHECK(agent.different() == 200);
      CHECK(agent.intake->accepted.size() == 200);
      CHECK(agent.intake->accepted[0].topic == "plant/x/y");
      if (qos == 2) CHECK(agent.until([&] { return agent.intake->positions.size() == 201 && agent.held() == 0; }));
    }
}

TEST_CASE("an agent that crashed gets what it had not committed: QoS 2 once, QoS 1 at least once") {
  for (const int version : {3, 5})
    for (const int qos : {1, 2}) {
      INFO("version " << version << " QoS " << qos);
      Mosquitto server;
      server.start();
      const auto settings = settings_for(server, version, qos);
      Agent agent;
      agent.start(settings);
      REQUIRE(agent.subscribed());
      server.publish(1, 30, qos);
      REQUIRE(agent.until([&] { return agent.intake->accepted.size() >= 12; }));
      agent.commits = false;  // what comes now is not durable when it crashes
      agent.until([] { return false; }, 200ms);
      agent.crash_and_start(settings);
      agent.commits = true;
      REQUIRE(agent.subscribed());
      server.publish(31, 60, qos);
      REQUIRE(agent.until([&] { return agent.different() == 60; }));
      agent.until([] { return false; }, 300ms);
      if (qos == 2) CHECK(agent.intake->accepted.size() == 60);
      CHECK(agent.different() == 60);
    }
}

// Mosquitto (2.0.11 to 2.0.21) forgets at a reconnection that it has sent PUBREL if that was to be sent again at the one before, which broke too early.
TEST_CASE("an agent that crashed between PUBREL and PUBCOMP, and whose next connection broke at once, takes nothing twice") {
  Mosquitto server;
  server.start();
  const auto settings = settings_for(server, 5, 2);
  Agent agent;
  agent.start(settings);
  REQUIRE(agent.subscribed());
  int sent = 0;
  for (int round = 0; round < 50 && agent.intake->counts["redelivered"] == 0; ++round) {  // most connections break early enough
    agent.commits = false;
    server.publish(sent + 1, sent + 10, 2);
    sent += 10;
    REQUIRE(agent.until([&] { return agent.intake->accepted.size() >= static_cast<std::size_t>(sent); }));
    agent.intake->commit(*agent.source);
    REQUIRE(agent.until([&] { return agent.intake->pending_changes() == 10; }));  // ten PUBRELs
    agent.intake->make_durable(agent.intake->epoch());
    agent.crash();  // before PUBCOMP
    {
      boost::asio::ip::tcp::socket socket(agent.io);
      socket.connect({boost::asio::ip::address_v4::loopback(), server.port});
      mqtt::ConnectOptions options;
      options.client_id = "rivulet-agent-m";
      options.session_expiry_s = 3600;
      boost::asio::write(socket, boost::asio::buffer(mqtt::encode_connect(options)));
      socket.set_option(boost::asio::socket_base::linger(true, 0));  // a reset: what mosquitto writes then fails
    }
    agent.commits = true;
    agent.start(settings);
    REQUIRE(agent.subscribed());
    server.publish(sent + 1, sent + 10, 2);
    sent += 10;
    REQUIRE(agent.until([&] { return agent.different() == static_cast<std::size_t>(sent); }));
    REQUIRE(agent.intake->accepted.size() == static_cast<std::size_t>(sent));
    REQUIRE(agent.until([&] { return agent.held() == 0 && agent.intake->pending_changes() == 0; }));
  }
  CHECK(agent.intake->counts["redelivered"] > 0);  // else this shows nothing: mosquitto was mended
}

TEST_CASE("2,000 messages a second and more, without loss, with mosquitto's default settings") {
  for (const int version : {3, 5})
    for (const int qos : {1, 2}) {
      Mosquitto server("allow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n");  // the queue only: a burst may wait
      server.start();
      Agent agent;
      agent.interval = 1s;
      agent.start(settings_for(server, version, qos));
      REQUIRE(agent.subscribed());
      std::thread publisher([&] { server.publish(1, 20'000, 1); });
      const auto begin = Steady::now();
      const bool all = agent.until([&] { return agent.intake->accepted.size() >= 20'000; }, 60s);
      const auto took = std::chrono::duration<double>(Steady::now() - begin).count();
      publisher.join();
      WARN("version " << version << " QoS " << qos << ": " << 20'000 / took << " messages/s");
      REQUIRE(all);
      CHECK(agent.different() == 20'000);
      CHECK(took < 10);
    }
}

TEST_CASE("a server with one message in flight is not answered once an interval only") {
  Mosquitto server("allow_anonymous true\nmax_inflight_messages 1\nmax_queued_messages 0\n");
  server.start();
  Agent agent;
  agent.interval = 500ms;
  agent.start(settings_for(server, 3, 1));
  REQUIRE(agent.subscribed());
  server.publish(1, 300, 1);
  const auto begin = Steady::now();
  REQUIRE(agent.until([&] { return agent.intake->accepted.size() >= 300; }));
  CHECK(Steady::now() - begin < 30s);  // 150 s otherwise
}

TEST_CASE("a killed mosquitto: what it had saved comes, what the agent has is not taken again in QoS 2") {
  Mosquitto server;
  server.start();
  const auto settings = settings_for(server, 5, 2);
  Agent agent;
  agent.start(settings);
  REQUIRE(agent.subscribed());
  server.publish(1, 50, 2);
  REQUIRE(agent.until([&] { return agent.intake->accepted.size() >= 50 && agent.intake->positions.size() == 51 && agent.held() == 0; }));
  for (int saves = 0; saves < 2; ++saves) {  // the second began after all was acknowledged: session and subscription are on disk
    const auto saved = [&] {
      struct stat file {};
      return ::stat((server.folder / "mosquitto.db").c_str(), &file) == 0 ? std::pair(file.st_ino, file.st_mtim.tv_sec * 1'000'000'000 + file.st_mtim.tv_nsec) : std::pair(file.st_ino, 0L);
    };
    const auto before = saved();
    REQUIRE(agent.until([&] { return saved() != before; }));
  }
  server.stop(SIGKILL);
  REQUIRE(agent.until([&] { return agent.source->state().rfind("not connected", 0) == 0; }));
  server.start();
  REQUIRE(agent.subscribed());
  server.publish(51, 100, 2);
  REQUIRE(agent.until([&] { return agent.different() == 100; }));
  agent.until([] { return false; }, 300ms);
  CHECK(agent.intake->accepted.size() == 100);
}

TEST_CASE("a retained message comes once in version 5, however often the connection is made") {
  Mosquitto server;
  server.start();
  server.publish(7, 7, 1, "plant/r", "-r");
  const auto settings = settings_for(server, 5, 1);
  Agent agent;
  agent.start(settings);
  REQUIRE(agent.until([&] { return agent.intake->accepted.size() == 1; }));
  agent.until([] { return false; }, 300ms);
  agent.crash_and_start(settings);
  REQUIRE(agent.subscribed());
  server.publish(8, 8, 1);
  REQUIRE(agent.until([&] { return agent.different() == 2; }));
  CHECK(agent.intake->accepted.size() == 2);
}

TEST_CASE("TLS with the right CA and name, and with a password, otherwise the reason is in the state") {
  TempFolder keys;
  const std::string at = keys.path().string();
  shell("cd '" + at + "' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem && "
        "openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr && printf 'subjectAltName=DNS:localhost' > ext && "
        "openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out s.pem && mosquitto_passwd -b -c pw joe secret");
  Mosquitto server("allow_anonymous false\npassword_file " + at + "/pw\ncertfile " + at + "/s.pem\nkeyfile " + at + "/s.key\n");
  server.start();
  for (const int version : {3, 5}) {
    auto settings = settings_for(server, version, 1);
    settings.tls_on = true;
    settings.host = "localhost";
    settings.tls.ca = at + "/ca.pem";
    settings.login = config::Login{"joe", config::Secret("secret")};
    std::string why;
    SECTION("all is right, version " + std::to_string(version)) {}
    SECTION("another password, version " + std::to_string(version)) {
      settings.login->password = config::Secret("wrong");
      why = "not authorised";
    }
    SECTION("the system's CAs, version " + std::to_string(version)) {
      settings.tls.ca.clear();
      why = "its certificate is refused";
    }
    SECTION("a name that is not in the certificate, version " + std::to_string(version)) {
      settings.host = "127.0.0.1";
      why = "IP address mismatch";
    }
    SECTION("a CA file that is not there, version " + std::to_string(version)) {
      settings.tls.ca = at + "/none.pem";
      why = "none.pem";
    }
    Agent agent;
    agent.start(settings);
    if (why.empty()) {
      REQUIRE(agent.subscribed());
      shell("echo 1 | mosquitto_pub -h localhost -p " + std::to_string(server.port) + " -u joe -P secret --cafile " + at + "/ca.pem -l -q 1 -t plant/a");
      CHECK(agent.until([&] { return agent.intake->accepted.size() == 1; }));
    } else {
      const bool said = agent.until([&] { return agent.source->state().find(why) != std::string::npos; }, 20s);
      INFO(agent.source->state());
      CHECK(said);
    }
  }
}
