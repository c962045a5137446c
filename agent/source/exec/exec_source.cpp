#include "agent/source/exec/exec_source.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kChunk = 64 * 1024;

std::int64_t since_ms(steady_clock::time_point then) { return std::chrono::duration_cast<milliseconds>(steady_clock::now() - then).count(); }

std::string seconds(std::int64_t ms) { return ms < 10'000 ? std::to_string(ms) + " ms" : std::to_string(ms / 1000) + " s"; }

// The configuration's variables in the place of the agent's of that name.
std::vector<std::string> environment_of(const config::ExecSource& config) {
  std::vector<std::string> all = inherited_environment();
  for (const auto& [name, value] : config.environment) {
    std::erase_if(all, [&name](const std::string& one) { return one.rfind(name + "=", 0) == 0; });
    all.push_back(name + "=" + value.reveal());
  }
  return all;
}

}  // namespace

ExecSource::ExecSource(boost::asio::io_context& io, config::ExecSource config, std::string name, Intake& intake)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), io_(io), command_{config_.command, environment_of(config_), config_.directory}, out_(io),
      timer_(io), deadline_(io), stderr_(io, name_, intake), backoff_(config_.restart_ms, config_.restart_max_ms), buffer_(kChunk) {
  each_frame_ = [this](std::string_view line) { return take(line); };
}

ExecSource::~ExecSource() {
  if (process_) process_->abandon();
}

void ExecSource::start() {
  tick_ = steady_clock::now();
  tick();
}

void ExecSource::at(Time when, void (ExecSource::*then)()) {
  timer_.expires_at(when);
  timer_.async_wait([this, then, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired() && !stopped_) (this->*then)();
  });
}

void ExecSource::tick() {
  if (stopped_) return;
  if (config_.interval_ms == 0) return run();
  const milliseconds interval(config_.interval_ms);
  const auto missed = (steady_clock::now() - tick_) / interval;  // of an agent that stood still
  tick_ += (missed + 1) * interval;
  at(tick_, &ExecSource::tick);
  if (missed > 0) intake_.count("run_skipped", static_cast<std::uint64_t>(missed));
  if (!process_) return run();
  intake_.count("run_skipped");
  if (!no_room_) log::warn("{}: the run before goes on for {} already, this one is left out; lengthen its interval, or shorten its timeout", name_, seconds(since_ms(begun_)));
}

void ExecSource::run() {
  begun_ = steady_clock::now();
  if (config_.interval_ms == 0 && run_ > 0) intake_.count("exec_restarts");
  ++run_;
  Process::Pipes pipes;
  auto process = Process::start(io_, command_, pipes);
  if (!process) {
    intake_.count("exec_failed");
    return next(process.error().message, false);
  }
  process_ = std::move(*process);
  process_->on_end([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) command_ended();
  });
  boost::system::error_code error;
  out_.assign(pipes.out, error);
  if (error) ::close(pipes.out);
  stderr_.open(pipes.err);
  first_line_.emplace(config_.first_line_names);
  framer_.emplace(Framer::Kind::newline, config_.max_line_bytes, Framer::TooLong::skip);
  left_.reset();
  no_room_ = timed_out_ = false;
  output_ended_ = static_cast<bool>(error);
  if (error) intake_.count("read_failed");
  if (config_.interval_ms != 0) arm_deadline();
  wait();
}

// A command that waits for room is not late: it is asked again once so long has passed.
void ExecSource::arm_deadline() {
  deadline_.expires_after(milliseconds(config_.timeout_ms > 0 ? config_.timeout_ms : config_.interval_ms));
  deadline_.async_wait([this, run = run_, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired() || stopped_ || run != run_ || left_) return;
    if (no_room_) return arm_deadline();
    timed_out_ = true;
    intake_.count("exec_timeout");
    process_->end(config_.kill_after_ms);
  });
}

Framer::Verdict ExecSource::take(std::string_view line) {
  if (stopped_ || !intake_.can_accept()) {
    no_room_ = true;
    return Framer::Verdict::refused;
  }
  ++lines_;
  if (framer_->has_skipped()) first_line_->missed();
  if (first_line_->takes(line)) return Framer::Verdict::taken;
  Frame frame{line, {}};
  frame.first_line = first_line_->text();
  intake_.accept(frame);
  return Framer::Verdict::taken;
}

void ExecSource::wait() {
  if (waiting_ || output_ended_ || (no_room_ && !stopped_)) return;
  waiting_ = true;
  out_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this, run = run_, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (alive.expired()) return;
    if (run == run_) waiting_ = false;
    if (!error && run == run_) read();
  });
}

// Of a command that was told to end: what it still says is not taken in, but it must not hang in saying it.
void ExecSource::discard() {
  const auto got = ::read(out_.native_handle(), buffer_.data(), buffer_.size());
  if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))) return wait();
  output_ended();
}

void ExecSource::read() {
  if (output_ended_) return;
  if (stopped_) return discard();
  if (no_room_) return;
  if (!intake_.can_accept()) {
    no_room_ = true;
    return;
  }
  const std::size_t most = left_ ? std::min(*left_, buffer_.size()) : buffer_.size();
  if (most == 0) return output_ended();
  const auto got = ::read(out_.native_handle(), buffer_.data(), most);
  if (got < 0 && errno == EINTR) return wait();
  if (got < 0 && errno == EAGAIN) return left_ ? output_ended() : wait();
  if (got < 0) {
    log::error("{}: its output cannot be read: {}", name_, std::strerror(errno));
    intake_.count("read_failed");
  }
  if (got <= 0) return output_ended();
  if (left_) *left_ -= static_cast<std::size_t>(got);
  handle(framer_->feed({buffer_.data(), static_cast<std::size_t>(got)}, each_frame_));
}

void ExecSource::handle(Framer::Status status) {
  if (const auto skipped = framer_->take_skipped(); skipped > 0) {
    intake_.count("line_too_long", skipped);
    first_line_->missed();
    log::warn("{}: {} lines longer than max_line ({} bytes) were left out", name_, skipped, config_.max_line_bytes);
  }
  if (status == Framer::Status::stopped) return;
  framer_->shrink();
  if (output_ended_) return finish();
  if (left_ && *left_ == 0) return output_ended();
  wait();
}

// What was in the pipe by now is the command's, and what it started; a daemon that still holds the pipe is not waited for.
void ExecSource::command_ended() {
  deadline_.cancel();
  stderr_.close();
  int there = 0;
  left_ = out_.is_open() && ::ioctl(out_.native_handle(), FIONREAD, &there) == 0 && there > 0 ? static_cast<std::size_t>(there) : 0;
  if (output_ended_) return finish();
  if (!no_room_ && !stopped_) read();
}

void ExecSource::output_ended() {
  output_ended_ = true;
  boost::system::error_code ignored;
  out_.close(ignored);
  waiting_ = false;
  finish();
}

void ExecSource::finish() {
  if (!left_ || no_room_ || stopped_) return;  // the command goes on without its output, or the last lines wait for room
  if (framer_->skipping()) {
    intake_.count("line_too_long");
  } else if (!framer_->rest().empty()) {
    std::string_view line = framer_->rest();
    if (line.back() == '\r') line.remove_suffix(1);
    if (timed_out_ || process_->killed()) intake_.count("incomplete_line");
    else if (take(line) == Framer::Verdict::refused) return;  // on_room() comes back here
  }
  const std::shared_ptr<Process> ended = std::move(process_);
  process_.reset();
  if (timed_out_) return next("took longer than its timeout and was ended", false);
  if (!ended->succeeded()) intake_.count("exec_failed");
  next(ended->succeeded() && config_.interval_ms != 0 ? std::string() : ended->how(), ended->succeeded());
}

void ExecSource::next(const std::string& how, bool well) {
  const bool was_failing = std::exchange(failing_, !well);
  last_ = how.empty() ? "ended well" : how;
  if (config_.interval_ms != 0) {  // tick() runs it again
    if (!how.empty()) log::warn("{}: {}", name_, how);
    else if (was_failing) log::info("{}: runs well again", name_);
    return;
  }
  const std::int64_t ran_ms = since_ms(begun_);
  if (ran_ms >= config_.restart_max_ms) backoff_.reset();
  const std::int64_t wait_ms = backoff_.next_ms();
  log::warn("{}: {} after {}; it is started again in {}", name_, how, seconds(ran_ms), seconds(wait_ms));
  at(steady_clock::now() + milliseconds(wait_ms), &ExecSource::tick);
}

void ExecSource::on_room() {
  if (stopped_ || !no_room_ || !process_) return;
  no_room_ = false;
  handle(framer_->resume(each_frame_));
}

void ExecSource::stop() {
  if (stopped_) return;
  stopped_ = true;
  timer_.cancel();
  deadline_.cancel();
  if (!process_) return;
  process_->end(config_.kill_after_ms);
  wait();
}

// One that goes on is well again when it has run for as long as begins the waits anew.
bool ExecSource::in_trouble() const {
  const bool runs_well = config_.interval_ms == 0 && process_ && since_ms(begun_) >= config_.restart_max_ms;
  return !stopped_ && failing_ && !runs_well;
}

std::string ExecSource::state() const {
  const std::string lines = ", " + std::to_string(lines_) + " lines";
  if (stopped_) return "stopped" + lines;
  if (process_ && no_room_) return "waiting for room" + lines;
  if (process_) return "running for " + seconds(since_ms(begun_)) + lines;
  return (config_.interval_ms != 0 ? "waiting for its interval, last: " : "waiting to be started again: ") + last_ + lines;
}

std::string describe_guarantee(const config::ExecSource& config) {
  std::string text =
      "at most once: what the command printed and what was not yet committed (up to agent.commit_interval, and what its pipe holds) is lost when the agent is killed, and the command with it. ";
  if (config.interval_ms != 0) return text + "What it prints in a run that takes longer than its timeout is taken up to there, without a half line at the end.";
  return text + "While it waits to be started again, nothing is printed. Without room for records the command waits in its output, and nothing is lost.";
}

}  // namespace rivulet::source
