#include "agent/kafka/probe.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "agent/kafka/connection.h"

namespace rivulet::kafka {
namespace {

constexpr int connect_timeout_ms = 2000;

constexpr std::size_t named_brokers = 3;

// 0, or errno's number for what went wrong.
int connects(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
  if (fd < 0) return errno;
  int error = ::connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd waiting{fd, POLLOUT, 0};
    error = ETIMEDOUT;
    if (::poll(&waiting, 1, connect_timeout_ms) == 1) {
      socklen_t size = sizeof error;
      if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    }
  }
  ::close(fd);
  return error;
}

// Empty: it takes connections.
std::string trouble_with(const std::string& broker) {
  const auto to = parse_broker(broker);
  if (!to) return broker + ": this is no host:port";
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(to->host.c_str(), std::to_string(to->port).c_str(), &hints, &found); error != 0)
    return broker + ": the name cannot be resolved: " + ::gai_strerror(error);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
  int error = 0;
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    if ((error = connects(*address)) == 0) return {};
  }
  return broker + ": " + std::generic_category().message(error);
}

}  // namespace

struct Probe::Shared {
  std::vector<std::string> brokers;
  std::mutex mutex;
  std::condition_variable changed;
  bool running = false;
  bool reachable = false;
  std::string trouble = "no answer yet";
};

Probe::Probe(std::vector<std::string> brokers) : shared_(std::make_shared<Shared>()) { shared_->brokers = std::move(brokers); }
Probe::~Probe() = default;

bool Probe::reachable(std::int64_t timeout_ms) {
  std::unique_lock lock(shared_->mutex);
  if (!shared_->running) {
    shared_->running = true;
    shared_->reachable = false;
    try {
      std::thread([shared = shared_] {
        bool up = false;
        std::string trouble;
        std::size_t named = 0;
        for (const auto& broker : shared->brokers) {
          const auto why = trouble_with(broker);
          if ((up = why.empty())) break;
          if (++named <= named_brokers) trouble += (trouble.empty() ? "" : "; ") + why;
        }
        if (named > named_brokers) trouble += "; and " + std::to_string(named - named_brokers) + " more";
        const std::scoped_lock inner(shared->mutex);
        shared->reachable = up;
        shared->trouble = std::move(trouble);
        shared->running = false;
        shared->changed.notify_all();
      }).detach();
    } catch (const std::system_error&) {  // no thread to be had
      shared_->running = false;
      return false;
    }
  }
  shared_->changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] { return !shared_->running; });
  return !shared_->running && shared_->reachable;
}

std::string Probe::trouble() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->trouble;
}

}  // namespace rivulet::kafka
