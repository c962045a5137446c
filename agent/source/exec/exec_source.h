// ExecSource: the lines that a command prints. One that goes on is started again when it ends; with `interval` it is run again and again.
//
//     waiting ──▶ running ──▶ ended, its last lines are taken in ──▶ waiting (restart: growing, jittered waits; interval: the next tick)
//
// There is no position: what was printed is gone from the pipe. While the agent has no room nothing is read, the pipe (64 KiB) fills, and the
// command waits in its write. A tick while the run before has not ended, or its lines have not all been taken, is left out and counted.
// A last line without newline counts, but not of a command that a signal ended: it may be half of one (`incomplete_line`).
// What the command left running in its process group ends with it; a pipe that somebody else still holds is not waited for.
// stop() ends the command as a timeout does; it has ended() when the command has, within kill_after. The destructor does not wait: SIGKILL.
// Counted: exec_failed, exec_timeout, exec_restarts, run_skipped, line_too_long, incomplete_line, stderr_lines.
// Thread: io. Bounds: one line and one chunk here, a pipe in the kernel. Lifetime: the io_context and the Intake outlive it.
#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/backoff.h"
#include "agent/config/source.h"
#include "agent/source/exec/process.h"
#include "agent/source/exec/stderr_log.h"
#include "agent/source/first_line.h"
#include "agent/source/framing.h"
#include "agent/source/source.h"

namespace rivulet::source {

class ExecSource final : public Source {
 public:
  ExecSource(boost::asio::io_context& io, config::ExecSource config, std::string name, Intake& intake);
  ~ExecSource() override;

  void start() override;
  void stop() override;
  bool ended() const override { return !process_ || process_->ended(); }
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

  pid_t process_id() const { return process_ ? process_->id() : -1; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  void tick();
  void run();
  void arm_deadline();
  void wait();
  void discard();
  void read();
  void handle(Framer::Status status);
  void command_ended();
  void output_ended();
  void finish();                      // the run is over, and everything it printed was taken in
  void next(const std::string& how, bool well);  // when it runs again
  void at(Time when, void (ExecSource::*then)());
  Framer::Verdict take(std::string_view line);

  const config::ExecSource config_;
  const std::string name_;
  Intake& intake_;
  boost::asio::io_context& io_;
  Command command_;
  boost::asio::posix::stream_descriptor out_;
  boost::asio::steady_timer timer_, deadline_;
  StderrLog stderr_;
  Backoff backoff_;
  std::vector<char> buffer_;
  // Of the run that goes on:
  std::shared_ptr<Process> process_;
  std::optional<FirstLine> first_line_;
  std::optional<Framer> framer_;
  Framer::OnFrame each_frame_;
  Time begun_{}, tick_{};
  std::optional<std::size_t> left_;  // bytes in the pipe that are its own, once it has ended
  bool waiting_ = false, no_room_ = false, output_ended_ = false, timed_out_ = false, stopped_ = false, failing_ = false;
  std::uint64_t run_ = 0, lines_ = 0;
  std::string last_ = "not run yet";
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::ExecSource& config);

}  // namespace rivulet::source
