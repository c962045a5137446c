// A CAN bus for kernels without one, below an agent as it is built: preloaded, it gives the can source a Unix socket of messages in the place of the raw
// socket, bound to $RIVULET_BENCH_CAN. Who sends a struct can_frame there is the bus. The same seam as in tests/unit/source/can_test.cpp, of a whole process.
//
// What differs from a real bus: the kernel's queue (net.unix.max_dgram_qlen messages, then the sender waits: nothing is dropped) and its filters (there are none).
#include <dlfcn.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace {

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int socket(int domain, int type, int protocol) noexcept {
  static auto* const real = next<int(int, int, int)>("socket");
  if (domain != PF_CAN) return real(domain, type, protocol);
  return real(AF_UNIX, SOCK_DGRAM | (type & (SOCK_CLOEXEC | SOCK_NONBLOCK)), 0);
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  static auto* const real = next<int(int, int, int, const void*, socklen_t)>("setsockopt");
  return level == SOL_CAN_RAW ? 0 : real(fd, level, name, value, size);
}

unsigned int if_nametoindex(const char* /*name*/) noexcept { return 1; }

int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  static auto* const real = next<int(int, const sockaddr*, socklen_t)>("bind");
  if (address->sa_family != AF_CAN) return real(fd, address, size);
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  const char* const wanted = std::getenv("RIVULET_BENCH_CAN");  // NOLINT(concurrency-mt-unsafe): nothing sets it
  if (wanted == nullptr || std::strlen(wanted) >= sizeof path.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::strcpy(path.sun_path, wanted);  // NOLINT: it fits
  return real(fd, reinterpret_cast<const sockaddr*>(&path), sizeof path);
}

}  // extern "C"
