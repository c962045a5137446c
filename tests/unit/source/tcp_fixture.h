// A TcpSource on a free port, with a fake agent behind it.
#pragma once
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <utility>

#include "agent/source/tcp/tcp_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/tcp_client.h"

namespace rivulet::test {

inline config::TcpSource tcp_config(bool acknowledge = false) {
  config::TcpSource config;
  config.listen_host = "127.0.0.1";
  config.acknowledge = acknowledge;
  return config;
}

struct TcpServer {
  explicit TcpServer(config::TcpSource settings, std::unique_ptr<FakeIntake> agent = std::make_unique<FakeIntake>())
      : config(std::move(settings)), intake(std::move(agent)) {
    begin();
  }
  void begin() {
    source = std::make_unique<source::TcpSource>(io, config, "machines", *intake);
    source->start();
  }
  // kill -9 and a new process: only what was durable is known.
  void crash() {
    source.reset();
    intake = intake->after_crash();
    begin();
  }
  TcpClient client() { return TcpClient(source->port()); }
  template <class Condition>
  bool until(Condition condition) {
    return run_until(io, condition);
  }
  bool received(std::size_t count) {
    return until([&] { return intake->accepted.size() >= count; }) && intake->accepted.size() == count;
  }
  void commit() { intake->commit(*source); }

  boost::asio::io_context io;
  config::TcpSource config;
  std::unique_ptr<FakeIntake> intake;
  std::unique_ptr<source::TcpSource> source;
};

}  // namespace rivulet::test
