#include "agent/forward/forwarder.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "agent/forward/driver.h"

namespace rivulet::forward {
namespace {

DriverOptions driver_options(const Options& options, const Clock& clock, std::function<bool()> told_to_stop) {
  DriverOptions driver;
  driver.told_to_stop = std::move(told_to_stop);
  driver.protocol.exactly_once = options.exactly_once;
  driver.protocol.transaction_interval_ms = options.transaction_interval_ms;
  driver.protocol.transaction_timeout_ms = options.transaction_timeout_ms;
  driver.protocol.idle_close_ms = options.idle_close_ms;
  driver.protocol.stop_grace_ms = options.stop_within_ms * 2 / 3;  // a call under way and the close take the rest
  driver.protocol.seed = std::hash<std::string>{}(options.agent_id) ^ static_cast<std::uint64_t>(clock.wall_ms());
  driver.agent_id = options.agent_id;
  driver.incarnation = options.incarnation;
  driver.history = options.history;
  driver.headers = options.headers;
  driver.progress_topic = options.progress_topic;
  driver.transaction_max_bytes = options.transaction_max_bytes;
  driver.units = options.units;
  driver.no_resolve = broken_on_purpose("no-resolve");
  driver.changelog_apart = broken_on_purpose("changelog-apart");
  driver.trim_before_commit = broken_on_purpose("trim-before-commit");
  return driver;
}

Link link_of(State state) {
  switch (state) {
    case State::asleep: return Link::idle;
    case State::offline: case State::probing: case State::backoff: case State::ended: return Link::offline;
    case State::opening: case State::initialising: case State::draining: case State::resolving: case State::applying:
    case State::closing: return Link::connecting;
    case State::stopped: return Link::stopped;
    default: return Link::up;
  }
}

}  // namespace

struct Forwarder::Impl {
  Impl(Options o, store::Store& s, std::unique_ptr<Uplink> u, const Clock& c)
      : store(s), outbox(s), uplink(std::move(u)), clock(c), driver(driver_options(o, c, [this] { return told_to_stop(); }), outbox, *uplink, c), options(std::move(o)) {}

  store::Store& store;
  StoreOutbox outbox;
  std::unique_ptr<Uplink> uplink;
  const Clock& clock;
  Driver driver;  // forward thread only
  std::set<StreamId> held;  // as the store knows it; forward thread only
  Options options;

  std::thread thread;
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool woken = false, stop = false, ended = false;
  std::int64_t stop_asked_ms = 0;  // if stop
  const std::shared_ptr<Pulse> pulse = std::make_shared<Pulse>();
  Status status;
  bool outage_told = false, rested = false;  // forward thread only

  bool told_to_stop() const {
    const std::scoped_lock lock(mutex);
    return stop;
  }
  void run();
  void publish();
  void report_changes(const Status& before, const Status& now);
};

void Forwarder::Impl::publish() {
  auto& protocol = driver.protocol();
  Status now;
  now.link = link_of(protocol.state());
  now.connected = status.connected || now.link == Link::up;  // only this thread writes it
  now.phase = name_of(protocol.state());
  now.alarm = protocol.alarm();
  now.last_error = protocol.last_error();
  std::set<StreamId> ids;
  for (auto& each : driver.held()) {
    ids.insert(each.id);
    now.held.push_back({std::move(each.stream), std::move(each.topic), std::move(each.reason)});
  }
  if (ids != held) store.hold("forward", held = std::move(ids));
  now.forwarded_records = driver.forwarded_records();
  now.transactions = protocol.transactions();
  now.recoveries = protocol.recoveries();
  now.last_settled_ms = driver.last_settled_ms();
  // Passing states are no change of link worth showing.
  if (protocol.state() == State::closing || protocol.state() == State::probing) now.link = status.link;
  Status before;
  {
    const std::scoped_lock lock(mutex);
    before = std::exchange(status, now);
  }
  report_changes(before, now);
}

void Forwarder::Impl::report_changes(const Status& before, const Status& now) {
  if (!now.alarm.empty() && now.alarm != before.alarm) log::error("forward: {}", now.alarm);
  if (now.link == Link::idle) rested = true;
  else if (now.link == Link::offline || !now.alarm.empty()) rested = false;
  if (now.link == Link::up && before.link != Link::up) {
    outage_told = false;
    // Not after each rest: a device that sends once an hour would say so once an hour.
    log::write(std::exchange(rested, false) ? log::Level::debug : log::Level::info, "forward: the link to Kafka is up");
    if (options.on_up) options.on_up();
  }
  // Also at the start: a wrong broker name would show nowhere else. Once an outage.
  if (now.phase == name_of(State::offline) && !std::exchange(outage_told, true)) {
    log::warn("forward: no broker can be reached ({}); records are stored, and sent when the link is back",
                 now.last_error.empty() ? "no answer" : now.last_error);
  }
}

void Forwarder::Impl::run() {
  driver.start();
  bool driver_told = false;
  for (;;) {
    pulse->beat();
    bool data = false, end = false;
    std::int64_t asked_ms = 0;
    {
      const std::scoped_lock lock(mutex);
      data = std::exchange(woken, false);
      end = stop;
      asked_ms = stop_asked_ms;
    }
    if (data) driver.data();
    if (end && !std::exchange(driver_told, true)) driver.stop(clock.steady_ms() - asked_ms);
    const auto next = driver.step();
    publish();
    if (next.ended) return;
    if (!next.waits) continue;
    const PulseScope at(Pulse::Doing::waits);
    std::unique_lock lock(mutex);
    const auto left_ms = next.until_ms - clock.steady_ms();
    const auto ready = [&] { return woken || (stop && !driver_told); };
    // One wait is bounded, so that no arithmetic on far times is needed.
    const bool interrupted = changed.wait_for(lock, std::chrono::milliseconds(std::clamp<std::int64_t>(left_ms, 0, 3'600'000)), ready);
    lock.unlock();
    if (!interrupted && clock.steady_ms() >= next.until_ms) driver.tick();  // decides only: the work is step()'s
  }
}

Forwarder::Forwarder(Options options, store::Store& store, std::unique_ptr<Uplink> uplink, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), store, std::move(uplink), clock)) {}

Forwarder::~Forwarder() { stop(); }

void Forwarder::start() {
  if (!impl_->thread.joinable()) impl_->thread = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "forward");
      Pulse::take(impl_->pulse);
      impl_->run();
      Pulse::end();
      const std::scoped_lock lock(impl_->mutex);
      impl_->ended = true;
    });
}

void Forwarder::wake() {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->woken = true;
  }
  impl_->changed.notify_all();
}

void Forwarder::ask_to_stop() {
  {
    const std::scoped_lock lock(impl_->mutex);
    if (!std::exchange(impl_->stop, true)) impl_->stop_asked_ms = impl_->clock.steady_ms();
  }
  impl_->changed.notify_all();
}

bool Forwarder::ended() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->ended || !impl_->thread.joinable();
}

std::shared_ptr<const Pulse> Forwarder::pulse() const { return impl_->pulse; }

void Forwarder::stop() {
  ask_to_stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

Status Forwarder::status() const {
  const std::scoped_lock lock(impl_->mutex);
  return impl_->status;
}

}  // namespace rivulet::forward
