// Store: the one SQLite file, and the one thread that writes it.
//
// Life: open() (start-up, blocks), then the thread runs until destruction, which waits for commits already handed over.
// Threads: each method says who calls it. No method may be called from the store thread itself.
// Errors: unknown_fate means the transaction's outcome is unknown: end the process and start again from the store.
// Bounds: whoever fills epochs asks has_room() first: it is false while Options::epochs_in_flight epochs wait, and above
// StoreStats::outbox_max_bytes; a handed-over epoch fits in the reserve above that limit.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/ids.h"
#include "agent/base/pulse.h"
#include "agent/base/result.h"
#include "store/epoch.h"

namespace rivulet::store {

enum class WhenFull { refuse, drop_oldest };
enum class Compression { none, lz4, zstd };

struct Options {
  std::string directory;  // holds rivulet.db, `identity`, `ballast`, `lock`; made if missing (0700)
  std::string agent_id;
  std::uint64_t max_bytes = 1ULL << 30;  // storage.max; the outbox limit is derived and lies below it
  WhenFull when_full = WhenFull::refuse;
  Compression compression = Compression::zstd;
  QuarantineBound quarantine;  // what it takes is counted. No bound: whoever sets that looks after it
  std::size_t epochs_in_flight = 4;           // with so many handed over and not yet durable has_room() is false
  std::size_t epoch_max_bytes = 1024 * 1024;  // about what an epoch holds at most; sizes the reserve above the outbox limit
  std::string vfs;  // SQLite VFS name; empty = default (a seam for tests)
};

// Whether a stream is for a local output (agent/sink), such as "file:/path", and not for a topic of Kafka's: no legal topic has a colon. So a
// program that knows no local outputs holds such a stream (its topic cannot be) and sends nothing of it.
inline bool is_local(std::string_view topic) { return topic.find(':') != std::string_view::npos; }

// One named output of a pipeline and how far it is.
struct StreamInfo {
  StreamId id = 0;
  std::string name;
  std::string topic;          // or another destination: is_local()
  Sequence last = 0;          // last sequence number given (durable)
  Sequence acknowledged = 0;  // last one that Kafka (or the local output) has for good; what is in (acknowledged, last] is in the outbox
  std::uint64_t bytes = 0;    // of its packs as stored, also of those acknowledged and not yet removed
  std::uint64_t gap_records = 0;  // of (acknowledged, last]: gone, a gap is in their place

  std::uint64_t waiting() const { return last - std::min(last, acknowledged + gap_records); }  // records
};

// Records of one stream, decoded, contiguous: record i has sequence `first + i`.
struct PackRecord {  // views into its pack's body
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  Timestamp timestamp_ms = 0;
  std::optional<Window> window = std::nullopt;
};
struct PackRecords {
  std::unique_ptr<const std::string> body;  // stays where it is when this is moved
  std::vector<PackRecord> records;
};
struct Pack : PackRecords {
  StreamId stream = 0;
  Sequence first = 0;
  Sequence last = 0;
  bool gap = false;        // dropped on purpose: no records; a gap record for [first, last] goes out in their place
  std::string gap_reason;
};

// Rows of a store that is filled from changelogs (agent/forward/restore.h), before its first start.
struct Rebuild {
  bool begin = false;  // what is there goes first
  std::vector<StateStep> steps;
  struct Row {
    std::string pipeline, step;  // one of `steps`, of this batch or one before
    std::uint32_t part = 0;
    std::string key;
    std::optional<std::string> value;  // none: erased
  };
  std::vector<Row> rows;
  std::vector<PositionChange> positions;
  std::vector<StreamInfo> streams;  // id, name, topic, last: Kafka has all of it
  std::vector<std::pair<std::string, std::optional<std::string>>> facts;
};
// The fact of a store that is being filled: it must not be used.
inline constexpr const char* kRestoringFact = "restoring";

// A change by the forwarder or a local output, all or nothing.
struct ForwardChange {
  struct Acknowledged { StreamId stream; Sequence last; };
  struct Gap {  // records [first, last] are replaced by a gap; with `quarantine` their contents are kept there
    StreamId stream;
    Sequence first;
    Sequence last;
    std::string reason;
    bool quarantine = true;
  };
  std::vector<std::pair<std::string, std::optional<std::string>>> facts;  // forwarder's named blobs; nullopt deletes
  std::vector<Acknowledged> acknowledged;                                // trims the outbox
  std::vector<Gap> gaps;
  bool durable = true;  // false: may ride with the next durable commit (synchronous), order is kept
};

struct Identity {
  Uuid incarnation;
  std::vector<Uuid> history;  // earlier incarnations of this agent's store, oldest first
  bool adopted_after_damage = false;  // this start set a damaged file aside; `notice` says which
  std::string notice;
};

struct StoreStats {
  std::uint64_t outbox_records = 0;  // that wait, without gaps
  std::uint64_t local_records = 0;  // of outbox_records: for local outputs
  std::uint64_t outbox_bytes = 0;  // compressed, as stored
  std::uint64_t used_bytes = 0;        // of the file: pages in use, all tables; has_room() holds it against outbox_max_bytes
  std::uint64_t outbox_max_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t wal_bytes = 0;
  std::uint64_t commits = 0;
  std::uint64_t commit_failures = 0;  // each was retried
  std::uint64_t last_commit_us = 0;
  std::uint64_t quarantine_records = 0;
  std::uint64_t quarantine_dropped = 0;
  std::uint64_t dropped_records = 0;  // by drop-oldest, since the start
  std::int64_t last_drop_ms = 0;      // steady clock; 0: none was
  std::uint64_t held_bytes = 0;       // of outbox_bytes: what hold() named
  bool held_full = false;             // they fill their half of outbox_max_bytes: has_room_for() refuses them
  bool disk_full = false;             // last commit failed for want of room and is being retried
};

class Store {
 public:
  // Start-up. A newer format, another agent id, a locked directory: an error that says what to do. A damaged file is set
  // aside (renamed, never deleted) and a new incarnation begins; see identity().notice.
  static result<std::unique_ptr<Store>> open(Options options, const Clock& clock);
  ~Store();

  const Identity& identity() const;

  // --- io thread (blocking; start-up and reload only) ---
  result<StreamInfo> stream(const std::string& name, const std::string& topic);  // found, or made durable
  result<std::map<std::string, std::string>> positions(const std::string& source);
  // The state of stateful steps: reads on a connection of its own, on the io thread; it must go before the Store does.
  result<std::unique_ptr<StateBackend>> open_state();
  result<std::uint32_t> state_step(const std::string& pipeline, const std::string& step, const std::string& definition);
  result<void> state_log(const std::function<result<void>(std::uint64_t number, std::string_view body)>& visit);  // `visit` runs on the store thread
  // Another storage.max, when_full, compression or size of epochs, from the next transaction on. Directory, agent and epochs in flight stay.
  result<void> set_options(const Options& options);

  // --- io thread ---
  // Hands the epoch over. Its streams must go on where they ended (check). `done` runs on the store thread when it is durable, or with unknown_fate. A commit that failed
  // with its fate known (disk full, busy) is retried unchanged until it succeeds; stats().disk_full says so meanwhile.
  void commit(Epoch epoch, std::function<void(result<void>)> done);
  bool has_room() const;      // any thread: outbox below its limit and the disk takes writes
  // Any thread. False: nobody takes the stream's records (hold()), and such streams together fill half of the outbox limit; the other
  // half is for those that go on. Always true with drop-oldest, which drops of them first.
  bool has_room_for(StreamId stream) const;
  StoreStats stats() const;   // any thread; a copy, cheap
  std::vector<StreamInfo> stream_infos() const;  // any thread; a copy of what streams() said after the last commit or call

  // --- forward thread, and the threads of local outputs (blocking, carried out on the store thread in order) ---
  result<std::vector<StreamInfo>> streams();  // all streams, also those without a pipeline
  // Packs of `stream` with records after `after`, oldest first, until about max_bytes (at least one pack if there is one).
  // A pack that `after` cuts begins at after + 1.
  result<std::vector<Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes);
  result<std::optional<std::string>> fact(const std::string& name);
  result<void> change(ForwardChange change);
  // What is PREPARED, up to these sequence numbers: drop-oldest leaves it alone, since it may have arrived. Replaces the last call's.
  // Until the first call of this process nothing is dropped while the fact "prepared" exists.
  void protect(const std::vector<ForwardChange::Acknowledged>& prepared);
  // Streams whose topic, or local output, takes nothing. Replaces what the same holder said last. Any thread; does not wait.
  void hold(const std::string& holder, const std::set<StreamId>& streams);
  // Called on the store thread after a commit added to the outbox; must only wake who takes from it. Set before the first commit.
  void on_outbox(std::function<void()> wake);

  std::shared_ptr<const Pulse> pulse() const;  // the store thread's; any thread

  // --- commands ---
  struct Quarantined : QuarantineEntry { std::int64_t id = 0; Timestamp at_ms = 0; };
  result<std::vector<Quarantined>> quarantined(std::int64_t after_id, std::size_t limit);
  // With no agent running. What goes of a step's rows by part and key; `whole`: the step itself too. False: there is no such step.
  result<bool> forget_state(const std::string& pipeline, const std::string& step, bool whole, const std::function<bool(std::uint32_t part, std::string_view key)>& gone);
  result<std::uint64_t> drop_quarantined(std::int64_t first_id, std::int64_t last_id);
  result<bool> unused();                  // nothing was ever kept here, except what an unfinished restore has left
  result<void> rebuild(Rebuild rebuild);  // durable; all or nothing

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rivulet::store
