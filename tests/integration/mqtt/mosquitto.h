// A real mosquitto on a free port of loopback.
#pragma once
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"

namespace rivulet::test {

inline std::uint16_t free_port() {
  boost::asio::io_context io;
  return boost::asio::ip::tcp::acceptor(io, {boost::asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

inline bool listens(std::uint16_t port) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::socket socket(io);
  boost::system::error_code error;
  socket.connect({boost::asio::ip::address_v4::loopback(), port}, error);
  return !error;
}

inline void shell(const std::string& command) {
  INFO(command);
  REQUIRE(std::system(("(" + command + ") >/dev/null 2>&1").c_str()) == 0);
}

struct Mosquitto {
  TempFolder folder;
  std::uint16_t port = free_port();
  pid_t pid = 0;
  explicit Mosquitto(const std::string& more = "allow_anonymous true\n") {
    append(folder / "m.conf", "listener " + std::to_string(port) + " 127.0.0.1\nuser root\npersistence true\npersistence_location " + folder.path().string() +
                                  "/\nautosave_interval 1\n" + more);
  }
  ~Mosquitto() { stop(SIGTERM); }
  void start() {
    pid = ::fork();
    if (pid == 0) {
      if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(126);
      ::execlp("mosquitto", "mosquitto", "-c", (folder / "m.conf").c_str(), nullptr);
      ::execl("/usr/sbin/mosquitto", "mosquitto", "-c", (folder / "m.conf").c_str(), nullptr);
      ::_exit(127);
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!listens(port)) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      std::this_thread::yield();
    }
  }
  void stop(int signal) {
    if (pid <= 0) return;
    ::kill(pid, signal);
    ::waitpid(std::exchange(pid, 0), nullptr, 0);
  }
  // Publishes the numbers [first, last] with one connection of mosquitto_pub, a line each.
  void publish(int first, int last, int qos, const std::string& topic = "plant/a", const std::string& more = "") const {
    shell("seq " + std::to_string(first) + " " + std::to_string(last) + " | mosquitto_pub -h 127.0.0.1 -p " + std::to_string(port) + " -l -q " + std::to_string(qos) +
          " -t '" + topic + "' " + more);
  }
};

}  // namespace rivulet::test
