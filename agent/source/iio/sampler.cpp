#include "agent/source/iio/sampler.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <system_error>

#include "agent/base/check.h"

namespace rivulet::source {

struct Sampler::Box {
  explicit Box(std::function<Readings()> reading, int event) : read(std::move(reading)), ready(event) {}
  ~Box() { ::close(ready); }
  Box(const Box&) = delete;
  Box& operator=(const Box&) = delete;

  const std::function<Readings()> read;
  const int ready;
  std::mutex mutex;
  std::condition_variable wake;
  enum class State { idle, asked, reading, done, stopped } state = State::idle;
  Readings result;
};

result<std::unique_ptr<Sampler>> Sampler::start(std::function<Readings()> read) {
  const int ready = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (ready < 0) return Error{ErrorCode::unavailable, std::string("no eventfd: ") + std::strerror(errno)};
  std::unique_ptr<Sampler> sampler(new Sampler(std::make_shared<Box>(std::move(read), ready)));
  sigset_t all, before;  // signals are for the others
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::string problem;
  try {
    sampler->thread_ = std::thread([box = sampler->box_] { run(box); });
  } catch (const std::system_error& error) {
    problem = error.what();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!problem.empty()) return Error{ErrorCode::unavailable, "no thread to read sensors in: " + problem};
  return sampler;
}

Sampler::~Sampler() {
  if (!thread_.joinable()) return;
  bool in_driver = false;
  {
    const std::lock_guard lock(box_->mutex);
    in_driver = box_->state == Box::State::reading;
    box_->state = Box::State::stopped;
  }
  box_->wake.notify_one();
  in_driver ? thread_.detach() : thread_.join();
}

void Sampler::run(const std::shared_ptr<Box>& box) {
  for (;;) {
    {
      std::unique_lock lock(box->mutex);
      box->wake.wait(lock, [&] { return box->state == Box::State::asked || box->state == Box::State::stopped; });
      if (box->state == Box::State::stopped) return;
      box->state = Box::State::reading;
    }
    Readings result = box->read();
    const std::lock_guard lock(box->mutex);
    if (box->state == Box::State::stopped) return;
    box->result = std::move(result);
    box->state = Box::State::done;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(box->ready, &one, sizeof one);
  }
}

int Sampler::descriptor() const { return box_->ready; }

bool Sampler::busy() const {
  const std::lock_guard lock(box_->mutex);
  return box_->state != Box::State::idle;
}

void Sampler::ask() {
  {
    const std::lock_guard lock(box_->mutex);
    RV_CHECK(box_->state == Box::State::idle, "a sampler is asked for one sample at a time");
    box_->state = Box::State::asked;
  }
  box_->wake.notify_one();
}

std::optional<Readings> Sampler::take() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(box_->ready, &count, sizeof count);
  const std::lock_guard lock(box_->mutex);
  if (box_->state != Box::State::done) return std::nullopt;
  box_->state = Box::State::idle;
  return std::move(box_->result);
}

}  // namespace rivulet::source
