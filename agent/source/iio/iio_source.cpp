#include "agent/source/iio/iio_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cerrno>
#include <cstring>

#include "agent/base/log.h"
#include "agent/codec/json.h"

namespace rivulet::source {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

}  // namespace

IioSource::IioSource(boost::asio::io_context& io, config::IioSource config, std::string name, Intake& intake, Read read)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), read_(std::move(read)), timer_(io), ready_(io), problems_(config_.fields.size()) {
  if (!read_) read_ = [sensors = std::make_shared<SysfsReader>(config_)] { return sensors->read(); };
}

void IioSource::start() {
  next_ = steady_clock::now();
  tick();
}

void IioSource::start_sampler() {
  auto started = Sampler::start(read_);
  boost::system::error_code error;
  if (started) {
    const int ready = ::fcntl((*started)->descriptor(), F_DUPFD_CLOEXEC, 3);
    if (ready < 0) error = {errno, boost::system::system_category()};
    else ready_.assign(ready, error);
    if (error && ready >= 0) ::close(ready);
  }
  const std::string problem = !started ? started.error().message : error ? error.message() : std::string();
  if (!problem.empty()) {
    if (problem != problem_) log::error("{}: {}; it is tried again at each interval", name_, problem);
    problem_ = problem;
    return;
  }
  problem_.clear();
  sampler_ = std::move(*started);
  wait();
}

void IioSource::tick() {
  const milliseconds interval(config_.interval_ms);
  const auto missed = std::max<std::int64_t>(0, (steady_clock::now() - next_) / interval);
  if (missed > 0) intake_.count("sample_skipped", static_cast<std::uint64_t>(missed));
  next_ += (missed + 1) * interval;
  timer_.expires_at(next_);
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired() && !stopped_) tick();
  });
  if (!sampler_) start_sampler();
  if (!sampler_ || held_ || sampler_->busy() || !intake_.can_accept()) {
    intake_.count("sample_skipped");
    if (sampler_ && sampler_->busy() && !late_) {
      late_ = true;
      log::warn("{}: its sensors have not answered for a whole interval; it goes on when they do (does a driver or its bus hang?)", name_);
    }
    return;
  }
  asked_ms_ = intake_.clock().wall_ms();
  asked_ = steady_clock::now();
  sampler_->ask();
}

void IioSource::wait() {
  ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired() || stopped_) return;
    if (auto readings = sampler_->take()) sampled(std::move(*readings));
    wait();
  });
}

void IioSource::sampled(Readings readings) {
  if (std::exchange(late_, false)) log::info("{}: its sensors answer again, after {} ms", name_, std::chrono::duration_cast<milliseconds>(steady_clock::now() - asked_).count());
  ++samples_;
  failing_ = 0;
  std::string record = "{";
  for (std::size_t i = 0; i < config_.fields.size(); ++i) {
    const Reading reading = i < readings.size() ? std::move(readings[i]) : Reading{};
    record += i > 0 ? "," : "";
    codec::append_json_string(record, config_.fields[i].name);
    record += ":" + reading.json;
    note(i, reading.problem);
  }
  held_ = record + "}";
  hand_over();
}

void IioSource::note(std::size_t field, const std::string& problem) {
  if (!problem.empty()) {
    ++failing_;
    intake_.count("sensor_failed");
  }
  if (problem.empty() != problems_[field].empty()) {
    if (problem.empty()) log::info("{}: {} can be read again", name_, config_.fields[field].name);
    else log::warn("{}: {} is null: {}", name_, config_.fields[field].name, problem);
  }
  problems_[field] = problem;
}

void IioSource::hand_over() {
  if (!held_ || stopped_ || !intake_.can_accept()) return;
  Frame frame{*held_, {}};
  frame.timestamp_ms = asked_ms_;
  intake_.accept(frame);
  held_.reset();
}

void IioSource::on_room() { hand_over(); }

void IioSource::stop() {
  stopped_ = true;
  timer_.cancel();
  boost::system::error_code ignored;
  ready_.close(ignored);
}

bool IioSource::in_trouble() const { return !stopped_ && (!problem_.empty() || late_ || failing_ == config_.fields.size()); }

std::string IioSource::state() const {
  if (stopped_) return "stopped";
  if (!problem_.empty()) return problem_;
  std::string text = std::to_string(samples_) + " samples";
  if (late_) text += ", its sensors do not answer";
  if (failing_ > 0) {
    const auto first = std::find_if(problems_.begin(), problems_.end(), [](const std::string& problem) { return !problem.empty(); });
    text += ", " + std::to_string(failing_) + " of " + std::to_string(config_.fields.size()) + " sensors fail: " + *first;
  }
  return text;
}

std::string describe_guarantee(const config::IioSource&) {
  return "at most once: a sample is taken at its time or never, while the agent runs and has room. Lost is what was sampled and not yet committed (up to agent.commit_interval) when it is killed; "
         "a sensor that cannot be read is null in its record.";
}

}  // namespace rivulet::source
