// An HttpSource on a free port, with a fake agent behind it and a clock that the test moves.
#pragma once
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <utility>

#include "agent/source/http/http_source.h"
#include "tests/support/catch.h"
#include "tests/support/fake_intake.h"
#include "tests/support/run_until.h"
#include "tests/support/tcp_client.h"

namespace rivulet::test {

inline config::HttpSource http_config() {
  config::HttpSource config;
  config.listen_host = "127.0.0.1";
  return config;
}

// A whole POST. `headers`: lines, each with its end.
inline std::string post(std::string_view body, const std::string& headers = "", const std::string& path = "/") {
  return "POST " + path + " HTTP/1.1\r\nHost: gateway\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + std::string(body);
}
inline std::string with_key(const std::string& key) { return "Idempotency-Key: " + key + "\r\n"; }

struct HttpServer {
  explicit HttpServer(config::HttpSource settings = http_config(), config::Decode::Kind decode = config::Decode::Kind::json, std::unique_ptr<FakeIntake> agent = std::make_unique<FakeIntake>())
      : config(std::move(settings)), kind(decode), intake(std::move(agent)) {
    intake->use_clock(clock);
    begin();
  }
  void begin() {
    source = std::make_unique<source::HttpSource>(io, config, kind, "posts", *intake);
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
  // The status line and what came with it; a client's answers are read one by one.
  bool answered(TcpClient& client, const std::string& status) {
    return until([&] { return client.has("HTTP/1.1 " + status) && whole(client.got); });
  }
  static bool whole(const std::string& text) {
    const std::size_t length = text.find("Content-Length: "), head = text.find("\r\n\r\n");
    return length != std::string::npos && head != std::string::npos && text.size() >= head + 4 + std::stoul(text.substr(length + 16));
  }
  bool owed() const { return intake->pending_changes() > 0 || (!intake->accepted.empty() && intake->accepted.back().epoch == intake->epoch()); }
  // A request's answer, the connection of its own.
  std::string ask(const std::string& request) {
    TcpClient one = client();
    one.send(request);
    until([&] {
      if (owed()) commit();
      return whole(one.read()) || one.closed();
    });
    return one.got;
  }
  void commit() { intake->commit(*source); }

  boost::asio::io_context io;
  ManualClock clock{1'700'000'000'000};
  config::HttpSource config;
  config::Decode::Kind kind;
  std::unique_ptr<FakeIntake> intake;
  std::unique_ptr<source::HttpSource> source;
};

}  // namespace rivulet::test
