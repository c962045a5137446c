// Process: a command of the user's, started and waited for. It leads a process group of its own, and goes when the agent goes.
//
//     running ──▶ ended: whatever it left in its group is killed, then it is reaped, then on_end()
//        └─ end(): SIGTERM to the group, SIGKILL after kill_after; abandon(): SIGKILL at once, and nobody is told
//
// Waiting is by pidfd (kernels before 5.3: by asking every kAskMs), for this child alone: no SIGCHLD, which belongs to whoever wants it.
// The handlers hold the Process, so that it is reaped also when its owner has gone. Its group is signalled only until it is reaped: the
// number cannot have passed to somebody else.
// Dying with the agent is PR_SET_PDEATHSIG: the kernel kills it when the *thread* that started it ends. So start() belongs on io, which is the
// process's first thread and ends last. What the command started itself is not reached by that: in the unit its cgroup is emptied, elsewhere
// it gets SIGPIPE with what it prints next.
// Of the agent's descriptors it inherits none: stdin is /dev/null, stdout and stderr are pipes, everything else is closed by exec.
// Thread: io. Lifetime: the io_context outlives it. Errors: what goes wrong after fork() (no such directory, no program) is known at its end,
// so that starting never waits for a disk: start_error().
#pragma once
#include <sys/types.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"

namespace rivulet::source {

struct Command {
  std::vector<std::string> arguments;    // the program first
  std::vector<std::string> environment;  // NAME=value, all of it
  std::string directory;                 // empty: the agent's
};

class Process : public std::enable_shared_from_this<Process> {
 public:
  struct Pipes {
    int out = -1, err = -1;  // to be read, non-blocking; the caller's
  };
  static result<std::shared_ptr<Process>> start(boost::asio::io_context& io, const Command& command, Pipes& pipes);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void on_end(std::function<void()> ended) { ended_ = std::move(ended); }
  void end(std::int64_t kill_after_ms);
  void abandon();

  pid_t id() const { return id_; }
  bool ended() const { return reaped_; }
  // After its end:
  bool succeeded() const;
  bool killed() const;             // by a signal: what it printed last may be half of it
  std::string how() const;         // "ended with status 3"; or why it could not be started

 private:
  explicit Process(boost::asio::io_context& io) : watched_(io), ask_(io), kill_(io), report_(io) {}
  void watch();
  void look();
  void reap();
  void signal_group(int number) const;

  static constexpr int kAskMs = 20;
  pid_t id_ = -1;
  bool reaped_ = false;
  int status_ = 0;
  int start_error_ = 0;  // errno
  bool in_directory_ = false;  // it is the directory's
  std::string program_, directory_;
  boost::asio::posix::stream_descriptor watched_;
  boost::asio::steady_timer ask_, kill_;
  boost::asio::posix::stream_descriptor report_;  // what went wrong before exec
  std::function<void()> ended_;
};

// Where a program is that is named without a slash, by the PATH of `environment`.
result<std::string> find_program(const std::string& program, const std::vector<std::string>& environment);

// The agent's own environment without what is for the agent alone (systemd's NOTIFY_SOCKET, ...).
std::vector<std::string> inherited_environment();

}  // namespace rivulet::source
