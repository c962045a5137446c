// StderrLog: what a command says on stderr, in the agent's log under the source's name: the first lines of each interval, the rest counted.
//
// It is read always, with or without room: a command that waits for its own complaints to be read would stand still. Thread: io.
// Bounds: one line of kMaxLine bytes (of a longer one the beginning is logged); kLines lines in kIntervalMs.
#pragma once
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/log_limit.h"
#include "agent/source/source.h"

namespace rivulet::source {

class StderrLog {
 public:
  static constexpr std::size_t kMaxLine = 500;
  static constexpr std::uint32_t kLines = 10;
  static constexpr std::int64_t kIntervalMs = 10'000;

  StderrLog(boost::asio::io_context& io, std::string name, Intake& intake);

  void open(int descriptor);  // takes it
  void close();               // what is there is read first, up to a pipe's content

 private:
  void wait();
  bool read();  // false: nothing more is there now, or ever
  void take(std::string_view bytes);
  void end_line();

  const std::string name_;
  Intake& intake_;
  boost::asio::posix::stream_descriptor pipe_;
  std::string line_;
  bool begun_ = false;  // line_ is part of one, even when it is empty
  LogLimit limit_;
  std::uint64_t opened_ = 0;  // a wait of the pipe before says nothing
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rivulet::source
