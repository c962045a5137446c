// Subscriptions: the topic filters that a session has, should have, and is refused. No I/O.
//
// A session outlives configurations: the filters that were ever asked for stand in the position "topics", so that one that is no
// longer configured is unsubscribed. All configured ones are subscribed with every connection, because a server that crashed may
// have saved the session without them. A refused filter is reported once, counted, and asked for again by retry(), while the
// others go on. Thread: io. Lifetime: over many connections, within its Session.
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/config/source.h"
#include "agent/mqtt/packet.h"
#include "agent/source/source.h"

namespace rivulet::source::mqtt {

using namespace rivulet::mqtt;  // the packets

class Subscriptions {
 public:
  Subscriptions(const config::MqttSource& settings, std::string name, Intake& intake);

  void connected(bool session_present, std::string& out);
  result<void> on_suback(const Suback& suback);
  result<void> on_unsuback(const Unsuback& unsuback);
  void retry(std::string& out);  // the refused ones, unless an answer is still owed

  bool answered() const { return answered_; }  // the server has answered since connected()
  std::string refused() const;                 // for people; empty: none

 private:
  void subscribe(std::vector<std::string> filters, std::string& out);
  void remember(std::set<std::string> filters);
  std::uint16_t next_id() { return last_id_ = static_cast<std::uint16_t>(last_id_ % 65'535 + 1); }

  const config::MqttSource& settings_;
  std::string name_;
  Intake& intake_;
  std::set<std::string> known_;                 // what the session at the server may have
  std::string stored_;                          // the position's value: known_ in order, each with its size
  std::map<std::string, std::string> refused_;  // filter -> reason
  std::vector<std::string> asked_;              // in the SUBSCRIBE that is not answered
  std::uint16_t last_id_ = 0, asked_id_ = 0, dropped_id_ = 0;  // 0: no answer is owed
  bool answered_ = false;
};

}  // namespace rivulet::source::mqtt
