// Agent: sources -> topology -> epochs -> store. The part that accepts records; forwarding works from the store by itself.
//
// Life: create() (start-up: blocks on the store), start(), then it runs on io until stop() has called back.
// Reload: the one before is paused (its sources are refused, and stay as they are) until everything is durable; the next one is created beside it;
// then take_over() moves the sources that stay, with their connections and what they have read, and the one before is over. Until take_over()
// nothing was changed, and resume() has it go on. Epochs are counted on, because sources remember them.
// A source that was taken out may take a while to end (a request, a command): it is kept until it has, and one of its name starts only then.
// Exactly once rests on three things here: a record, its sequence number and its source's position share an epoch; a source
// hears on_durable() only after that epoch's commit; sequence numbers go on where the store's streams ended.
// Thread: io. Lifetime: store, clock and io outlive it. Bounds: two epochs (see epoch_cycle.h); at the bound, at a full
// outbox and on a full disk sources are refused, and asked to go on as soon as there is room. When streams whose topic takes nothing fill
// half of the outbox, the sources that lead to them are refused, and only they.
// A commit may take long: changed state is bounded, too, by a quarter more than what asks for the epoch's end.
// Errors: Parts::on_lost is called once when a commit's fate is unknown; the process has to end then.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/app/changelog_writer.h"
#include "agent/app/clock_trust.h"
#include "agent/app/epoch_cycle.h"
#include "agent/app/intake.h"
#include "agent/app/quarantine_log.h"
#include "agent/app/snapshot.h"
#include "agent/config/config.h"
#include "agent/pipeline/state/state.h"
#include "agent/pipeline/topology.h"
#include "agent/source/source.h"
#include "store/store.h"

namespace rivulet::app {

// A seam for tests; production passes source::make_source.
using SourceMaker = std::function<std::unique_ptr<source::Source>(boost::asio::io_context&, const config::Source&,
                                                                  const std::string& agent_id, source::Intake&)>;

// How large an epoch may grow: an eighth of agent.memory, between 256 KiB and 8 MiB, and little beside the storage limit.
std::size_t epoch_bytes_for(const config::Agent& agent);

// What of agent.memory the state of stateful steps may take; more of it stays on disk.
std::size_t state_bytes_for(const config::Agent& agent);

const char* type_name(const config::Source& source);  // "mqtt", "tcp", ...

class Agent final : private EpochCycle::Listener, private pipeline::Outputs {
 public:
  struct Parts {
    boost::asio::io_context& io;
    const config::Config& config;
    store::Store& store;
    const Clock& clock;
    std::unique_ptr<pipeline::Topology> topology;
    SourceMaker make_source;  // none: without its sources (`quarantine retry`)
    std::function<void(Error)> on_lost;
    // Reload: the agent before this one, paused and settled, and which of its sources go on as they are.
    Agent* before = nullptr;
    std::function<bool(const config::Source&)> keeps = {};
    TimeWitnesses witnesses = {};  // a seam for tests
  };
  static result<std::unique_ptr<Agent>> create(Parts parts);
  ~Agent() override;

  void start();
  // Sources take nothing more in, the epoch commits, acknowledgements go out; then `stopped`.
  void stop(std::function<void()> stopped);
  // Reload, instead of stop(): nothing more is taken in; `settled`, once, when everything so far is durable. Sources may still change
  // positions, so it has to be looked at settled() before the next agent is created.
  void pause(std::function<void()> settled);
  bool settled() const { return cycle_.settled(); }
  void resume();
  void take_over();      // of Parts::before, which must be destroyed afterwards
  bool ended() const;    // after stop(): nothing of its sources is at work any more
  // A record of the quarantine goes on from where it failed, in an epoch that takes it out of there; false: not now, ask again later.
  // Error: it cannot go on (Topology::retry).
  result<bool> retry(const store::Store::Quarantined& record);
  bool finished() const;  // every source says that nothing more will ever come
  bool in_trouble() const;  // one of them does
  void describe(Snapshot& snapshot) const;
  std::uint64_t quarantined() const { return before_.quarantined + quarantined_; }  // since the start
  void tell_quarantined() { quarantine_log_.tell(parts_.clock.steady_ms()); }  // from time to time: how many were not told one by one
  std::vector<forward::Unit> units() const { return changelog_ ? changelog_->units() : std::vector<forward::Unit>(); }

 private:
  struct Attached {
    std::unique_ptr<AgentIntake> intake;
    std::unique_ptr<source::Source> source;  // destroyed before its intake
    bool started = false;
  };
  // What remains of a source that a reload has taken out: told to stop, what it still sends is going out.
  struct Retired {
    Attached source;
    std::string name;
    std::chrono::steady_clock::time_point until;
  };
  struct OutputStream {
    StreamId id;
    Sequence last;
  };
  struct Before {  // of the agents before this one
    std::map<std::string, pipeline::Counts> pipelines;
    std::vector<pipeline::StepCounts> steps;
    pipeline::Counts totals;
    std::uint64_t epochs = 0, stored = 0, quarantined = 0;
  };

  explicit Agent(Parts parts);
  result<void> open_streams();
  result<void> attach_sources();
  std::vector<StreamId> streams_of(std::size_t source) const;
  result<void> open_state();
  result<void> on_end(EpochNumber number) override;
  void on_durable(EpochNumber up_to) override;
  void on_room() override;
  void on_lost(Error error) override;
  void emit(std::size_t output, const Record& record) override;
  void quarantine(store::QuarantineEntry entry) override;
  bool full() const override;
  bool state_full() const;
  void start_sources();
  void start_those_that_may();
  const Retired* waits_for(std::size_t source) const;
  void retire(std::vector<Attached>& sources, const std::vector<config::Source>& named);
  void look_at_retired();
  void write_changelogs_anew();
  void look_for_room();
  void keep_tables();
  void keep_time();
  void keep_time_later();
  void after_record();

  Parts parts_;
  std::unique_ptr<store::StateBackend> state_file_;  // these two: only with stateful steps
  std::unique_ptr<pipeline::StateStore> state_;
  std::unique_ptr<ChangelogWriter> changelog_;  // only with changelogs
  ClockTrust clock_trust_;
  EpochCycle cycle_;
  AgentIntake::Shared shared_;
  std::vector<OutputStream> streams_;
  std::vector<Attached> sources_;
  std::list<Retired> retired_;
  boost::asio::steady_timer room_timer_, wall_timer_, tables_timer_, retired_timer_;
  std::deque<std::pair<EpochNumber, std::uint64_t>> states_under_way_;  // epochs with state, and the number of its changes
  store::StateChanges kept_apart_;                                      // the negative control's
  bool looking_ = false, stopping_ = false;
  std::optional<EpochNumber> writing_anew_;  // the epoch of the chunk that is on its way
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::size_t first_served_ = 0;  // who is asked first to go on; turns, so that nobody starves
  std::uint64_t quarantined_ = 0;
  QuarantineLog quarantine_log_;
  Before before_;
};

}  // namespace rivulet::app
