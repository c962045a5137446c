// MockCluster: librdkafka's in-process Kafka, for `rivulet demo` and tests.
//
// It stands in for a broker and cannot prove exactly-once: it has no isolation (a reader sees aborted records), writes no
// markers, and keeps only the last 5 MiB of a partition.
// Thread: any one at a time. Lifetime: listens on loopback until destroyed.
#pragma once
#include <memory>
#include <string>

#include "agent/base/result.h"

namespace rivulet::kafka {

class MockCluster {
 public:
  static result<std::unique_ptr<MockCluster>> start(int brokers = 1);
  ~MockCluster();

  std::string bootstrap_servers() const;  // "127.0.0.1:port,..."
  result<void> create_topic(const std::string& name, int partitions);
  void cut_link();      // every broker drops its connections and accepts none
  void restore_link();
  void set_delay(int ms);  // of every answer from now on

  // The next `count` requests of this kind (Kafka protocol API key) are answered with this error code.
  void push_errors(int api_key, int error_code, int count);

 private:
  struct Impl;
  explicit MockCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::kafka
