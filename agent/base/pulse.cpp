#include "agent/base/pulse.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace rivulet {
namespace {

thread_local std::shared_ptr<Pulse> own;

}  // namespace

void Pulse::take(std::shared_ptr<Pulse> pulse) {
  clockid_t clock{};
  if (::pthread_getcpuclockid(::pthread_self(), &clock) == 0) {
    pulse->clock_ = clock;
    pulse->id_ = static_cast<pid_t>(::syscall(SYS_gettid));  // glibc 2.30 has a function for it
    pulse->has_thread_ = true;
  }
  pulse->doing_ = Doing::works;
  own = std::move(pulse);
}

void Pulse::end() {
  if (!own) return;
  own->has_thread_ = false;
  own->doing_ = Doing::waits;
  own.reset();
}

Pulse::Reading Pulse::read() const {
  Reading now;
  now.beats = beats_.load(std::memory_order_relaxed);
  now.doing = doing_.load(std::memory_order_relaxed);
  timespec used{};
  if (has_thread_ && ::clock_gettime(clock_, &used) == 0) now.cpu_ms = std::int64_t{used.tv_sec} * 1000 + used.tv_nsec / 1'000'000;
  return now;
}

// proc(5): "tid (name) state ...", and the name may hold anything.
bool Pulse::in_disk_sleep() const {
  if (!has_thread_) return false;
  std::FILE* file = std::fopen(("/proc/self/task/" + std::to_string(id_.load()) + "/stat").c_str(), "re");
  if (file == nullptr) return false;
  char line[256] = {};
  const std::size_t count = std::fread(line, 1, sizeof line - 1, file);
  std::fclose(file);
  const char* name_end = count == 0 ? nullptr : std::strrchr(line, ')');
  return name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'D';
}

PulseScope::PulseScope(Pulse::Doing what) : pulse_(own.get()) {
  if (pulse_ != nullptr) before_ = pulse_->doing_.exchange(what, std::memory_order_relaxed);
}

PulseScope::~PulseScope() {
  if (pulse_ != nullptr) pulse_->doing_.store(before_, std::memory_order_relaxed);
}

}  // namespace rivulet
