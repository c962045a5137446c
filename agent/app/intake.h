// AgentIntake: one source's door into the agent. Everything is passed on to the epoch cycle and the topology, and counted.
//
// A source that a reload leaves as it was keeps its intake, which moves to the next Agent; that of one which goes is closed: nothing comes through
// any more. Thread: io. Lifetime: longer than its source.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/app/epoch_cycle.h"
#include "agent/pipeline/topology.h"
#include "agent/source/source.h"

namespace rivulet::app {

class AgentIntake final : public source::Intake {
 public:
  struct Shared {  // the same for every source of an agent
    EpochCycle& cycle;
    store::Store& store;
    pipeline::Topology& topology;
    pipeline::Outputs& outputs;
    const Clock& clock;
    std::function<void()> refused;  // a source was told to wait
    std::function<void()> accepted;  // a record went through
    std::function<bool()> state_full;
    std::vector<std::size_t> first;  // sources that bring tables; until they are ready no other may come
    bool open = false;               // sources were started
  };
  using Events = std::map<std::string, std::uint64_t, std::less<>>;
  static constexpr std::size_t kMaxEvents = 64;  // different names; more of them are counted as "other"

  AgentIntake(const Shared& shared, std::size_t index, const config::Source& source, std::map<std::string, std::string> positions, std::vector<StreamId> streams)
      : shared_(&shared), clock_(shared.clock), index_(index), name_(source.name), takes_any_bytes_(takes_any_bytes(source)),
        positions_(std::move(positions)), streams_(std::move(streams)) {}

  bool can_accept() const override;
  void accept(const source::Frame& frame) override;
  source::Checked check(const source::Frame& frame) override;
  EpochNumber epoch() const override;
  void set_position(std::string_view key, std::string_view value) override;
  void erase_position(std::string_view key) override;
  const std::map<std::string, std::string>& positions_at_start() const override { return positions_; }
  void commit_soon() override;
  void count(std::string_view what, std::uint64_t by) override;
  const Clock& clock() const override { return clock_; }

  bool has_room() const;  // for one more of its records, whatever becomes of it
  bool waiting() const { return waiting_; }
  bool take_waiting() { return std::exchange(waiting_, false); }
  std::uint64_t records() const { return records_; }
  std::uint64_t bytes() const { return bytes_; }
  const Events& events() const { return events_; }

  // At a reload, when everything so far is durable.
  void move_to(const Shared& shared, std::size_t index, const config::Source& source, std::vector<StreamId> streams);
  void close() { shared_ = nullptr; }
  void count_on_from(const AgentIntake& before);  // what the source of this name was before

 private:
  static bool takes_any_bytes(const config::Source& source) { return source.decode.kind == config::Decode::Kind::raw && source.decode.pattern.empty(); }
  pipeline::Arrival arrival(const source::Frame& frame) const;

  const Shared* shared_;  // none: closed
  const Clock& clock_;
  std::size_t index_;
  const std::string name_;
  bool takes_any_bytes_;  // raw without a pattern: what is no UTF-8 is counted as not_utf8
  const std::map<std::string, std::string> positions_;
  std::vector<StreamId> streams_;  // that its records may lead to
  std::uint64_t records_ = 0, bytes_ = 0;
  Events events_;
  mutable bool waiting_ = false;
};

}  // namespace rivulet::app
