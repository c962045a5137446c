#include "agent/app/watchdog.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "agent/base/log.h"

namespace rivulet::app {
namespace {

std::int64_t now_ms() { return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

const char* what_is(Pulse::Doing doing) { return doing == Pulse::Doing::disk ? "computing in the store's file" : "at one piece of work"; }

}  // namespace

bool PulseJudge::alive(const Pulse::Reading& now, std::int64_t at_ms) {
  if (std::exchange(first_, false) || now.beats != beats_ || now.doing == Pulse::Doing::waits) {
    beats_ = now.beats;
    since_ms_ = at_ms;
    cpu_ms_ = now.cpu_ms;
    return true;
  }
  const std::int64_t lasts_ms = at_ms - since_ms_;
  if (lasts_ms < stuck_after_ms_) return true;
  // A wait for the disk takes no time of the processor; a loop takes all of it.
  return now.doing == Pulse::Doing::disk && now.cpu_ms && cpu_ms_ && *now.cpu_ms - *cpu_ms_ < lasts_ms / 2;
}

Watchdog::Watchdog(Options options, std::function<void()> feed) : options_(options), feed_(std::move(feed)) {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "watchdog");
    run();
  });
}

Watchdog::~Watchdog() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::watch(const std::string& thread, std::shared_ptr<const Pulse> pulse) {
  const std::scoped_lock lock(mutex_);
  watched_.erase(thread);
  if (pulse) watched_.emplace(thread, Watched{std::move(pulse), PulseJudge(options_.stuck_after_ms)});
}

bool Watchdog::all_alive() {
  bool all = true;
  for (auto& [name, each] : watched_) {
    const Pulse::Reading reading = each.pulse->read();
    const std::int64_t at_ms = now_ms();
    const bool alive = each.judge.alive(reading, at_ms) || each.pulse->in_disk_sleep();
    if (!alive && !each.stuck)
      log::critical("watchdog: the {} thread is stuck: {} for {} s; systemd is not told any more that all is well, and starts the agent again", name,
                       what_is(reading.doing), (at_ms - each.judge.since_ms()) / 1000);
    if (alive && each.stuck) log::warn("watchdog: the {} thread goes on", name);
    each.stuck = !alive;
    all = all && alive;
  }
  return all;
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (all_alive()) feed_();
    changed_.wait_for(lock, std::chrono::milliseconds(options_.look_every_ms), [this] { return ending_; });
  }
}

}  // namespace rivulet::app
