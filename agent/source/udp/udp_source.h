// UdpSource: datagrams on an address; with `framing: newline` each line of a datagram is a frame. The sender's address is the topic.
//
// UDP cannot wait: while the agent has no room nothing is read, the kernel keeps what its buffer holds and drops the rest, and says how many
// it dropped (SO_RXQ_OVFL), which is counted as `dropped_by_kernel`. A datagram longer than max_datagram is left out whole and counted.
// Thread: io. Bounds: one datagram here, receive_buffer_bytes in the kernel; kDatagramsATurn, then others have theirs.
// Lifetime: the io_context and the Intake outlive it. Errors: an address that cannot be had is tried again each second.
#pragma once
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/source/source.h"

namespace rivulet::source {

class UdpSource final : public Source {
 public:
  UdpSource(boost::asio::io_context& io, config::UdpSource config, std::string name, Intake& intake);

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;

  std::uint16_t port() const;  // 0: not bound

 private:
  static constexpr int kDatagramsATurn = 64;

  result<void> bind_address();
  void wait();
  void read();
  bool receive();   // one datagram into rest_; false: there is none, or it was none to take
  bool hand_over();  // rest_ to the agent; false: no room for all of it
  void count_drops(std::uint32_t so_far);
  void remember_sender(const sockaddr_storage& from);

  const config::UdpSource config_;
  const std::string name_;
  Intake& intake_;
  boost::asio::ip::udp::socket socket_;
  boost::asio::steady_timer retry_;
  std::vector<char> buffer_;
  std::string_view rest_;   // of the datagram in buffer_ that is not handed over
  bool more_ = false;       // rest_ is to be handed over, even when it is empty
  std::string sender_;
  std::string sender_bytes_;  // whose text sender_ is
  std::uint32_t dropped_ = 0;  // as the kernel counts, modulo 2^32
  std::uint64_t datagrams_ = 0;
  std::string problem_;
  bool waiting_ = false, empty_ = false, stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::string describe_guarantee(const config::UdpSource& config);

}  // namespace rivulet::source
