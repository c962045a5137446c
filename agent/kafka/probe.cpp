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

bool connects(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
  if (fd < 0) return false;
  bool up = ::connect(fd, address.ai_addr, address.ai_addrlen) == 0;
  if (!up && errno == EINPROGRESS) {
    pollfd waiting{fd, POLLOUT, 0};
    if (::poll(&waiting, 1, connect_timeout_ms) == 1) {
      int error = 0;
      socklen_t size = sizeof error;
      up = ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
    }
  }
  ::close(fd);
  return up;
}

bool answers(const std::string& broker) {
  const auto to = parse_broker(broker);
  if (!to) return false;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(to->host.c_str(), std::to_string(to->port).c_str(), &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    if (connects(*address)) return true;
  }
  return false;
}

}  // namespace

struct Probe::Shared {
  std::vector<std::string> brokers;
  std::mutex mutex;
  std::condition_variable changed;
  bool running = false;
  bool reachable = false;
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
        for (const auto& broker : shared->brokers) {
          if ((up = answers(broker))) break;
        }
        const std::scoped_lock inner(shared->mutex);
        shared->reachable = up;
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

}  // namespace rivulet::kafka
