// An exec source on an io_context of its own, and what becomes of its commands.
#pragma once
#include <sys/wait.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "agent/source/exec/exec_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"

namespace rivulet::test {

using source::ExecSource;
using Lines = std::vector<std::string>;

inline config::ExecSource shell(const std::string& script, std::int64_t interval_ms = 0) {
  config::ExecSource config;
  config.command = {"sh", "-c", script};
  config.interval_ms = interval_ms;
  config.restart_ms = 10;
  config.restart_max_ms = 40;
  config.kill_after_ms = 200;
  return config;
}

struct Running {
  explicit Running(config::ExecSource config) : source(std::make_unique<ExecSource>(io, std::move(config), "command", intake)) {
    std::fflush(nullptr);  // TSan has a child that ends by _exit() write what it inherited
    source->start();
  }
  bool until_lines(std::size_t count) {
    return run_until(io, [&] { return intake.accepted.size() >= count; });
  }
  bool until_counted(const std::string& what, std::uint64_t count = 1) {
    return run_until(io, [&] { return intake.counts[what] >= count; });
  }

  boost::asio::io_context io;
  FakeIntake intake;
  std::unique_ptr<ExecSource> source;
};

// Gone, or a zombie that whoever adopted it has not reaped.
inline bool gone(pid_t id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return true;
  const std::size_t end = line.rfind(')');
  return end + 2 < line.size() && (line[end + 2] == 'Z' || line[end + 2] == 'X');
}

// Those that earlier tests left to the end of their process.
inline void wait_for_children() {
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
}

inline bool no_children() { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }

}  // namespace rivulet::test
