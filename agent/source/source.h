// Source: where records come from; and Intake: what a source may ask of the agent.
//
// The contract that makes exactly once possible: a source hands a frame over with accept(), puts its new position into the
// same epoch with set_position(), remembers epoch(), and acknowledges upstream only after on_durable() named that epoch.
// Threads: io for every call, both ways. Lifetime: the Intake outlives the Source. Bounds: while can_accept() is false a source
// stops reading (what cannot wait, such as QoS 0, is dropped and counted); on_room() says that reading may go on.
// A source never throws across this door and never blocks; its destructor does neither once it has ended().
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/ids.h"

namespace rivulet::source {

// One frame as it came, before decoding. Views are valid during the call only.
struct Frame {
  std::string_view payload;
  std::string_view topic;  // MQTT topic, file path, ...: what the source's `topic_field` gives; may be empty
  // What a Kafka record brings with it; the source's own `key` and `timestamp` win.
  std::optional<std::string_view> key = std::nullopt;
  std::optional<Timestamp> timestamp_ms = std::nullopt;  // or when it arrived, where the source knows; none: now
  bool null = false;  // a tombstone: it has no payload
  // Of the file or connection that the payload is a later line of, where CSV has its names there; none: the payload stands for itself.
  std::optional<std::string_view> first_line = std::nullopt;
};

// What Intake::check() finds in a frame.
struct Checked {
  std::uint64_t records = 0;          // that accept() would make of it
  std::optional<std::string> reason;  // why the first piece that is no record is none
  std::size_t at = 0;                 // where in the payload that piece begins
};

class Intake {
 public:
  virtual ~Intake() = default;
  virtual bool can_accept() const = 0;
  virtual void accept(const Frame& frame) = 0;  // decoded and run through the pipelines before it returns
  // Decodes the frame as accept() would, without any effect: for a source that takes all of something or nothing.
  virtual Checked check(const Frame& frame) = 0;
  virtual EpochNumber epoch() const = 0;        // the epoch that accept() and set_position() go to now
  virtual void set_position(std::string_view key, std::string_view value) = 0;
  virtual void erase_position(std::string_view key) = 0;
  virtual const std::map<std::string, std::string>& positions_at_start() const = 0;
  virtual void commit_soon() = 0;  // an acknowledgement is owed that holds the sender up: end the epoch once the store is idle
  virtual void count(std::string_view what, std::uint64_t by = 1) = 0;  // a metric of this source, e.g. "dropped_qos0"
  virtual const Clock& clock() const = 0;
};

// A connection that is tried again is in trouble after so long: a server that starts anew takes less.
inline constexpr std::int64_t kTroubleAfterMs = 10'000;

class Source {
 public:
  virtual ~Source() = default;
  virtual void start() = 0;
  virtual void stop() = 0;                          // take nothing more in; acknowledgements may still go out
  // After stop(): nothing of it is at work any more, no thread, no command, so that another may have its device. Within a bound of its own.
  virtual bool ended() const { return true; }
  virtual void on_durable(EpochNumber up_to) = 0;   // every epoch up to and including this one is durable
  virtual void on_room() {}                         // can_accept() became true again
  virtual bool finished() const { return false; }   // nothing more will ever come (stdin at its end, simulate at its count)
  // False: it brings a table that has to be there before the first record of other sources is taken in.
  virtual bool ready() const { return true; }
  virtual std::string state() const = 0;            // one line for status: "connected to mqtt://localhost:1883"
  // It cannot take in what it should for a reason that state() names: an address that is taken, a device that is gone, a folder that cannot be read.
  // One that waits, for a file, a client or room, is in none.
  virtual bool in_trouble() const { return false; }
};

}  // namespace rivulet::source
