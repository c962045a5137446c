// StdoutWriter: lines of JSON on the standard output, for a pipe or a person: at least once as far as the pipe.
//
// A line counts as delivered when the whole of it is written; what its reader has not read when the machine goes down is gone. A pipe that is
// full is waited for, so its reader holds up this output (and nothing else). Thread: its worker's. Bounds: one line, and kPipeBytes to write.
// Errors and the rest: writer.h.
#pragma once
#include <map>
#include <string>

#include "agent/sink/format.h"
#include "agent/sink/writer.h"

namespace rivulet::sink {

class StdoutWriter final : public Writer {
 public:
  // The settings of each stream by its name (a pipeline's); of others the value alone is written. `fd`: where to, for tests.
  explicit StdoutWriter(const std::map<std::string, config::StdoutOutput>& pipelines, int fd = 1);
  bool ready() const override { return open_; }
  result<void> open() override {
    open_ = true;
    return {};
  }
  Delivery deliver(const Stretch& stretch, const std::atomic<bool>& stop) override;
  void close() override { open_ = false; }
  std::string state() const override { return "open"; }

 private:
  result<bool> write(const std::string& line, const std::atomic<bool>& stop);  // false: it was stopped

  std::map<std::string, Format> formats_;
  Format plain_{config::StdoutOutput{}};
  const int fd_;
  bool open_ = false;
  std::string line_;
};

}  // namespace rivulet::sink
