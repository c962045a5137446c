// One simulated life of an agent's forwarder: records come, everything fails at random, then the faults end and it must
// finish. Afterwards every record must be in its topic exactly once and in order for a read_committed reader.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "agent/forward/driver.h"
#include "tests/property/forward/fake_kafka.h"

namespace rivulet::sim {

struct Plan {
  std::uint64_t seed = 1;
  Faults faults;
  int records = 300;         // of each stream, in bursts
  int poisoned = 0;          // records that the broker refuses
  int ahead = 0;             // records whose times their topic refuses, with the whole batch that they are in
  bool missing_topic = false;  // one stream's topic appears only late
  std::function<void(forward::DriverOptions&)> options;
};

struct Outcome {
  bool finished = false;
  std::string alarm;
  std::uint64_t missing = 0, duplicates = 0, out_of_order = 0, gaps = 0, quarantined = 0;
  std::uint64_t dropped_while_prepared = 0;
  std::uint64_t crashes = 0, recoveries = 0, transactions = 0;
  bool exact() const { return finished && missing == 0 && duplicates == 0 && out_of_order == 0; }
  std::string text() const;
};

Outcome simulate(const Plan& plan);

}  // namespace rivulet::sim
