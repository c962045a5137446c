// UdpSource: datagrams on an address; with `framing: newline` each line of a datagram is a frame. The sender's address is the topic.
//
// UDP cannot wait: while the agent has no room nothing is read, the kernel keeps what its buffer holds and drops the rest, and says how many
// it dropped (SO_RXQ_OVFL), which is counted as `dropped_by_kernel`. All else is DatagramSource's.
// Bounds: receive_buffer_bytes in the kernel.
#pragma once
#include <string>

#include "agent/source/datagram/datagram_source.h"

namespace rivulet::source {

class UdpSource final : public DatagramSource {
 public:
  UdpSource(boost::asio::io_context& io, const config::UdpSource& config, std::string name, Intake& intake);
  std::uint16_t port() const;  // 0: not bound
};

std::string describe_guarantee(const config::UdpSource& config);

}  // namespace rivulet::source
