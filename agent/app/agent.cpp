#include "agent/app/agent.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "agent/base/check.h"
#include "agent/base/fault_point.h"

namespace rivulet::app {
namespace {

// The outbox gets room when Kafka acknowledges, which nobody tells io: while a source waits, it is looked for.
constexpr std::chrono::milliseconds kLookForRoom{20}, kLookForTables{250};
constexpr std::chrono::seconds kEndsWithin{75};  // the longest kill_after is a minute: what takes longer hangs
constexpr std::chrono::seconds kLookAtTables{1};
constexpr std::int64_t kLongestWaitMs = 60'000;  // a window may be due in centuries, which no timer can say

}  // namespace

const char* type_name(const config::Source& source) {
  static constexpr const char* names[] = {"mqtt", "tcp", "file", "stdin", "simulate", "kafka", "udp", "unix", "exec", "serial", "iio", "modbus", "can", "http"};
  static_assert(std::variant_size_v<decltype(config::Source::type)> == std::size(names));
  return names[source.type.index()];
}

std::size_t epoch_bytes_for(const config::Agent& agent) {
  const std::uint64_t wanted = std::min(agent.memory_bytes / 8, agent.storage_max_bytes / 32);
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(wanted, 256 << 10, 8 << 20));
}

// At most 192 MiB: what an epoch changes and what steps hold until its end, 5/8 of it each, become one row of the log (256 MiB, store/pack.h).
std::size_t state_bytes_for(const config::Agent& agent) { return static_cast<std::size_t>(std::clamp<std::uint64_t>(agent.memory_bytes / 2, 1 << 20, 192 << 20)); }

result<std::unique_ptr<Agent>> Agent::create(Parts parts) {
  std::unique_ptr<Agent> agent(new Agent(std::move(parts)));
  if (auto opened = agent->open_streams(); !opened) return opened.error();
  if (auto opened = agent->open_state(); !opened) return opened.error();
  auto changelog = ChangelogWriter::open({agent->parts_.config, agent->parts_.store, agent->parts_.topology->outputs(), agent->state_.get(), agent->parts_.clock});
  if (!changelog) return changelog.error();
  agent->changelog_ = std::move(*changelog);
  agent->parts_.topology->trust_clock(agent->clock_trust_.plausible());
  if (auto attached = agent->attach_sources(); !attached) return attached.error();
  return agent;
}

Agent::Agent(Parts parts)
    : parts_(std::move(parts)),
      clock_trust_(parts_.config.agent.state, parts_.clock, parts_.witnesses),
      cycle_(parts_.io, parts_.store, {parts_.config.agent.commit_interval_ms, epoch_bytes_for(parts_.config.agent), parts_.before == nullptr ? 1 : parts_.before->cycle_.number()}, *this),
      shared_{cycle_, parts_.store, *parts_.topology, *this, parts_.clock, [this] { look_for_room(); }, [this] { after_record(); }, [this] { return state_full(); }, {}, false},
      room_timer_(parts_.io), wall_timer_(parts_.io), tables_timer_(parts_.io), retired_timer_(parts_.io) {}

Agent::~Agent() = default;

result<void> Agent::open_streams() {
  for (const pipeline::Output& output : parts_.topology->outputs()) {
    auto stream = parts_.store.stream(output.stream, output.topic);
    if (!stream) return stream.error();
    streams_.push_back({stream->id, stream->last});
  }
  return {};
}

// Before the first record: the tables are what the last durable epoch left.
result<void> Agent::open_state() {
  if (!parts_.topology->stateful()) return {};
  auto file = parts_.store.open_state();
  if (!file) return file.error();
  state_file_ = std::move(*file);
  state_ = std::make_unique<pipeline::StateStore>(*state_file_, state_bytes_for(parts_.config.agent));
  return parts_.topology->attach(*state_);
}

result<void> Agent::on_end(EpochNumber number) {
  store::StateChanges changes;
  parts_.topology->trust_clock(clock_trust_.plausible());
  if (state_ != nullptr) {
    parts_.topology->end_epoch(*this);
    changes = state_->take_changes();
    if (state_->failure()) return *state_->failure();
    if (broken_on_purpose("agent.state_apart")) std::swap(changes, kept_apart_);  // the negative control: state an epoch after its results
  }
  if (changelog_) changelog_->end_epoch(cycle_.filling(), changes, [this](std::size_t output) { return streams_[output].last; });
  if (!changes.empty()) {
    states_under_way_.emplace_back(number, changes.number);
    cycle_.filling().set_state(std::move(changes));
  }
  if (state_ != nullptr && shared_.open) keep_time();
  return {};
}

// State that was changed counts like an epoch's bytes: it cannot leave the memory before it is durable.
void Agent::after_record() {
  if (state_ == nullptr) return;
  if (parts_.topology->pending()) look_for_room();
  if (state_->wants_end() || parts_.topology->held_bytes() > state_bytes_for(parts_.config.agent) / 2) cycle_.commit_soon();
}

// The next moment at which silence or a timer means something; looked at again at the end of each epoch. A wait that ends sooner stays: with
// scope key the moment is always a whole idle away, and epochs that end more often would put it off for ever.
void Agent::keep_time() {
  const auto next_ms = parts_.topology->next_idle_ms();
  if (!next_ms || stopping_) {
    wall_timer_.expires_at({});  // none waits
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  const auto at = now + std::chrono::milliseconds(std::clamp<std::int64_t>(*next_ms - parts_.clock.steady_ms(), 0, kLongestWaitMs));
  if (wall_timer_.expiry() > now && wall_timer_.expiry() <= at) return;
  wall_timer_.expires_at(at);
  wall_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired() || stopping_) return;
    if (cycle_.can_accept() && !parts_.topology->pending() && parts_.topology->tables_ready()) {
      parts_.topology->advance_idle(*this);
      cycle_.grown();  // the epoch's end comes here again
    } else {
      keep_time_later();
    }
  });
}

void Agent::keep_time_later() {
  wall_timer_.expires_after(kLookForRoom);
  wall_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired()) keep_time();
  });
}

std::vector<StreamId> Agent::streams_of(std::size_t source) const {
  std::vector<StreamId> streams;
  for (const std::size_t output : parts_.topology->outputs_of(source)) streams.push_back(streams_[output].id);
  return streams;
}

// While a changelog is written anew no position may change, so then no source goes on as it is.
result<void> Agent::attach_sources() {
  if (!parts_.make_source) return {};
  const bool none_kept = parts_.before == nullptr || !parts_.keeps || (changelog_ && changelog_->writing_anew());
  for (std::size_t i = 0; i < parts_.config.sources.size(); ++i) {
    const config::Source& source = parts_.config.sources[i];
    if (!none_kept && parts_.keeps(source)) {
      sources_.emplace_back();  // take_over() fills it
      continue;
    }
    auto positions = parts_.store.positions(source.name);
    if (!positions) return positions.error();
    Attached attached;
    attached.intake = std::make_unique<AgentIntake>(shared_, i, source, std::move(*positions), streams_of(i));
    attached.source = parts_.make_source(parts_.io, source, parts_.config.agent.id, *attached.intake);
    RV_CHECK(attached.source != nullptr, "every configured source can be made");
    if (!attached.source->ready()) shared_.first.push_back(i);
    sources_.push_back(std::move(attached));
  }
  return {};
}

void Agent::start() {
  keep_tables();
  if (changelog_ && changelog_->writing_anew()) write_changelogs_anew();
  else start_sources();
}

void Agent::start_sources() {
  shared_.open = true;
  start_those_that_may();
  if (state_ != nullptr) keep_time();
  look_for_room();  // for sources that waited over a reload, and windows that were closing
}

// Lookup tables are loaded a part at a time, and everything else goes on in between.
void Agent::keep_tables() {
  if (stopping_ || parts_.config.tables.empty()) return;
  const bool more = parts_.topology->look_at_tables(parts_.config.agent.state);
  tables_timer_.expires_after(more ? std::chrono::seconds(0) : kLookAtTables);
  tables_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired()) keep_tables();
  });
}

// An epoch a chunk. Nothing else changes meanwhile, not by silence either (start_sources() begins to keep time), so wall_timer_ is free: what a
// restore finds is one moment's state.
void Agent::write_changelogs_anew() {
  if (stopping_) return;
  if (cycle_.can_accept()) {
    if (auto done = changelog_->next_chunk(epoch_bytes_for(parts_.config.agent)); !done) return on_lost(done.error());
    cycle_.grown();
    writing_anew_ = cycle_.number();
    return cycle_.commit_soon();
  }
  wall_timer_.expires_after(kLookForRoom);
  wall_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired()) write_changelogs_anew();
  });
}

void Agent::stop(std::function<void()> stopped) {
  stopping_ = true;
  room_timer_.cancel();
  wall_timer_.cancel();
  tables_timer_.cancel();
  for (Attached& each : sources_)
    if (each.started) each.source->stop();
  cycle_.drain(std::move(stopped));
}

bool Agent::ended() const {
  return std::all_of(sources_.begin(), sources_.end(), [](const Attached& each) { return !each.started || each.source->ended(); }) &&
         std::all_of(retired_.begin(), retired_.end(), [](const Retired& each) { return each.source.source->ended(); });
}

bool Agent::finished() const {
  return !sources_.empty() && !parts_.topology->pending() && std::all_of(sources_.begin(), sources_.end(), [](const Attached& each) { return each.source->finished(); });
}

bool Agent::in_trouble() const {
  return std::any_of(sources_.begin(), sources_.end(), [](const Attached& each) { return each.source->in_trouble(); });
}

void Agent::on_durable(EpochNumber up_to) {
  for (; !states_under_way_.empty() && states_under_way_.front().first <= up_to; states_under_way_.pop_front()) state_->durable(states_under_way_.front().second);
  for (Attached& each : sources_)
    if (each.started) each.source->on_durable(up_to);
  if (!writing_anew_ || *writing_anew_ > up_to) return;
  writing_anew_.reset();
  boost::asio::post(parts_.io, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired() && !stopping_) start();
  });
}

void Agent::on_room() {
  if (!shared_.open || stopping_ || !cycle_.can_accept() || !parts_.topology->tables_ready()) return;
  if (parts_.topology->pending()) {
    parts_.topology->go_on(*this);
    cycle_.grown();
    after_record();
    if (parts_.topology->pending()) return look_for_room();
  }
  if (sources_.empty()) return;
  std::erase_if(shared_.first, [this](std::size_t i) { return sources_[i].source->ready(); });
  first_served_ = (first_served_ + 1) % sources_.size();
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    Attached& each = sources_[(first_served_ + i) % sources_.size()];
    if (each.intake->waiting() && each.intake->has_room() && each.intake->take_waiting()) each.source->on_room();
  }
}

void Agent::on_lost(Error error) { parts_.on_lost(std::move(error)); }

void Agent::look_for_room() {
  if (looking_ || stopping_) return;
  looking_ = true;
  room_timer_.expires_after(parts_.topology->tables_ready() && shared_.first.empty() ? kLookForRoom : kLookForTables);
  room_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    looking_ = false;
    on_room();
    const auto waits = [](const Attached& each) { return each.intake->waiting(); };
    if (parts_.topology->pending() || std::any_of(sources_.begin(), sources_.end(), waits)) look_for_room();
  });
}

void Agent::emit(std::size_t output, const Record& record) {
  OutputStream& stream = streams_[output];
  const auto view = [](const std::optional<std::string>& text) { return text ? std::optional<std::string_view>(*text) : std::nullopt; };
  cycle_.filling().append(stream.id, ++stream.last, view(record.key), view(record.value), record.timestamp_ms, record.window);
}

bool Agent::full() const {
  return cycle_.filling_bytes() >= epoch_bytes_for(parts_.config.agent) || (state_ != nullptr && state_->wants_end());
}

// What one epoch changes is in memory until it is durable, and while another commits it cannot end.
bool Agent::state_full() const { return state_ != nullptr && (state_->full() || parts_.topology->held_bytes() > state_bytes_for(parts_.config.agent) / 8 * 5); }

result<bool> Agent::retry(const store::Store::Quarantined& record) {
  const auto& topology = parts_.topology;
  if (!shared_.open || stopping_ || !cycle_.can_accept() || state_full() || topology->pending() || !topology->tables_ready()) return false;
  if (auto done = topology->retry(record, *this); !done) return done.error();
  cycle_.filling().release(record.id);
  cycle_.grown();
  after_record();
  return true;
}

void Agent::quarantine(store::QuarantineEntry entry) {
  ++quarantined_;
  if (parts_.make_source) quarantine_log_.add(entry, parts_.clock.steady_ms());  // `quarantine retry` says itself what failed again
  cycle_.filling().quarantine(std::move(entry), parts_.make_source ? store::QuarantineBound{} : store::QuarantineBound{.records = 0});
}

void Agent::describe(Snapshot& snapshot) const {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const AgentIntake& intake = *sources_[i].intake;
    SourceSnapshot source;
    source.name = parts_.config.sources[i].name;
    source.type = type_name(parts_.config.sources[i]);
    const Retired* before = waits_for(i);
    source.state = before != nullptr ? "waits until the one before it has ended" : sources_[i].source->state();
    source.in_trouble = before != nullptr ? std::chrono::steady_clock::now() > before->until + kEndsWithin : sources_[i].source->in_trouble();
    source.records = intake.records();
    source.bytes = intake.bytes();
    source.events.insert(intake.events().begin(), intake.events().end());
    source.waiting = intake.waiting();
    snapshot.sources.push_back(std::move(source));
  }
  for (std::size_t i = 0; i < parts_.config.pipelines.size(); ++i)
    snapshot.pipelines.push_back({parts_.config.pipelines[i].name, parts_.topology->pipeline_counts(i)});
  snapshot.steps = parts_.topology->step_counts();
  for (pipeline::StepCounts& step : snapshot.steps)
    for (const pipeline::StepCounts& was : before_.steps)
      if (was.pipeline == step.pipeline && was.step == step.step) step.dropped += was.dropped, step.clamped += was.clamped;
  for (PipelineSnapshot& pipeline : snapshot.pipelines)
    if (const auto found = before_.pipelines.find(pipeline.name); found != before_.pipelines.end()) pipeline.counts += found->second;
  snapshot.tables = parts_.topology->tables();
  snapshot.totals = parts_.topology->counts();
  snapshot.totals += before_.totals;
  snapshot.epochs = before_.epochs + cycle_.committed();
  snapshot.stored = before_.stored + cycle_.committed_records();
  snapshot.filling_bytes = cycle_.filling_bytes();
  snapshot.closing = parts_.topology->pending();
  snapshot.committing_for_ms = cycle_.committing_for_ms();
  snapshot.quarantined = quarantined();
  snapshot.clock_plausible = clock_trust_.plausible();
}

}  // namespace rivulet::app
