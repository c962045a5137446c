// StdinSource: lines from standard input (a pipe, a terminal, a redirected file). A last line without newline counts.
//
// There is no position: what a pipe gave is gone from it. Lines beyond max_line are left out and counted.
// The descriptor's flags stay as they are (a non-blocking terminal would surprise the shell that shares it): it is read only
// when it is readable. Thread: io. Bound: one line and one chunk. Lifetime: the io_context and the Intake outlive it.
#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "agent/config/source.h"
#include "agent/source/first_line.h"
#include "agent/source/framing.h"
#include "agent/source/source.h"

namespace rivulet::source {

class StdinSource final : public Source {
 public:
  StdinSource(boost::asio::io_context& io, const config::StdinSource& config, std::string name, Intake& intake,
              int descriptor = 0);  // borrowed: never closed

  void start() override;
  void stop() override { stopped_ = true; }
  void on_durable(EpochNumber) override {}
  void on_room() override;
  bool finished() const override { return finished_; }
  std::string state() const override;
  bool in_trouble() const override { return !failure_.empty(); }

 private:
  void wait();
  void read();
  void read_later();
  void handle(Framer::Status status);
  void end();

  std::string name_;
  std::uint64_t max_line_bytes_;
  Intake& intake_;
  int descriptor_;
  boost::asio::posix::stream_descriptor readable_;
  bool pollable_ = false;  // regular files are not, and never make a reader wait
  FirstLine first_line_;
  Framer framer_;
  Framer::OnFrame each_frame_;
  std::vector<char> buffer_;
  bool waiting_ = false;
  bool no_room_ = false;
  bool at_end_ = false;
  bool stopped_ = false;
  bool finished_ = false;
  std::uint64_t lines_ = 0;
  std::string failure_;  // it ended before its end
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::StdinSource& config);

}  // namespace rivulet::source
