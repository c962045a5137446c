// The raw socket of a CAN interface. A seam: tests put another socket of messages in its place, for kernels without CAN.
//
// Thread: any. The socket is the caller's; it does not block. It gives frames (struct can_frame, or canfd_frame with `fd`), error frames among them,
// with the kernel's time of arrival (SO_TIMESTAMP) and count of drops (SO_RXQ_OVFL).
// Errors: unavailable: there is no such interface (yet); io, denied: the system refuses.
#pragma once
#include <functional>
#include <string>

#include "agent/base/result.h"
#include "agent/config/can.h"

namespace rivulet::source::can {

using OpenSocket = std::function<result<int>(const config::CanSource&, const std::string& name)>;

// `name`: the source's, for what is logged.
result<int> open_socket(const config::CanSource& config, const std::string& name);

// The options that any socket has, for a test's own.
void set_receiving(int socket, const config::CanSource& config, const std::string& name);

}  // namespace rivulet::source::can
