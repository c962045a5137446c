// The Outbox in memory, with what a power cut does to it: changes that were not durable may be gone, in order.
#pragma once
#include <deque>
#include <map>
#include <string>

#include "agent/forward/outbox.h"
#include "tests/property/forward/fake_kafka.h"

namespace rivulet::sim {

class FakeOutbox final : public forward::Outbox {
 public:
  FakeOutbox(Dice& dice, Faults& faults) : dice_(dice), faults_(faults) {}

  void add_stream(StreamId id, const std::string& topic);
  void add_records(StreamId id, std::uint64_t count);  // durable
  static std::string value(StreamId stream, Sequence sequence) { return std::to_string(stream) + ":" + std::to_string(sequence); }
  static std::string key(StreamId stream, Sequence sequence) { return "k" + std::to_string((stream * 7 + sequence * sequence) % 5); }

  void add_records(StreamId id, std::uint64_t count, Timestamp timestamp_ms);
  std::map<StreamId, std::map<Sequence, Timestamp>> times;  // of some records; the others have small ones

  std::uint64_t failing_calls = 0;  // so many of the next calls of fact() and change() find the disk full, and change nothing

  void drop_oldest();  // as a store does that is full: some records give way to a gap
  std::uint64_t dropped_while_prepared() const { return dropped_while_prepared_; }
  void lose_what_is_not_durable();
  bool empty() const;
  std::size_t gaps() const;
  const std::map<StreamId, std::map<Sequence, std::string>>& quarantined() const { return now_.gaps; }

  result<std::vector<store::StreamInfo>> streams() override;
  result<std::vector<store::Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes) override;
  result<std::optional<std::string>> fact(const std::string& name) override;
  result<void> change(store::ForwardChange change) override;
  void protect(const std::vector<store::ForwardChange::Acknowledged>& prepared) override;

 private:
  struct State {
    std::map<StreamId, store::StreamInfo> streams;
    std::map<std::string, std::string> facts;
    std::map<StreamId, std::map<Sequence, std::string>> gaps;
  };
  static void apply(State& state, const store::ForwardChange& change);
  void crash();
  bool fails();
  Dice& dice_;
  Faults& faults_;
  State durable_, now_;
  std::deque<store::ForwardChange> not_durable_;
  std::optional<std::map<StreamId, Sequence>> protected_;
  std::uint64_t dropped_while_prepared_ = 0;
};

}  // namespace rivulet::sim
