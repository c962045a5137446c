// Window: how many messages the server has in flight before it waits for us, as far as can be seen from here.
//
// A server that waits queues, and then drops in silence, so acknowledgements have to be on their way before its window is
// full; but each is a commit, and commits cost flash. What it keeps in flight is its own setting (mosquitto: 20 in 3.1.1, our
// receive maximum in 5.0; an operator who wants strict order sets 1), so it is watched: at least what was in flight at once; and
// less than that when a burst of n was followed by silence, and the next message by our acknowledgement, twice in a row.
// A window that was seen to be small is forgotten after a minute, or when an acknowledgement is followed by nothing: a slow
// publisher looks alike, and would cost a commit a message.
// Thread: io. Units: milliseconds of a steady clock.
#pragma once
#include <cstddef>
#include <cstdint>

namespace rivulet::source::mqtt {

class Window {
 public:
  explicit Window(std::size_t receive_maximum) : receive_maximum_(receive_maximum) {}

  void connected();                                              // a new connection: nothing is in flight
  void delivered(std::int64_t now_ms);                           // a message that is in flight until it is acknowledged
  void freed(std::size_t count, std::int64_t now_ms);            // PUBACK or PUBCOMP: so many slots are free again
  std::size_t half(std::int64_t now_ms) const;                   // from so many owed acknowledgements on, a commit is due; >= 1
  std::size_t in_flight() const { return in_flight_; }

 private:
  static constexpr std::size_t kUsual = 20;                      // mosquitto, VerneMQ
  static constexpr std::int64_t kQuietMs = 50, kPromptMs = 250;  // beyond the first the server is silent, within the other it answers
  static constexpr std::int64_t kForgetMs = 60'000;

  const std::size_t receive_maximum_;
  std::size_t in_flight_ = 0, most_ = kUsual;
  std::size_t small_ = 0;                                        // the window as a stall showed it; 0: none seen
  std::size_t stalled_ = 0, candidate_ = 0, times_ = 0;
  std::int64_t first_ms_ = 0, last_ms_ = 0, freed_ms_ = 0, small_ms_ = 0;
};

}  // namespace rivulet::source::mqtt
