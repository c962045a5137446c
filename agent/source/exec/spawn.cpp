#include "agent/source/exec/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace rivulet::source {
namespace {

constexpr int kCannotStart = 127;        // as shells say it
constexpr rlim_t kMostDescriptors = 65'536;  // that are looked through one by one on kernels before 5.11

class Descriptor {
 public:
  ~Descriptor() { close(); }
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void operator=(int fd) {
    close();
    fd_ = fd;
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd_ = -1;
};

// Above 0 to 2, which may be free in an agent that was started without them: the child puts others there.
int above_standard(int fd) {
  if (fd < 0 || fd > 2) return fd;
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  ::close(fd);
  return moved;
}

struct Pipe {
  Descriptor read, write;
  bool open() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read = above_standard(ends[0]);
    write = above_standard(ends[1]);
    // Of the read end alone: the command's end waits, as commands expect.
    return read.get() >= 0 && write.get() >= 0 && ::fcntl(read.get(), F_SETFL, O_NONBLOCK) == 0;
  }
};

// All that the child needs, made before fork().
struct Plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* directory;  // null: stay
  int null, out, err, report;
  pid_t parent;
  rlim_t descriptors;
};

[[noreturn]] void fail(const Plan& plan, int step) {
  const SpawnReport report{errno, step};
  [[maybe_unused]] const auto written = ::write(plan.report, &report, sizeof report);
  ::_exit(kCannotStart);
}

// In the child: nothing that takes a lock or memory.
[[noreturn]] void become(const Plan& plan) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(kCannotStart);  // the agent died before that
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &standard, nullptr);
  ::dup2(plan.null, 0);
  ::dup2(plan.out, 1);
  ::dup2(plan.err, 2);
#ifdef CLOSE_RANGE_CLOEXEC
  const bool marked = ::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
#else
  const bool marked = false;
#endif
  if (!marked)
    for (rlim_t fd = 3; fd < plan.descriptors; ++fd) ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  if (plan.directory != nullptr && ::chdir(plan.directory) != 0) fail(plan, 1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.program, plan.arguments, plan.environment);
  fail(plan, 0);
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));  // execve changes none
  all.push_back(nullptr);
  return all;
}

}  // namespace

result<Spawned> spawn(const std::string& program, const std::vector<std::string>& arguments, const std::vector<std::string>& environment, const std::string& directory) {
  const auto refused = [](const char* what) { return Error{ErrorCode::unavailable, std::string(what) + ": " + std::strerror(errno)}; };
  Pipe out, err, report;
  if (!out.open() || !err.open() || !report.open()) return refused("no pipe for its output");
  Descriptor null;
  null = above_standard(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null.get() < 0) return refused("/dev/null cannot be opened");
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  const Plan plan{program.c_str(), argv.data(), envp.data(), directory.empty() ? nullptr : directory.c_str(), null.get(), out.write.get(), err.write.get(), report.write.get(),
                  ::getpid(), known ? std::min(limit.rlim_cur, kMostDescriptors) : kMostDescriptors};
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t id = ::fork();
  if (id == 0) become(plan);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (id < 0) {
    errno = error;
    return refused("no process for it");
  }
  ::setpgid(id, id);  // the child does the same: whoever comes first
  return Spawned{id, out.read.release(), err.read.release(), report.read.release()};
}

}  // namespace rivulet::source
