#include "agent/source/exec/process.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

#include "agent/source/exec/spawn.h"

namespace rivulet::source {
namespace {

constexpr std::string_view kUsualPath = "/usr/local/bin:/usr/bin:/bin";
constexpr std::string_view kForTheAgent[] = {"NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "JOURNAL_STREAM=", "RIVULET_"};

int open_pidfd(pid_t id) {
#ifdef SYS_pidfd_open
  return static_cast<int>(::syscall(SYS_pidfd_open, id, 0U));  // close-on-exec by itself
#else
  (void)id;
  return -1;
#endif
}

}  // namespace

result<std::string> find_program(const std::string& program, const std::vector<std::string>& environment) {
  if (program.find('/') != std::string::npos) return program;
  std::string_view path = kUsualPath;
  for (const std::string& variable : environment)
    if (variable.rfind("PATH=", 0) == 0) path = std::string_view(variable).substr(5);
  const std::string searched(path);
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string folder(path.substr(begin, end - begin));
    const std::string found = (folder.empty() ? "." : folder) + "/" + program;
    if (::access(found.c_str(), X_OK) == 0) return found;
    begin = end + 1;
  }
  return Error{ErrorCode::not_found, "there is no program '" + program + "' in PATH (" + searched + "); is its package installed?"};
}

std::vector<std::string> inherited_environment() {
  std::vector<std::string> all;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    bool own = false;
    for (const std::string_view name : kForTheAgent) own = own || text.substr(0, name.size()) == name;
    if (!own) all.emplace_back(text);
  }
  return all;
}

result<std::shared_ptr<Process>> Process::start(boost::asio::io_context& io, const Command& command, Pipes& pipes) {
  auto program = find_program(command.arguments.front(), command.environment);
  if (!program) return program.error();
  auto spawned = spawn(*program, command.arguments, command.environment, command.directory);
  if (!spawned) return spawned.error();
  std::shared_ptr<Process> process(new Process(io));
  process->id_ = spawned->id;
  process->program_ = *program;
  process->directory_ = command.directory;
  boost::system::error_code error;
  process->report_.assign(spawned->report, error);
  if (error) ::close(spawned->report);
  if (const int watched = open_pidfd(spawned->id); watched >= 0) {
    process->watched_.assign(watched, error);
    if (error) ::close(watched);
  }
  pipes = {spawned->out, spawned->err};
  process->watch();
  return process;
}

Process::~Process() {
  if (reaped_) return;  // else the io_context ends, and the process with it: init reaps
  signal_group(SIGKILL);
  ::waitpid(id_, nullptr, WNOHANG);
}

void Process::watch() {
  if (watched_.is_open())
    return watched_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](boost::system::error_code error) {
      if (error) {
        boost::system::error_code ignored;
        self->watched_.close(ignored);  // asking is left
        return self->watch();
      }
      self->look();
    });
  ask_.expires_after(std::chrono::milliseconds(kAskMs));
  ask_.async_wait([self = shared_from_this()](boost::system::error_code) { self->look(); });
}

// Whether it has ended, without reaping it: until then its number, which is its group's, is nobody else's.
void Process::look() {
  siginfo_t info{};
  const int answer = ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT);
  if (answer == 0 && info.si_pid == 0) return watch();
  if (answer != 0 && errno == EINTR) return watch();
  reap();
}

void Process::reap() {
  signal_group(SIGKILL);
  int status = 0;
  // Who ignores SIGCHLD has no children to wait for (ECHILD): then only that it ended is known.
  status_ = ::waitpid(id_, &status, WNOHANG) == id_ ? status : 0;
  reaped_ = true;
  kill_.cancel();
  SpawnReport report;
  if (report_.is_open() && ::read(report_.native_handle(), &report, sizeof report) == static_cast<ssize_t>(sizeof report)) {
    start_error_ = report.error;
    in_directory_ = report.step == 1;
  }
  boost::system::error_code ignored;
  report_.close(ignored);
  watched_.close(ignored);
  if (const auto ended = std::exchange(ended_, nullptr)) ended();
}

void Process::end(std::int64_t kill_after_ms) {
  if (reaped_) return;
  signal_group(SIGTERM);
  kill_.expires_after(std::chrono::milliseconds(kill_after_ms));
  kill_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error) self->signal_group(SIGKILL);
  });
}

void Process::abandon() {
  ended_ = nullptr;
  kill_.cancel();
  signal_group(SIGKILL);
}

void Process::signal_group(int number) const {
  if (reaped_ || id_ <= 0) return;
  ::kill(-id_, number);
  if (::getpgid(id_) != id_) ::kill(id_, number);  // it left its group
}

bool Process::succeeded() const { return start_error_ == 0 && WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }

bool Process::killed() const { return WIFSIGNALED(status_); }

std::string Process::how() const {
  if (start_error_ != 0) {
    const std::string why = std::strerror(start_error_);
    return "cannot be started: " + (in_directory_ ? "the working directory " + directory_ : program_) + ": " + why +
           (start_error_ == ENOEXEC ? "; a script begins with a line such as #!/bin/sh" : "");
  }
  if (WIFSIGNALED(status_)) return "was ended by signal " + std::to_string(WTERMSIG(status_)) + " (" + ::strsignal(WTERMSIG(status_)) + ")";
  return "ended with status " + std::to_string(WEXITSTATUS(status_));
}

}  // namespace rivulet::source
