// DatagramSource: datagrams; with `framing: newline` each line of a datagram is a frame. The sender is the topic. Behind the sources udp and unix.
//
// While the agent has no room nothing is read: the kernel keeps what it can, and what it drops (UDP) is counted as `dropped_by_kernel`. A
// datagram longer than max_datagram is left out whole and counted. What differs between the kinds of sockets is behind DatagramAddress.
// Thread: io. Bounds: one datagram here; kDatagramsATurn, then others have theirs.
// Lifetime: the io_context and the Intake outlive it. Errors: an address that cannot be had is tried again each second.
#pragma once
#include <sys/socket.h>

#include <boost/asio/generic/datagram_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/source.h"
#include "agent/source/source.h"

namespace rivulet::source {

class DatagramAddress {
 public:
  using Socket = boost::asio::generic::datagram_protocol::socket;

  virtual ~DatagramAddress() = default;
  virtual result<void> bind(Socket& socket, const std::string& source_name) = 0;  // from closed to bound
  virtual void closed() {}
  // Who sent it, into `sender`, which holds who sent the one before. Answers how many datagrams the kernel has dropped since the last call.
  virtual std::uint32_t look_at(const msghdr& message, std::string& sender) = 0;
  virtual std::string text(const Socket& socket) const = 0;
};

class DatagramSource : public Source {
 public:
  DatagramSource(boost::asio::io_context& io, config::DatagramSettings config, std::string name, Intake& intake, std::unique_ptr<DatagramAddress> address);

  void start() override;
  void stop() override;
  void on_durable(EpochNumber) override {}
  void on_room() override;
  std::string state() const override;
  bool in_trouble() const override;

 protected:
  const DatagramAddress::Socket& socket() const { return socket_; }

 private:
  static constexpr int kDatagramsATurn = 64;

  void wait();
  void read();
  bool receive();   // one datagram into rest_; false: there is none, or it was none to take
  bool hand_over();  // rest_ to the agent; false: no room for all of it

  const config::DatagramSettings config_;
  const std::string name_;
  Intake& intake_;
  std::unique_ptr<DatagramAddress> address_;
  DatagramAddress::Socket socket_;
  boost::asio::steady_timer retry_;
  std::vector<char> buffer_;
  std::string_view rest_;   // of the datagram in buffer_ that is not handed over
  bool more_ = false;       // rest_ is to be handed over, even when it is empty
  std::string sender_;
  std::uint64_t datagrams_ = 0;
  std::string problem_;
  bool waiting_ = false, empty_ = false, stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rivulet::source
