// DemoShow: drives the running demo on the agent's io thread: the progress line, and the link that is cut and restored.
//
// The link is cut only between transactions: the in-process Kafka has no isolation, a reader would see an aborted one.
// Thread: io.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "agent/app/service.h"
#include "agent/kafka/mock_cluster.h"

namespace rivulet::app {

class DemoShow {
 public:
  static constexpr int kCuts = 3;
  // `cluster` absent: a real Kafka, whose link is not ours to cut.
  DemoShow(Service& service, kafka::MockCluster* cluster, std::int64_t seconds, std::function<std::uint64_t()> read_back);
  void start();
  void end_line() const;  // after the last progress line on a terminal
  int cuts() const { return cuts_; }

 private:
  void tick();
  void drive_link(double elapsed_s);
  bool between_transactions();
  void print(double elapsed_s);
  void say(const std::string& text);

  Service& service_;
  kafka::MockCluster* cluster_;
  const double seconds_;
  const std::function<std::uint64_t()> read_back_;
  const bool terminal_;
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point began_, printed_;
  int cuts_ = 0;
  bool cut_ = false, finishing_ = false;
  double restore_at_s_ = 0;
  std::uint64_t transactions_seen_ = 0;
};

}  // namespace rivulet::app
