// Whether a broker can be reached, as a Probe finds out.
#include "agent/kafka/probe.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/kafka/mock_cluster.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::kafka;

namespace {

// On the loopback. With a queue of 0 it takes one connection.
struct Listener {
  explicit Listener(int queue = 64) {
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&at), size) == 0);
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    REQUIRE(::listen(fd, queue) == 0);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { ::close(fd); }
  std::string name() const { return "127.0.0.1:" + std::to_string(ntohs(at.sin_port)); }
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in at{};
};

}  // namespace

TEST_CASE("a broker that does not answer holds up none of the others") {
  const Listener silent(0), good;
  std::vector<int> clients;
  for (int i = 0; i < 8; ++i) {  // its queue takes one: what comes later has no answer
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    clients.push_back(client);
    (void)::connect(client, reinterpret_cast<const sockaddr*>(&silent.at), sizeof silent.at);
  }
  Probe probe({silent.name(), silent.name(), silent.name(), silent.name(), good.name()});
  CHECK(probe.reachable(5'000));  // each of those is waited for 2 s
  for (const int client : clients) ::close(client);
}

TEST_CASE("a broker that answers between two calls of a probe is told by the next") {
  std::optional<Listener> good(std::in_place);
  Probe probe({good->name()});
  bool told = probe.reachable(0);
  pollfd connected{good->fd, POLLIN, 0};
  REQUIRE(::poll(&connected, 1, 20'000) == 1);  // when nobody waits for it
  const int client = ::accept(good->fd, nullptr, nullptr);
  REQUIRE(client >= 0);
  good.reset();  // another connection is refused
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!told && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
    told = probe.reachable(0);
  }
  CHECK(told);
  ::close(client);
}

TEST_CASE("a probe sees the link go and come back") {
  const auto cluster = MockCluster::start().value();
  Probe probe({cluster->bootstrap_servers()});
  const auto sees = [&](bool wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (probe.reachable(1000) != wanted && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return probe.reachable(1000) == wanted;
  };
  CHECK(sees(true));
  cluster->cut_link();
  CHECK(sees(false));
  cluster->restore_link();
  CHECK(sees(true));
}

TEST_CASE("a probe says what each broker or the resolver said") {
  Probe probe({"127.0.0.1:1", "no-such-host.invalid:9092"});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (probe.trouble() == "no answer yet" && std::chrono::steady_clock::now() < deadline) CHECK_FALSE(probe.reachable(1000));
  CHECK_THAT(probe.trouble(), ContainsSubstring("127.0.0.1:1: Connection refused; no-such-host.invalid:9092: the name cannot be resolved: "));
}
