// DemoReader: reads the demo's topics along while they are written, as a consumer would, and counts.
//
// Along, because the in-process cluster keeps only the last 5 MiB of a partition. Thread: its own; the methods are for the
// demo's. A link that is cut is waited for. Bounds: those of kafka::Tally.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "agent/kafka/connection.h"
#include "agent/kafka/verify.h"

namespace rivulet::app {

struct DemoCount {
  std::uint64_t records = 0, duplicates = 0, out_of_order = 0;
  std::map<StreamId, Sequence> last;        // seen, of the demo's streams
  std::map<StreamId, std::uint64_t> missing;  // below `last`
  std::string error;                        // not empty: reading ended early, the counts prove nothing
};

class DemoReader {
 public:
  // Counts records of `agent` only, from the present end of the topics on.
  static result<std::unique_ptr<DemoReader>> start(const kafka::Connection& connection, const std::set<std::string>& topics, std::string agent);
  ~DemoReader();

  std::uint64_t records() const { return records_; }
  DemoCount finish();  // reads up to the present end, then ends; at most kFinishWithinMs

 private:
  struct Partitions;
  DemoReader(std::unique_ptr<Partitions> partitions, std::string agent);
  void run();
  bool pass();  // reads what is there; false: something is still to come or could not be read

  const std::string agent_;
  std::unique_ptr<Partitions> partitions_;
  std::atomic<std::uint64_t> records_{0};
  std::atomic<bool> ending_{false};
  std::string error_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace rivulet::app
