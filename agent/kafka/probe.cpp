#include "agent/kafka/probe.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "agent/kafka/connection.h"

namespace rivulet::kafka {
namespace {

using Moment = std::chrono::steady_clock::time_point;
constexpr std::chrono::seconds connect_limit{2};
constexpr std::chrono::seconds kept_limit{90};  // longer than any pause between two calls
constexpr std::size_t named_brokers = 3;
constexpr const char* no_answer = "no answer yet";

// Connections to every address of every broker, all at once: one that does not answer holds up no other. Bound: a socket an address.
class Attempt {
 public:
  explicit Attempt(const std::vector<std::string>& brokers) : brokers_(brokers), why_(brokers.size()) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt() {
    for (const auto& socket : sockets_)
      if (socket.fd >= 0) ::close(socket.fd);
  }

  bool any_answers() {
    for (std::size_t broker = 0; broker < brokers_.size(); ++broker)
      if (begin(broker) || answered(std::chrono::milliseconds(0))) return true;
    const auto deadline = std::chrono::steady_clock::now() + connect_limit;
    while (open_ > 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) break;
      if (answered(left)) return true;
    }
    for (std::size_t i = 0; i < sockets_.size(); ++i)
      if (sockets_[i].fd >= 0) failed(of_[i], ETIMEDOUT);
    return false;
  }

  std::string trouble() const {  // of each broker, when none answers
    std::string text;
    for (std::size_t broker = 0; broker < std::min(brokers_.size(), named_brokers); ++broker) text += (broker == 0 ? "" : "; ") + brokers_[broker] + ": " + why_[broker];
    if (brokers_.size() > named_brokers) text += "; and " + std::to_string(brokers_.size() - named_brokers) + " more";
    return text;
  }

 private:
  void failed(std::size_t broker, int error) { why_[broker] = std::generic_category().message(error); }

  // Looks the name up, which can take many seconds, and does not wait for the connections. True: one is there already.
  bool begin(std::size_t broker) {
    const auto to = parse_broker(brokers_[broker]);
    if (!to) {
      why_[broker] = "this is no host:port";
      return false;
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(to->host.c_str(), std::to_string(to->port).c_str(), &hints, &found); error != 0) {
      why_[broker] = std::string("the name cannot be resolved: ") + ::gai_strerror(error);
      return false;
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
    for (const auto* address = found; address != nullptr; address = address->ai_next) {
      const int fd = ::socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
      const int error = fd < 0 || ::connect(fd, address->ai_addr, address->ai_addrlen) != 0 ? errno : 0;
      if (fd >= 0 && error == EINPROGRESS) {
        sockets_.push_back({fd, POLLOUT, 0});
        of_.push_back(broker);
        ++open_;
        continue;
      }
      if (fd >= 0) ::close(fd);
      if (error == 0) return true;
      failed(broker, error);
    }
    return false;
  }

  bool answered(std::chrono::milliseconds within) {
    if (::poll(sockets_.data(), sockets_.size(), static_cast<int>(within.count())) <= 0) return false;
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
      auto& socket = sockets_[i];
      if (socket.fd < 0 || socket.revents == 0) continue;
      int error = 0;
      socklen_t size = sizeof error;
      if (::getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
      if (error == 0) return true;
      failed(of_[i], error);
      ::close(std::exchange(socket.fd, -1));  // poll() leaves it out from now on
      --open_;
    }
    return false;
  }

  const std::vector<std::string>& brokers_;
  std::vector<std::string> why_;   // of each broker
  std::vector<pollfd> sockets_;    // -1: it failed
  std::vector<std::size_t> of_;    // the broker of each
  std::size_t open_ = 0;
};

}  // namespace

struct Probe::Shared {
  std::vector<std::string> brokers;
  std::mutex mutex;
  std::condition_variable changed;
  bool running = false;
  std::optional<Moment> reached;  // nobody was told yet
  std::string trouble = no_answer;
};

Probe::Probe(std::vector<std::string> brokers) : shared_(std::make_shared<Shared>()) { shared_->brokers = std::move(brokers); }
Probe::~Probe() = default;

bool Probe::reachable(std::int64_t timeout_ms) {
  std::unique_lock lock(shared_->mutex);
  const auto reached = [&] {
    const auto at = std::exchange(shared_->reached, std::nullopt);
    return at && std::chrono::steady_clock::now() - *at < kept_limit;
  };
  if (reached()) return true;
  if (!shared_->running) {
    shared_->running = true;
    try {
      std::thread([shared = shared_] {
        Attempt attempt(shared->brokers);
        const bool up = attempt.any_answers();
        const std::scoped_lock inner(shared->mutex);
        if (up) shared->reached = std::chrono::steady_clock::now();
        shared->trouble = up ? no_answer : attempt.trouble();
        shared->running = false;
        shared->changed.notify_all();
      }).detach();
    } catch (const std::system_error&) {  // no thread to be had
      shared_->running = false;
      return false;
    }
  }
  shared_->changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return !shared_->running; });
  return reached();
}

std::string Probe::trouble() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->trouble;
}

}  // namespace rivulet::kafka
