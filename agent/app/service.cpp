#include "agent/app/service.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "agent/app/kafka_connection.h"
#include "agent/app/logging.h"
#include "agent/app/process.h"
#include "agent/app/restore_store.h"
#include "agent/app/store_access.h"
#include "agent/base/log.h"
#include "agent/source/factory.h"

namespace rivulet::app {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLinger{100};       // for acknowledgements on their way to the sockets
constexpr milliseconds kHouse{10'000};
constexpr std::int64_t kQuietMs = 30'000;  // nothing stored and nothing forwarded for so long
constexpr milliseconds kWatchForEnd{50};

// Of a transaction only the places of its records are kept here, and written to the store when it is PREPARED: 8 to 80 bytes each
// while that goes on, for at least 400 that are counted. Fewer and larger ones cost less.
std::uint64_t transaction_bytes(const config::Config& config) {
  return std::min<std::uint64_t>(config.kafka->transaction_max_bytes, std::max<std::uint64_t>(2 * config.agent.memory_bytes, 1 << 20));
}

bool sends_to_topics(const config::Config& config) {
  if (std::any_of(config.sources.begin(), config.sources.end(), [](const config::Source& source) { return source.undecodable.has_value(); })) return true;
  return std::any_of(config.pipelines.begin(), config.pipelines.end(), [](const config::Pipeline& pipeline) {
    const auto outputs = config::outputs_of(pipeline);
    return std::any_of(outputs.begin(), outputs.end(), [](const config::Output* output) { return !output->local; });
  });
}

bool can_end(const config::Source& source) {
  if (const auto* simulate = std::get_if<config::SimulateSource>(&source.type)) return simulate->count.has_value();
  return std::holds_alternative<config::StdinSource>(source.type);
}

}  // namespace

result<std::unique_ptr<Service>> Service::open(config::Config config, std::unique_ptr<pipeline::Topology> topology, const Clock& clock,
                                               Options options) {
  std::unique_ptr<Service> service(new Service(std::move(config), clock, std::move(options)));
  if (auto done = service->set_up(std::move(topology)); !done) return done.error();
  return service;
}

Service::Service(config::Config config, const Clock& clock, Options options)
    : config_(std::make_unique<config::Config>(std::move(config))), clock_(clock), options_(std::move(options)), started_ms_(clock.steady_ms()),
      stamps_(stamps_of(*config_)), signals_(io_), house_timer_(io_), end_timer_(io_), deadline_(io_), history_(started_ms_) {
  reload_status_.taken_ms = clock.wall_ms();
}

Service::~Service() = default;

result<void> Service::set_up(std::unique_ptr<pipeline::Topology> topology) {
  auto opened = open_store(store_options(config_->agent), clock_);
  if (!opened) return opened.error();
  store_ = std::move(*opened);
  if (!store_->identity().notice.empty()) log::error("{}", store_->identity().notice);
  if (config_->kafka) {
    const auto uplink = make_uplink(*config_);
    if (auto restored = restore_at_start(*config_, *store_, *uplink, clock_); !restored) return restored.error();
  }
  auto agent = Agent::create({io_, *config_, *store_, clock_, std::move(topology), source_maker(*config_), [this](const Error& error) { lost(error); }});
  if (!agent) return agent.error();
  agent_ = std::move(*agent);
  auto sinks = sink::Sinks::open(*config_, *store_, clock_);
  if (!sinks) return sinks.error();
  sinks_ = std::move(*sinks);
  use_forwarder(make_forwarder(*config_, agent_->units()));
  start_status();
  if (options_.handle_signals) {
    std::signal(SIGPIPE, SIG_IGN);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) signals_.add(number);
    wait_for_signal();
  }
  return {};
}

std::unique_ptr<forward::Uplink> Service::make_uplink(const config::Config& config) const { return options_.make_uplink ? options_.make_uplink(config) : kafka_uplink(config); }

// `config` outlives what it makes sources for.
SourceMaker Service::source_maker(const config::Config& config) {
  if (options_.make_source) return options_.make_source;
  return [&config](boost::asio::io_context& io, const config::Source& source, const std::string& agent_id, source::Intake& intake) {
    if (!config.kafka) return source::make_source(io, source, agent_id, intake);
    const kafka::Connection connection = connection_of(*config.kafka, "rivulet-" + agent_id + "-" + source.name);
    return source::make_source(io, source, agent_id, intake, &connection);
  };
}

std::shared_ptr<forward::Forwarder> Service::make_forwarder(const config::Config& config, std::vector<forward::Unit> units) {
  if (!config.kafka) {
    if (sends_to_topics(config)) log::warn("no kafka section: records for topics are stored and not forwarded");
    return nullptr;
  }
  forward::Options options;
  options.agent_id = config.agent.id;
  options.incarnation = store_->identity().incarnation;
  options.history = store_->identity().history;
  options.exactly_once = config.kafka->exactly_once;
  options.headers = config.kafka->headers;
  options.progress_topic = config.kafka->progress_topic;
  options.units = std::move(units);
  options.transaction_interval_ms = config.kafka->transaction_interval_ms;
  options.transaction_max_bytes = transaction_bytes(config);
  options.transaction_timeout_ms = config.kafka->transaction_timeout_ms;
  options.stop_within_ms = kForwarderWithinMs;
  options.on_up = forget_code_pages;
  return std::make_shared<forward::Forwarder>(options, *store_, make_uplink(config), clock_);
}

void Service::use_forwarder(std::shared_ptr<forward::Forwarder> forwarder) {
  forwarder_ = std::move(forwarder);
  store_->on_outbox([forwarder = std::weak_ptr(forwarder_), sinks = std::weak_ptr(sinks_)] {
    if (const auto alive = forwarder.lock()) alive->wake();
    if (const auto alive = sinks.lock()) alive->wake();
  });
}

// The agent's work goes on without a listener, so an address that is taken does not stop it.
void Service::start_status() {
  if (config_->status.listen.empty()) return;
  auto status = StatusServer::listen(io_, config_->status.listen, [this] { return look(); }, [this] { return history_.samples(); });
  if (!status) {
    if (std::exchange(status_trouble_, status.error().message) != status.error().message)
      log::error("{}; going on without the status page, /metrics, /healthz and /status; it is tried again", status_trouble_);
    return;
  }
  status_trouble_.clear();
  status_ = std::move(*status);
  log::info("status: listening on {}", status_->address());
}

void Service::start() {
  Pulse::take(pulse_);
  agent_->start();
  if (forwarder_) forwarder_->start();
  if (sinks_) sinks_->start();
  watch_for_end();
  log::info("rivulet {} runs as agent {}: {} sources, {} pipelines, state in {}", RIVULET_VERSION, config_->agent.id, config_->sources.size(),
               config_->pipelines.size(), config_->agent.state);
  notify_.ready();
  watch_threads();
  keep_house();
  forget_code_pages();
}

// Looked at four times in the time after which systemd would act; a thread has half of it for one piece of work.
void Service::watch_threads() {
  const std::int64_t every_ms = notify_.watchdog_every_ms();
  if (every_ms <= 0 || !notify_.on()) return;
  Watchdog::Options options;
  options.look_every_ms = std::max<std::int64_t>(1, every_ms / 4);
  options.stuck_after_ms = every_ms;
  watchdog_ = std::make_unique<Watchdog>(options, [this] { notify_.watchdog(); });
  watchdog_->watch("io", pulse_);
  watchdog_->watch("store", store_->pulse());
  if (forwarder_) watchdog_->watch("forward", forwarder_->pulse());
}

int Service::run() {
  start();
  io_.run();
  Pulse::end();
  status_.reset();
  if (forwarder_) forwarder_->ask_to_stop();
  if (sinks_) sinks_->stop();
  if (forwarder_) forwarder_->stop();
  const store::StoreStats stats = store_->stats();
  if (exit_code_ != kExitLost) log::info("stopped; {} records stay in the store for the next start", stats.outbox_records);
  return exit_code_;
}

void Service::wait_for_signal() {
  signals_.async_wait([this](boost::system::error_code error, int number) {
    if (error) return;
    if (number == SIGHUP) {
      reload();
    } else {
      stop(number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
    wait_for_signal();
  });
}

void Service::stop(const std::string& why) {
  if (phase_ == Phase::stopping) return;
  if (phase_ == Phase::draining) {
    phase_ = Phase::stopping;
    log::info("{}: what was not taken yet waits in the store for the next start", why);
    return end_soon();
  }
  const bool committing = phase_ == Phase::finishing;
  phase_ = Phase::stopping;
  if (reload_) refuse_reload({ErrorCode::unavailable, why + ": the agent ends"});
  notify_.stopping();
  log::info("{}: sources stop, the epoch is committed", why);
  deadline_.expires_after(milliseconds(kCommitWithinMs));
  deadline_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    log::error("the last epoch could not be committed within {} ms; it was not acknowledged, sources that can will send it again", kCommitWithinMs);
    abandoned_ = true;
    io_.stop();
  });
  if (!committing) stop_agent();
}

void Service::stop_agent() {
  sources_until_ms_ = clock_.steady_ms() + kSourcesWithinMs;
  agent_->stop([this] { committed(); });
}

void Service::committed() {
  deadline_.cancel();
  if (phase_ == Phase::stopping) return end_soon();
  phase_ = Phase::draining;
  wait_for_drain(clock_.steady_ms() + (forwarder_ || sinks_ ? options_.drain_timeout_ms : 0));
}

void Service::end_soon() {
  end_timer_.expires_after(kLinger);
  end_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    if (agent_->ended() || clock_.steady_ms() >= sources_until_ms_) return io_.stop();
    if (forwarder_) forwarder_->ask_to_stop();  // meanwhile
    if (sinks_) sinks_->ask_to_stop();
    end_soon();
  });
}

void Service::watch_for_end() {
  if (watching_for_end_ || phase_ != Phase::running || !std::all_of(config_->sources.begin(), config_->sources.end(), can_end)) return;
  watching_for_end_ = true;
  end_timer_.expires_after(kWatchForEnd);
  end_timer_.async_wait([this](boost::system::error_code error) {
    watching_for_end_ = false;
    if (error || phase_ != Phase::running) return;
    if (reload_ || !agent_->finished()) return watch_for_end();
    if (agent_->in_trouble()) exit_code_ = kExitUnread;
    finish(exit_code_ == 0 ? "every source is at its end" : "no source gives any more, one of them before its end");
  });
}

void Service::finish(const std::string& why) {
  if (phase_ != Phase::running) return;
  if (reload_) refuse_reload({ErrorCode::unavailable, why + ": the agent ends"});
  phase_ = Phase::finishing;
  log::info("{}: the epoch is committed{}", why, forwarder_ || sinks_ ? " and the outbox sent on" : "");
  stop_agent();
}

// Records and gaps. Without a kafka section what is for topics stays.
std::vector<store::StreamInfo> Service::left_to_send() const {
  std::vector<store::StreamInfo> left;
  for (store::StreamInfo& stream : store_->stream_infos())
    if (stream.acknowledged < stream.last && (store::is_local(stream.topic) ? sinks_ != nullptr : forwarder_ != nullptr)) left.push_back(std::move(stream));
  return left;
}

void Service::wait_for_drain(std::int64_t until_ms) {
  const auto left = left_to_send();
  const bool over = clock_.steady_ms() >= until_ms;
  if (left.empty() || over) {
    std::uint64_t records = 0;
    for (const store::StreamInfo& stream : left) records += stream.waiting();
    if (!left.empty()) log::warn("not everything was taken in {} ms: {} records wait in the store for the next start", options_.drain_timeout_ms, records);
    return end_soon();
  }
  end_timer_.expires_after(kWatchForEnd);
  end_timer_.async_wait([this, until_ms](boost::system::error_code error) {
    if (!error) wait_for_drain(until_ms);
  });
}

void Service::keep_house() {
  pulse_->beat();
  const bool room = store_->has_room() || phase_ != Phase::running;
  if (had_room_ && !room)
    log::warn("no room in {} for more records: sources wait until some have been taken (or raise agent.storage.max)", config_->agent.state);
  if (!had_room_ && room) log::info("there is room in {} again", config_->agent.state);
  had_room_ = room;
  const bool held_full = store_->stats().held_full;
  if (held_full && !held_was_full_)
    log::warn("records for outputs that take nothing fill half of the store in {}: their sources wait, the others go on (`rivulet status` names the outputs)", config_->agent.state);
  if (!held_full && held_was_full_) log::info("records for outputs that take nothing fill less than half of the store again");
  held_was_full_ = held_full;
  agent_->tell_quarantined();
  report_suppressed_lines();
  rest_when_quiet();
  keep_history();
  if (!status_ && phase_ == Phase::running) start_status();  // its address may be there by now
  if (notify_.on()) {
    const Snapshot now = look();
    notify_.status(fmt::format("{} records in, {} wait{}", now.totals.in, now.store.outbox_records, now.forward ? std::string(", link ") + name_of(now.forward->link) : ""));
  }
  const auto every = notify_.watchdog_every_ms() > 0 ? std::min(kHouse, milliseconds(std::max<std::int64_t>(1, notify_.watchdog_every_ms() / 4))) : kHouse;
  house_timer_.expires_after(every);
  house_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) keep_house();
  });
}

void Service::keep_history() {
  const std::int64_t now_ms = clock_.steady_ms();
  if (!history_.due(now_ms)) return;
  const Snapshot now = look();
  const bool up = now.forward && forward::is_well(now.forward->link);
  history_.add({now.totals.in, now.forward ? now.forward->forwarded_records : now.stored, now.store.outbox_records, up, problems_of(now).empty()}, now_ms);
}

// Once in a pause: what only work needs leaves the resident set.
void Service::rest_when_quiet() {
  const store::StoreStats stats = store_->stats();
  const std::pair<std::uint64_t, std::uint64_t> done{stats.commits, forwarder_ ? forwarder_->status().transactions : 0};
  const std::int64_t now_ms = clock_.steady_ms();
  if (done != done_) {
    done_ = done;
    quiet_since_ms_ = now_ms;
    rests_ = false;
  } else if (!rests_ && now_ms - quiet_since_ms_ >= kQuietMs) {
    rests_ = true;
    forget_code_pages();
  }
}

void Service::lost(const Error& error) {
  log::critical("{}; the process ends now and has to be started again (systemd does)", error.message);
  exit_code_ = kExitLost;
  io_.stop();
}

Snapshot Service::look() const {
  Snapshot now;
  now.agent_id = config_->agent.id;
  now.incarnation = store_->identity().incarnation.text();
  now.now_ms = clock_.wall_ms();
  now.uptime_ms = clock_.steady_ms() - started_ms_;
  now.store = store_->stats();
  if (now.store.dropped_records > 0) now.dropped_ago_ms = clock_.steady_ms() - now.store.last_drop_ms;
  if (store_->identity().adopted_after_damage) now.store_notice = store_->identity().notice;
  agent_->describe(now);
  if (sinks_) now.sinks = sinks_->status();
  if (forwarder_) {
    now.forward = forwarder_->status();
    now.forward->forwarded_records += forwarded_before_.forwarded_records;
    now.forward->transactions += forwarded_before_.transactions;
    now.forward->recoveries += forwarded_before_.recoveries;
    now.forward->last_settled_ms = std::max(now.forward->last_settled_ms, forwarded_before_.last_settled_ms);
  }
  now.streams = with_holds(store_->stream_infos(), now.forward ? now.forward->held : std::vector<forward::HeldStream>());
  now.reload = reload_status_;
  now.log_lines_suppressed = suppressed_log_lines();
  now.last_errors = last_errors();
  now.resident_bytes = resident_bytes();
  now.cpu_seconds = cpu_seconds();
  return now;
}

}  // namespace rivulet::app
