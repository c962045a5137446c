// Hub: what the clients of one server of streams share: the read buffer, the sessions, and turns at a large frame.
//
// Memory: bytes are read into one buffer; a client keeps its unfinished frame only. Up to small_frame_bytes that is free;
// beyond it a client needs one of large_frame_turns turns, so that 64 clients with the first half of a long frame
// each cannot fill the memory. Who waits for a turn is not read. Thread: io.
#pragma once
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "agent/config/source.h"
#include "agent/source/source.h"
#include "agent/source/stream/sessions.h"

struct ssl_ctx_st;

namespace rivulet::source {

class Connection;

struct Hub {
  static constexpr std::size_t read_bytes = 32 * 1024;  // about 160 records of 200 bytes for three system calls
  static constexpr std::size_t small_frame_bytes = 16 * 1024;
  static constexpr std::size_t large_frame_turns = 2;
  static constexpr std::int64_t handshake_ms = 10'000;
  static constexpr std::int64_t linger_ms = 2'000;  // for the error line to arrive before the connection is reset
  static constexpr std::int64_t turn_ms = 10'000;   // a turn at a large frame without a byte, while another waits

  Hub(Intake& to, config::StreamSettings settings, std::string source_name)
      : intake(to), config(std::move(settings)), name(std::move(source_name)), sessions(to, config.max_sessions),
        buffer(read_bytes) {}

  bool take_turn(Connection& connection) {
    if (std::find(turns.begin(), turns.end(), &connection) != turns.end()) return true;
    if (turns.size() >= large_frame_turns) return false;
    turns.push_back(&connection);
    return true;
  }
  bool give_turn(const Connection& connection) { return std::erase(turns, &connection) > 0; }

  Intake& intake;
  const config::StreamSettings config;
  const std::string name;
  Sessions sessions;
  std::vector<char> buffer;
  std::vector<Connection*> turns;
  ssl_ctx_st* tls = nullptr;
  bool stopped = false;                         // nothing more is read
  std::function<void(Connection&)> on_closed;   // called once by each connection
  std::function<void()> on_owed;                // a client is quiet and has acknowledgements to get
  std::function<void()> on_turn_free;
  std::function<void(const std::string& peer, const std::string& reason)> on_offence;
};

}  // namespace rivulet::source
