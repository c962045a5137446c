// FakeIntake: the agent as a source sees it, with durability in the test's hand.
//
// accept() and set_position() go to the current epoch; commit() makes everything so far durable and tells the source.
// after_crash() is the intake of the next process: it knows the durable positions only, and keeps the durable records.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/source/source.h"

namespace rivulet::test {

class FakeIntake final : public source::Intake {
 public:
  struct Accepted {
    std::string payload, topic;
    EpochNumber epoch;
    std::optional<std::string> key = std::nullopt;
    std::optional<Timestamp> timestamp_ms = std::nullopt;
    bool null = false;
    std::optional<std::string> first_line = std::nullopt;
  };

  bool can_accept() const override { return accepted.size() < room_up_to; }
  void accept(const source::Frame& frame) override { accepted.push_back({std::string(frame.payload), std::string(frame.topic), epoch_, frame.key ? std::optional<std::string>(*frame.key) : std::nullopt, frame.timestamp_ms, frame.null, frame.first_line ? std::optional<std::string>(*frame.first_line) : std::nullopt}); }
  // A frame that begins with "bad" is undecodable; one of several lines holds as many records.
  source::Checked check(const source::Frame& frame) override {
    source::Checked checked;
    for (std::size_t at = 0; at < frame.payload.size();) {
      const std::size_t end = std::min(frame.payload.find('\n', at), frame.payload.size());
      if (frame.payload.substr(at, 3) == "bad") {
        checked.reason = "it is bad";
        checked.at = at;
        return checked;
      }
      checked.records += end > at ? 1 : 0;
      at = end + 1;
    }
    return checked;
  }
  EpochNumber epoch() const override { return epoch_; }
  void set_position(std::string_view key, std::string_view value) override { changes_.push_back({epoch_, std::string(key), std::string(value)}); }
  void erase_position(std::string_view key) override { changes_.push_back({epoch_, std::string(key), std::nullopt}); }
  const std::map<std::string, std::string>& positions_at_start() const override { return at_start_; }
  void commit_soon() override { ++commit_soon_calls; }
  void count(std::string_view what, std::uint64_t by = 1) override { counts[std::string(what)] += by; }
  const Clock& clock() const override { return *clock_; }

  // --- the test's hand ---
  void end_epoch() { ++epoch_; }
  void make_durable(EpochNumber up_to) {  // epochs are committed in order, each whole
    durable_ = up_to;
    std::erase_if(changes_, [&](const Change& change) {
      if (change.epoch > up_to) return false;
      if (change.value) {
        positions[change.key] = *change.value;
      } else {
        positions.erase(change.key);
      }
      return true;
    });
  }
  void commit(source::Source& source) {
    const EpochNumber ended = epoch_;
    end_epoch();
    make_durable(ended);
    source.on_durable(ended);
  }
  std::unique_ptr<FakeIntake> after_crash() const {
    auto next = std::make_unique<FakeIntake>();
    next->at_start_ = next->positions = positions;
    if (clock_ != &system_clock_) next->clock_ = clock_;
    for (const auto& each : accepted) {
      if (each.epoch <= durable_) next->accepted.push_back({each.payload, each.topic, 0, each.key, each.timestamp_ms, each.null, each.first_line});
    }
    return next;
  }
  void use_clock(const Clock& clock) { clock_ = &clock; }
  void start_with(std::map<std::string, std::string> known) { at_start_ = positions = std::move(known); }
  std::vector<std::string> payloads() const {
    std::vector<std::string> all;
    for (const auto& each : accepted) all.push_back(each.payload);
    return all;
  }
  std::size_t pending_changes() const { return changes_.size(); }

  std::vector<Accepted> accepted;
  std::map<std::string, std::uint64_t> counts;
  std::map<std::string, std::string> positions;  // durable
  std::size_t room_up_to = SIZE_MAX;             // accepted records in all
  int commit_soon_calls = 0;

 private:
  struct Change {
    EpochNumber epoch;
    std::string key;
    std::optional<std::string> value;
  };
  SystemClock system_clock_;
  const Clock* clock_ = &system_clock_;
  EpochNumber epoch_ = 1, durable_ = 0;
  std::map<std::string, std::string> at_start_;
  std::vector<Change> changes_;
};

}  // namespace rivulet::test
