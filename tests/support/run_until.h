// Runs an io_context until a condition holds, with a deadline instead of a sleep.
#pragma once
#include <boost/asio/io_context.hpp>
#include <chrono>

namespace rivulet::test {

template <class Condition>
bool run_until(boost::asio::io_context& io, Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(90)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(5));
  }
  return true;
}

// Runs everything that is ready now, and what that makes ready.
inline void run_ready(boost::asio::io_context& io) {
  io.restart();
  while (io.poll() > 0) {
  }
}

}  // namespace rivulet::test
