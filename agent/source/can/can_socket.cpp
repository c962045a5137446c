#include "agent/source/can/can_socket.h"

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "agent/base/log.h"

namespace rivulet::source::can {
namespace {

using config::CanSource;

std::string system_text(int error) { return std::strerror(error); }  // NOLINT(concurrency-mt-unsafe): glibc's is, for known errors

can_filter filter_of(const CanSource::Filter& filter) {
  const std::uint32_t ids = filter.extended ? CAN_EFF_MASK : CAN_SFF_MASK;
  return {(filter.id & ids) | (filter.extended ? CAN_EFF_FLAG : 0U), (filter.mask & ids) | CAN_EFF_FLAG};
}

std::vector<can_filter> filters_of(const CanSource& config) {
  std::vector<can_filter> filters;
  for (const auto& filter : config.filters) filters.push_back(filter_of(filter));
  if (config.unmapped == CanSource::Unmapped::ignore)
    for (const auto& message : config.messages) filters.push_back(filter_of({message.id, config::kCanExtendedIds, message.extended}));
  return filters;
}

// What has to be right before frames come. Answers what was refused, or nothing.
const char* set_up(int socket, const CanSource& config) {
  const auto filters = filters_of(config);
  if (!filters.empty() && ::setsockopt(socket, SOL_CAN_RAW, CAN_RAW_FILTER, filters.data(), static_cast<socklen_t>(filters.size() * sizeof filters.front())) != 0) return "the filters";
  const int on = 1;
  if (config.fd && ::setsockopt(socket, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &on, sizeof on) != 0) return "CAN FD";
  const can_err_mask_t errors = CAN_ERR_MASK;
  if (::setsockopt(socket, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, &errors, sizeof errors) != 0) return "error frames";
  return nullptr;
}

}  // namespace

void set_receiving(int socket, const CanSource& config, const std::string& name) {
  const int on = 1, wanted = static_cast<int>(config.receive_buffer_bytes);
  ::setsockopt(socket, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);  // else the time at which it is read
  ::setsockopt(socket, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  if (::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0)  // needs CAP_NET_ADMIN
    ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  int granted = 0;
  socklen_t size = sizeof granted;
  if (::getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &granted, &size) == 0 && granted / 2 < wanted)  // Linux answers twice what it grants
    log::warn("{}: the kernel grants a receive buffer of {} bytes instead of {}; raise the sysctl net.core.rmem_max, or lower receive_buffer", name, granted / 2, wanted);
}

result<int> open_socket(const CanSource& config, const std::string& name) {
  const int socket = ::socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW);
  if (socket < 0) {
    const bool absent = errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT;
    return Error{ErrorCode::io, "can: no socket for " + config.interface + ": " + system_text(errno) +
                                    (absent ? "; load the kernel's module can_raw, and let the unit use AF_CAN (/usr/share/doc/rivulet/examples/drop-ins/can.conf)" : "")};
  }
  const auto failed = [&](ErrorCode code, const std::string& what) {
    const std::string why = system_text(errno);
    ::close(socket);
    return Error{code, "can: " + config.interface + ": " + what + ": " + why};
  };
  if (const char* refused = set_up(socket, config)) return failed(ErrorCode::io, std::string("the kernel refuses ") + refused);
  set_receiving(socket, config, name);
  sockaddr_can address{};
  address.can_family = AF_CAN;
  address.can_ifindex = static_cast<int>(::if_nametoindex(config.interface.c_str()));
  if (address.can_ifindex == 0) return failed(ErrorCode::unavailable, "there is no such interface");
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return failed(ErrorCode::unavailable, "cannot listen; is it a CAN interface?");
  return socket;
}

}  // namespace rivulet::source::can
