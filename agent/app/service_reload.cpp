// Reload: the file's configuration takes the place of the one at work, as a whole or not at all.
//
//   read, checked, compiled --> tables loaded, store writes --> forwarder ended --> sources paused, --> next agent --> changed over
//   and held against state      (at most kReadyWithinMs)        (if it changes)     epoch durable       created        (cannot fail)
//
// Up to the change-over the agent before goes on, and whatever fails has it go on as if nothing had been. Sources are refused only from the pause to
// the change-over; those that do not change keep their connections and what they have read. Nothing is lost or doubled, because at the change-over
// everything that was taken in is durable and told to its source, and positions, sequence numbers and state are read from the store as at a start.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>

#include "agent/app/checked_config.h"
#include "agent/app/logging.h"
#include "agent/app/service.h"
#include "agent/app/store_access.h"
#include "agent/base/fault_point.h"
#include "agent/base/log.h"

namespace rivulet::app {
namespace {

using std::chrono::milliseconds;
constexpr std::int64_t kReadyWithinMs = 30'000;     // lookup tables, a disk that takes nothing
constexpr std::int64_t kPausedWithinMs = 10'000;    // so long may sources be refused for the last epoch's commit
constexpr std::int64_t kSlowCommitToWaitForMs = 1'000;
constexpr std::int64_t kLookMs = 10;

std::string problems_in_short(const std::vector<config::Problem>& problems) {
  const auto is_error = [](const config::Problem& problem) { return !problem.warning; };
  const auto first = std::find_if(problems.begin(), problems.end(), is_error);
  if (first == problems.end()) return "it is not in order";
  const auto count = std::count_if(problems.begin(), problems.end(), is_error);
  return first->text() + (count > 1 ? fmt::format(" (and {} more, in the log and by `rivulet check`)", count - 1) : "");
}

}  // namespace

struct Service::Reload {
  explicit Reload(boost::asio::io_context& io) : timer(io) {}

  std::unique_ptr<const config::Config> config;
  FileStamps stamps;
  std::unique_ptr<pipeline::Topology> topology;
  std::unique_ptr<StatusServer> status;
  std::unique_ptr<Agent> agent;
  std::shared_ptr<forward::Forwarder> forwarder;
  bool other_status = false, other_forwarder = false;
  bool forwarder_asked = false, paused = false;
  std::int64_t until_ms = 0, paused_ms = 0;
  boost::asio::steady_timer timer;
};

void Service::reload() {
  if (phase_ != Phase::running) return log::warn("reload: the agent is ending; its configuration stays");
  if (reload_) {
    reload_again_ = true;
    return;
  }
  notify_.reloading();
  log::info("reload: reading {}", config_->file);
  reload_ = std::make_shared<Reload>(io_);
  reload_status_.under_way = "it is being read";
  if (auto read = read_anew(*reload_); !read) return refuse_reload(read.error());
  fault_point("reload.checked");
  reload_->until_ms = clock_.steady_ms() + kReadyWithinMs;
  reload_when_ready();
}

result<void> Service::read_anew(Reload& next) {
  CheckedConfig checked = check_config(config_->file, clock_);
  for (const auto& problem : checked.problems) {
    if (problem.warning) log::warn("{}", problem.text());
    else log::error("{}", problem.text());
  }
  if (!checked.ok()) return Error{ErrorCode::invalid, problems_in_short(checked.problems)};
  if (const auto names = needs_restart(*config_, checked.config); !names.empty())
    return Error{ErrorCode::invalid, fmt::format("needs a restart: {} (take it back, or `systemctl restart rivulet`)", fmt::join(names, ", "))};
  if (auto fits = check_state(*checked.topology, config_->agent.state); !fits) return fits;
  next.config = std::make_unique<config::Config>(std::move(checked.config));
  next.stamps = stamps_of(*next.config);
  next.topology = std::move(checked.topology);
  next.other_forwarder = !keeps_forwarder({*config_, stamps_}, {*next.config, next.stamps}) || !agent_->units().empty();
  next.other_status = next.config->status.listen != config_->status.listen;
  if (!next.other_status || next.config->status.listen.empty()) return {};
  auto status = StatusServer::listen(io_, next.config->status.listen, [this] { return look(); }, [this] { return history_.samples(); });
  if (!status) return status.error();
  next.status = std::move(*status);
  return {};
}

// Before anything is stopped. Empty: nothing.
std::string Service::reload_waits_for() {
  const Snapshot now = look();
  if (now.store.disk_full) return "the disk of agent.state is full";
  if (now.committing_for_ms > kSlowCommitToWaitForMs) return fmt::format("a commit takes {} s by now", now.committing_for_ms / 1000);
  const auto ready = [](const pipeline::Topology::TableState& table) { return table.ready; };
  if (reload_->topology->tables_ready() || !std::all_of(now.tables.begin(), now.tables.end(), ready)) return {};  // sources wait for tables as it is
  for (const auto& table : reload_->topology->tables())
    if (!table.ready) return "table " + table.name + ": " + table.text;
  return {};
}

void Service::reload_when_ready() {
  const bool more = reload_->topology->look_at_tables(config_->agent.state);
  const std::string waits_for = reload_waits_for();
  if (waits_for.empty()) {
    reload_->other_forwarder = reload_->other_forwarder && (forwarder_ || reload_->config->kafka);
    return reload_without_forwarder();
  }
  if (clock_.steady_ms() >= reload_->until_ms) return refuse_reload({ErrorCode::unavailable, fmt::format("not ready after {} s: {}", kReadyWithinMs / 1000, waits_for)});
  reload_status_.under_way = waits_for;
  after_in_reload(more ? 0 : kLookMs, &Service::reload_when_ready);
}

// It ends what is under way, within kForwarderWithinMs; sources go on meanwhile.
void Service::reload_without_forwarder() {
  if (!reload_->other_forwarder || !forwarder_) return pause_to_reload();
  if (!std::exchange(reload_->forwarder_asked, true)) forwarder_->ask_to_stop();
  reload_status_.under_way = "the transaction under way is ended";
  if (!forwarder_->ended()) return after_in_reload(kLookMs, &Service::reload_without_forwarder);
  fault_point("reload.forwarder_ended");
  pause_to_reload();
}

// Comes here again when a source has changed a position since.
void Service::pause_to_reload() {
  if (!std::exchange(reload_->paused, true)) {
    reload_->paused_ms = clock_.steady_ms();
    reload_status_.under_way = "the last epoch is committed";
    reload_->timer.expires_after(milliseconds(kPausedWithinMs));
    reload_->timer.async_wait([this, alive = std::weak_ptr(reload_)](boost::system::error_code error) {
      if (!error && alive.lock()) refuse_reload({ErrorCode::unavailable, fmt::format("the last epoch could not be committed within {} s", kPausedWithinMs / 1000)});
    });
  }
  agent_->pause([this, alive = std::weak_ptr(reload_)] {
    boost::asio::post(io_, [this, alive] {
      if (alive.lock()) take_reload();
    });
  });
}

void Service::take_reload() {
  if (!agent_->settled()) return pause_to_reload();
  fault_point("reload.paused");
  if (auto assembled = assemble(*reload_); !assembled) return refuse_reload(assembled.error());
  fault_point("reload.assembled");
  change_over(*reload_);
  fault_point("reload.changed_over");
  end_reload();
}

// Beside the agent before, which still can go on. What a source or a client library throws at a start is thrown here.
result<void> Service::assemble(Reload& next) try {
  const auto keeps = [this, &next](const config::Source& source) { return keeps_source({*config_, stamps_}, {*next.config, next.stamps}, source); };
  auto agent = Agent::create({io_, *next.config, *store_, clock_, std::move(next.topology), source_maker(*next.config), [this](const Error& error) { lost(error); }, agent_.get(), keeps});
  if (!agent) return agent.error();
  if (next.other_forwarder) next.forwarder = make_forwarder(*next.config, (*agent)->units());
  if (auto set = store_->set_options(store_options(next.config->agent)); !set) return set;
  next.agent = std::move(*agent);
  return {};
} catch (const std::exception& error) {
  return Error{ErrorCode::unavailable, error.what()};
}

void Service::change_over(Reload& next) {
  next.agent->take_over();
  agent_ = std::move(next.agent);  // the one before goes, and its configuration after it
  config_.swap(next.config);
  stamps_ = std::move(next.stamps);
  if (next.other_forwarder) change_forwarder(std::move(next.forwarder));
  if (next.other_status) {
    status_ = std::move(next.status);
    if (status_) log::info("status: listening on {}", status_->address());
  }
  set_log_level(config_->log.level);
  agent_->start();
  reload_status_.last_pause_ms = static_cast<std::uint64_t>(clock_.steady_ms() - next.paused_ms);
  reload_status_.taken_ms = clock_.wall_ms();
  reload_status_.successful = true;
  reload_status_.problem.clear();
  ++reload_status_.reloads;
  watch_for_end();
  log::info("reload: done: {} sources, {} pipelines; sources waited {} ms", config_->sources.size(), config_->pipelines.size(), reload_status_.last_pause_ms);
}

void Service::change_forwarder(std::shared_ptr<forward::Forwarder> next) {
  if (forwarder_) {
    const forward::Status last = forwarder_->status();
    forwarded_before_.forwarded_records += last.forwarded_records;
    forwarded_before_.transactions += last.transactions;
    forwarded_before_.recoveries += last.recoveries;
    forwarded_before_.last_settled_ms = std::max(forwarded_before_.last_settled_ms, last.last_settled_ms);
    store_->hold("forward", {});  // the next one finds out by itself
  }
  use_forwarder(std::move(next));
  if (forwarder_) forwarder_->start();
  if (watchdog_) watchdog_->watch("forward", forwarder_ ? forwarder_->pulse() : nullptr);
}

void Service::refuse_reload(const Error& error) {
  log::error("reload: refused: {}; the configuration before goes on as a whole", error.message);
  reload_status_.successful = false;
  reload_status_.refused_ms = clock_.wall_ms();
  reload_status_.problem = error.message;
  if (reload_->paused) agent_->resume();
  if (reload_->forwarder_asked && phase_ != Phase::stopping) {
    forwarder_->stop();  // it was on its way
    change_forwarder(make_forwarder(*config_, agent_->units()));
  }
  end_reload();
}

void Service::end_reload() {
  reload_.reset();
  reload_status_.under_way.clear();
  if (phase_ != Phase::running) return;
  notify_.ready();
  if (std::exchange(reload_again_, false)) boost::asio::post(io_, [this] { reload(); });
}

// One timer: the deadline of the pause comes after the last of these waits.
void Service::after_in_reload(std::int64_t wait_ms, void (Service::*then)()) {
  reload_->timer.expires_after(milliseconds(wait_ms));
  reload_->timer.async_wait([this, then, alive = std::weak_ptr(reload_)](boost::system::error_code error) {
    if (!error && alive.lock()) (this->*then)();
  });
}

}  // namespace rivulet::app
