// The MQTT output against a real mosquitto; what arrived is what mosquitto_sub, in a session of its own, wrote down.
#include <future>
#include <map>
#include <memory>
#include <set>

#include "agent/sink/sinks.h"
#include "tests/integration/mqtt/mosquitto.h"

using namespace rivulet;
using namespace rivulet::test;
using namespace std::chrono_literals;

namespace {

const SystemClock kClock;

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds within = 60s) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// mosquitto_sub, with every message as a line "topic payload".
struct Subscriber {
  std::string path;
  pid_t pid = 0;
  Subscriber(const Mosquitto& server, const std::string& filter, std::vector<std::string> more = {}) : path(server.folder / ("sub" + std::to_string(::rand()))) {
    std::vector<std::string> words{"mosquitto_sub", "-h", "127.0.0.1", "-p", std::to_string(server.port), "-q", "1", "-v", "-t", filter, "-i", "listener", "-c"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid = ::fork();
    if (pid != 0) return;
    if (std::freopen(path.c_str(), "a", stdout) == nullptr || std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(126);
    ::execvp("mosquitto_sub", arguments.data());
    ::_exit(127);
  }
  ~Subscriber() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  std::vector<std::string> lines() const {
    std::ifstream file(path);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) all.push_back(line);
    return all;
  }
};

// The store and the sinks of one configuration.
struct Output {
  TempFolder folder;
  std::unique_ptr<store::Store> store;
  store::StreamInfo stream;
  std::shared_ptr<sink::Sinks> sinks;  // the store's thread wakes it: a weak pointer

  void start(const std::string& output) {
    const auto loaded = config::load_text("agent: {id: g, state: /nowhere}\nsources: {s: {simulate: {}}}\npipelines: {p: {from: s, to: {mqtt: " + output + "}}}\n", "r.yaml");
    for (const auto& problem : loaded.problems) UNSCOPED_INFO(problem.text());
    REQUIRE(loaded.ok());
    if (!store) {
      store::Options options;
      options.directory = folder / "state";
      options.agent_id = "g";
      store = store::Store::open(options, kClock).value();
    }
    stream = store->stream("p", loaded.config.pipelines.at(0).to.at(0).topic).value();
    sinks.reset();
    sinks = sink::Sinks::open(loaded.config, *store, kClock).value();
    store->on_outbox([weak = std::weak_ptr(sinks)] {
      if (const auto alive = weak.lock()) alive->wake();
    });
    sinks->start();
  }
  ~Output() { sinks.reset(); }  // before its store

  void put(const std::vector<std::pair<std::optional<std::string>, std::string>>& messages) {
    store::Epoch epoch;
    for (const auto& [topic, value] : messages) epoch.append(stream.id, ++stream.last, topic, value, 0);
    const auto promise = std::make_shared<std::promise<result<void>>>();
    store->commit(std::move(epoch), [promise](result<void> outcome) { promise->set_value(outcome); });
    REQUIRE(promise->get_future().get());
  }
  void put_numbers(int first, int last) {
    std::vector<std::pair<std::optional<std::string>, std::string>> all;
    for (int n = first; n <= last; ++n) all.emplace_back("plant/out", std::to_string(n));
    put(all);
  }
  bool drained() const { return eventually([&] { return store->stats().outbox_records == 0; }); }
  sink::Status status() const { return sinks->status().at(0); }
  bool up() const { return eventually([&] { return status().state.rfind("connected", 0) == 0 && status().trouble.empty(); }); }
};

std::string address(const Mosquitto& server) { return "url: \"mqtt://127.0.0.1:" + std::to_string(server.port) + "\""; }

std::size_t different(const std::vector<std::string>& lines) { return std::set<std::string>(lines.begin(), lines.end()).size(); }

}  // namespace

TEST_CASE("each record is published once, in order, in both versions, while nothing fails") {
  for (const std::string version : {"5", "3.1.1"}) {
    INFO("version " << version);
    Mosquitto server("allow_anonymous true\nmax_queued_messages 0\n");  // else it drops what mosquitto_sub does not take in time
    server.start();
    Output output;
    output.start("{" + address(server) + ", topic: plant/out, version: \"" + version + "\"}");
    REQUIRE(output.up());
    const Subscriber subscriber(server, "plant/#");
    output.put_numbers(0, 0);  // until the subscription is there, what comes is nobody's
    REQUIRE(eventually([&] {
      if (subscriber.lines().empty()) output.put_numbers(0, 0);
      return !subscriber.lines().empty();
    }));
    REQUIRE(output.drained());
    REQUIRE(eventually([&] { return output.status().backlog == 0; }));
    const std::uint64_t before = output.status().records;
    output.put_numbers(1, 5'000);
    REQUIRE(output.drained());
    REQUIRE(eventually([&] { return !subscriber.lines().empty() && subscriber.lines().back() == "plant/out 5000"; }));
    auto lines = subscriber.lines();
    REQUIRE(lines.size() >= 5'000);
    lines.erase(lines.begin(), lines.end() - 5'000);
    for (int n = 1; n <= 5'000; ++n) REQUIRE(lines[static_cast<std::size_t>(n - 1)] == "plant/out " + std::to_string(n));
    REQUIRE(eventually([&] { return output.status().records == before + 5'000; }));
    CHECK(output.status().backlog == 0);
  }
}

TEST_CASE("a server that is killed again and again gets every record at least once") {
  Mosquitto server("allow_anonymous true\nmax_queued_messages 0\n");
  server.start();
  Output output;
  output.start("{" + address(server) + ", topic: plant/out}");
  {
    const Subscriber first(server, "plant/#");  // its session stays when it goes
    REQUIRE(eventually([&] {
      if (first.lines().empty()) output.put_numbers(0, 0);
      return !first.lines().empty();
    }));
  }
  for (int round = 0; round < 4; ++round) {
    output.put_numbers(1 + round * 1'000, 500 + round * 1'000);
    server.stop(round % 2 == 0 ? SIGTERM : SIGINT);
    output.put_numbers(501 + round * 1'000, 1'000 + round * 1'000);
    REQUIRE(eventually([&] {
      const auto status = output.status();
      return !status.trouble.empty() && status.backlog > 0;
    }));
    server.start();
    REQUIRE(output.drained());
  }
  const Subscriber again(server, "plant/#");
  REQUIRE(eventually([&] { return different(again.lines()) >= 4'000; }));
}

TEST_CASE("two outputs with one client id throw each other out at growing intervals, and each says so") {
  Mosquitto server;
  server.start();
  Output one, other;  // of one name: a card that was cloned
  one.start("{" + address(server) + ", topic: plant/out}");
  REQUIRE(one.up());
  other.start("{" + address(server) + ", topic: plant/out}");
  const auto begin = std::chrono::steady_clock::now();
  std::set<std::string> troubles;
  REQUIRE(eventually([&] {
    for (const Output* each : {&one, &other}) troubles.insert(each->status().trouble);
    return one.status().errors >= 3 && other.status().errors >= 3;
  }));
  for (const std::string& trouble : troubles) CHECK((trouble.empty() || trouble.find("taken over") != std::string::npos || trouble.find("the connection ended: ") != std::string::npos));
  CHECK(std::chrono::steady_clock::now() - begin > 500ms);
  one.put_numbers(1, 10);
  other.put_numbers(1, 10);
  CHECK(one.drained());
  CHECK(other.drained());
  CHECK(one.status().refused + other.status().refused == 0);
}

TEST_CASE("a record's topic is its own, one without or with a bad one goes to quarantine, and a retained message stays") {
  Mosquitto server;
  server.start();
  Output output;
  output.start("{" + address(server) + ", topic_from: t, retain: true}");
  output.put({{"plant/a", "1"}, {std::nullopt, "2"}, {"plant/#", "3"}, {"plant/b", "4"}, {"plant/a", "5"}});
  REQUIRE(output.drained());
  CHECK(eventually([&] { return output.status().refused == 2; }));
  CHECK(output.store->quarantined(0, 10).value().size() == 2);
  const Subscriber late(server, "plant/#");
  REQUIRE(eventually([&] { return late.lines().size() >= 2; }));
  const auto lines = late.lines();
  CHECK(std::set<std::string>(lines.begin(), lines.end()) == std::set<std::string>{"plant/a 5", "plant/b 4"});
}

TEST_CASE("a message that is larger than the server says it takes does not hold up what is behind it") {
  Mosquitto server("allow_anonymous true\nmax_packet_size 1000\n");
  server.start();
  Output output;
  output.start("{" + address(server) + ", topic: plant/out}");
  output.put({{"plant/out", "before"}, {"plant/out", std::string(5'000, 'x')}, {"plant/out", "behind"}});
  REQUIRE(output.drained());
  REQUIRE(eventually([&] { return output.status().records == 2; }));
  CHECK(eventually([&] { return output.status().refused == 1; }));
}

TEST_CASE("TLS and a password, otherwise the reason is in the status and the records wait") {
  TempFolder keys;
  const std::string at = keys.path().string();
  shell("cd '" + at + "' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem && "
        "openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout s.key -out s.csr && printf 'subjectAltName=DNS:localhost' > ext && "
        "openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out s.pem && mosquitto_passwd -b -c pw joe secret");
  Mosquitto server("allow_anonymous false\npassword_file " + at + "/pw\ncafile " + at + "/ca.pem\ncertfile " + at + "/s.pem\nkeyfile " + at + "/s.key\n");
  server.start();
  const std::string url = "url: \"mqtts://localhost:" + std::to_string(server.port) + "\", topic: plant/out";
  Output output;
  output.start("{" + url + ", username: joe, password: wrong, tls: {ca: " + at + "/ca.pem}}");
  output.put_numbers(1, 10);
  REQUIRE(eventually([&] { return output.status().trouble.find("not authorised") != std::string::npos || output.status().trouble.find("bad user name") != std::string::npos; }));
  REQUIRE(eventually([&] { return output.store->stats().held_bytes > 0; }));
  output.start("{" + url + ", username: joe, password: secret}");  // the system's authorities do not know the certificate
  REQUIRE(eventually([&] { return output.status().trouble.find("certificate") != std::string::npos; }));
  CHECK(output.store->stats().local_records == 10);
  output.start("{" + url + ", username: joe, password: secret, tls: {ca: " + at + "/ca.pem}}");
  REQUIRE(output.drained());
  CHECK(eventually([&] { return output.status().records == 10; }));
}
