// Session: what a subscribing client owes the server, and when it may pay. No I/O: packets in, bytes to send out.
//
// QoS 1: PUBACK when the epoch that holds the record is durable. QoS 2 (MQTT 5.0 section 4.3.3): the packet id with a hash of topic
// and payload is a position in the same epoch as the record, PUBREC when that is durable; at PUBREL the position is marked, PUBCOMP when
// that is durable. So redelivery after a crash is known, and a reused id is not taken for one: DUP=0 on a held id is a new message
// (mosquitto reuses ids so after a crash of its own). An acknowledgement goes only to the connection that delivered.
// An id that was released is remembered a while longer, as such, in its position: mosquitto (2.0.11 to 2.0.21) sends the PUBLISH again, with
// DUP=1, instead of the PUBREL when two connections in a row break before its PUBCOMP, which section 4.3.3 forbids. That is known as long as
// the server counts its ids up: one that gives an id again soon would have new messages taken for old ones, and has its ids forgotten at PUBREL.
// Thread: io. Lifetime: over many connections. Bounds: 65,535 ids of about 64 bytes (there are no more ids; a server that keeps
// the receive maximum needs no more than that, and so many released ones are remembered), kMaxOwed acknowledgements: at the bound may_take() is false and the
// connection is not read, never closed: mosquitto 2.0.11 overshoots the receive maximum.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "agent/config/source.h"
#include "agent/mqtt/packet.h"
#include "agent/source/mqtt/subscriptions.h"
#include "agent/source/mqtt/window.h"
#include "agent/source/source.h"

namespace rivulet::source::mqtt {

using namespace rivulet::mqtt;  // the packets

class Session {
 public:
  static constexpr std::size_t kMaxOwed = 65'535;  // as many as there are packet ids

  Session(const config::MqttSource& settings, std::string name, std::string client_id, Intake& intake);

  std::string connect();  // a new connection begins: what to send first
  void disconnected();    // what is owed to the connection is void: the server delivers again
  // An error closes the connection; its message is for the log. What is to be sent is appended to `out`.
  result<void> on_packet(const Packet& packet, std::string& out);
  // A PUBLISH larger than max_packet was passed over: it is counted and acknowledged, or it would come again for ever.
  void on_oversized(const Publish& publish, std::uint64_t size_bytes, std::string& out);
  void on_durable(EpochNumber up_to, std::string& out);
  void after_read(bool drained);  // all packets at hand are in; drained: the socket had no more
  void retry_refused(std::string& out) { subscriptions_.retry(out); }

  bool connected() const { return connected_; }
  bool subscribed() const { return connected_ && subscriptions_.answered(); }
  bool may_take() const { return owed_.size() < kMaxOwed; }
  std::string refused() const { return subscriptions_.refused(); }
  std::uint16_t keep_alive_s() const { return keep_alive_s_; }  // of this connection
  std::size_t owed() const { return owed_.size(); }

 private:
  struct Owed {
    EpochNumber epoch;
    Type type;
    std::uint16_t id;
  };
  struct Held {
    std::uint64_t hash;
    EpochNumber epoch;  // that made it durable; 0: before this process started
    bool released = false;
  };
  result<void> on_connack(const Connack& connack, std::string& out);
  void on_publish(const Publish& publish);
  void on_pubrel(const Pubrel& pubrel);
  void on_new_id(std::uint16_t id);
  void forget_released(std::size_t but);
  void take_qos2(const Publish& publish, std::uint64_t hash, bool deliver);
  void owe(EpochNumber epoch, Type type, std::uint16_t id);
  void pay(Type type, std::uint16_t id);
  void flush(std::string& out);

  const config::MqttSource& settings_;
  std::string name_, client_id_;
  Intake& intake_;
  Subscriptions subscriptions_;
  Window window_;
  std::map<std::uint16_t, Held> held_;    // released ones among them
  std::deque<std::uint16_t> released_;    // oldest first; an id that is held anew since is passed over
  std::uint16_t last_new_id_ = 0;         // of a message with DUP=0
  bool ids_count_up_ = true;              // as far as was seen
  std::deque<Owed> owed_;  // in order of their epochs
  EpochNumber durable_ = 0;
  bool connected_ = false, told_expiry_ = false;
  std::uint16_t keep_alive_s_;
  std::string paid_;       // acknowledgements that may leave
  std::size_t freed_ = 0;  // PUBACKs and PUBCOMPs among them
};

}  // namespace rivulet::source::mqtt
