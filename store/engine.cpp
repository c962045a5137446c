#include "store/engine.h"

#include <sys/stat.h>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"
#include "store/rebuild.h"

namespace rivulet::store {
namespace {

constexpr std::uint64_t kTrimPacks = 256;  // removed in one transaction: 16 MiB of records before compression
constexpr std::uint64_t kFitMarginBytes = 256 * 1024;  // tables' own pages, and pages cut by rows
constexpr std::size_t kMaxRiding = 64;

std::uint64_t file_size(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

}  // namespace

void Protected::set(const std::vector<ForwardChange::Acknowledged>& prepared) {
  std::map<StreamId, Sequence> up_to;
  for (const auto& [stream, last] : prepared) up_to[stream] = last;
  const std::lock_guard guard(mutex_);
  up_to_ = std::move(up_to);
}

std::optional<std::map<StreamId, Sequence>> Protected::get() const {
  const std::lock_guard guard(mutex_);
  return up_to_;
}

Engine::Engine(const Options& options, const Clock& clock, Connection connection)
    : options_(options), clock_(clock), connection_(std::move(connection)),
      room_(connection_, options.directory, Limits::of(options)), outbox_(connection_, options.compression),
      quarantine_(connection_, Limits::of(options).quarantine), state_(connection_, options.compression) {}

result<void> Engine::prepare() {
  if (auto done = outbox_.prepare(); !done) return done;
  if (auto done = quarantine_.prepare(); !done) return done;
  if (auto done = state_.prepare(); !done) return done;
  const std::pair<Statement*, const char*> statements[] = {
      {&put_position_, "INSERT INTO positions VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value"},
      {&erase_position_, "DELETE FROM positions WHERE source = ?1 AND key = ?2"},
      {&get_positions_, "SELECT key, value FROM positions WHERE source = ?1"},
      {&put_fact_, "INSERT INTO facts VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value"},
      {&erase_fact_, "DELETE FROM facts WHERE name = ?1"},
      {&get_fact_, "SELECT value FROM facts WHERE name = ?1"}};
  for (const auto& [statement, sql] : statements) {
    auto prepared = connection_.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return room_.prepare();
}

void Engine::set_options(const Options& options) {
  options_ = options;
  const Limits limits = Limits::of(options);
  room_.set_limits(limits);
  outbox_.set_compression(options.compression);
  state_.set_compression(options.compression);
  quarantine_.set_bound(limits.quarantine);
}

// After an error nothing of the transaction is there (it was rolled back), so what is in memory is read again; unless the
// error is one after which nobody can say that.
result<void> Engine::checked(result<void> outcome) {
  if (outcome || lost_) return outcome;
  Error error = outcome.error();
  if (error.code == ErrorCode::full || error.code == ErrorCode::unavailable) {
    auto loaded = outbox_.load();
    if (loaded) loaded = quarantine_.load();
    if (loaded) return error;
    error = loaded.error();
  }
  if (error.code == ErrorCode::corrupt) mark_damaged(options_.directory, error.message);
  error.code = ErrorCode::unknown_fate;
  error.message += "; whether the last transaction is on disk is unknown, so the process must end and start again from the store";
  lost_ = error;
  return error;
}

result<void> Engine::attempt(bool emergency, std::uint64_t trim_packs, const Body& body) {
  bool trims = false;
  const auto all = [&]() -> result<void> {
    if (auto set = room_.allow_growth(emergency); !set) return set;
    auto transaction = Transaction::begin(connection_);
    if (!transaction) return transaction.error();
    for (const ForwardChange& change : riding_) {
      trims = trims || !change.acknowledged.empty();
      if (auto done = apply(change); !done) return done;
    }
    if (auto done = body(trims); !done) return done;
    if (auto done = outbox_.trim(trim_packs); !done) return done.error();
    if (trims) fault_point("store.before_trim");
    return transaction->commit();
  };
  if (auto done = checked(all()); !done) return done;
  if (connection_.has_moved()) {
    lost_ = Error{ErrorCode::unknown_fate, "store: " + database_path(options_.directory) + " was removed or replaced while the agent was using it, so what it writes would be gone: nothing of it is "
                  "acknowledged, and the process must end and start again with the store that is there then"};
    return *lost_;
  }
  riding_.clear();
  quarantine_.committed();
  tell_quarantine_dropped();
  if (trims) fault_point("store.after_trim");
  // The transaction is there: what fails from here on must not have it written once more.
  if (checked(room_.measure())) (void)checked(room_.checkpoint_if_due());
  if (lost_) return *lost_;
  return {};
}

// `fits`: the free pages of the file have room for it, so that it needs no growth, only a log that can be used again.
result<void> Engine::transact(bool emergency, const Body& body, bool fits) {
  if (lost_) return *lost_;
  auto outcome = attempt(emergency, kTrimPacks, body);
  const auto wants_room = [&] { return !lost_ && outcome.has_error() && outcome.error().code == ErrorCode::full; };
  if (wants_room()) {
    make_room();
    if (!lost_) outcome = attempt(emergency, kTrimPacksWhenFull, body);
  }
  if (wants_room() && (emergency || fits || rides() || outbox_.wants_trim()) && room_.release_ballast()) {
    log::warn("store: the disk of {} is full: the ballast was given back to it, so that the log can be emptied and what is acknowledged be removed", options_.directory);
    make_room();
    if (!lost_) outcome = attempt(emergency, kTrimPacksWhenFull, body);
  }
  if (lost_) return *lost_;
  return outcome;
}

result<void> Engine::write(const Epoch& epoch) {
  const std::int64_t now_ms = clock_.wall_ms();
  if (!room_.has_ballast()) room_.restore_ballast();
  auto outcome = transact(false, [&](bool&) -> result<void> {
    for (const StreamRecords& records : epoch.streams())
      if (auto done = outbox_.append(records, now_ms); !done) return done;
    for (const PositionChange& change : epoch.positions()) {
      Statement& statement = change.value ? put_position_ : erase_position_;
      statement.bind(1, std::string_view(change.source)).bind_blob(2, change.key);
      if (change.value) statement.bind_blob(3, *change.value);
      if (auto done = statement.run(); !done) return done;
    }
    for (const std::int64_t id : epoch.released())
      if (auto done = quarantine_.remove(id); !done) return done;
    quarantine_.dropped_before(epoch.quarantine_dropped());
    for (const QuarantineEntry& entry : epoch.quarantined())
      if (auto done = quarantine_.add(entry, now_ms); !done) return done;
    if (auto done = state_.write(epoch.state()); !done) return done;
    fault_point("store.before_commit");
    return {};
  }, room_.free_bytes() > epoch.size_bytes() + kFitMarginBytes);
  if (outcome) fault_point("store.after_commit");
  return outcome;
}

result<void> Engine::apply_gap(const ForwardChange::Gap& gap, Timestamp now_ms) {
  return outbox_.make_gap(gap, now_ms, [&](const PackRecord& record, bool whole) -> result<void> {
    if (!gap.quarantine) return {};
    const StreamInfo& stream = *outbox_.find(gap.stream);
    QuarantineEntry entry;
    entry.step = "forward";
    entry.reason = gap.reason;
    if (record.key) entry.key.emplace(*record.key);
    if (record.value) entry.value.emplace(*record.value);
    entry.timestamp_ms = record.timestamp_ms;
    entry.topic = stream.topic;
    entry.place = whole ? std::string(kStreamPlace) + stream.name : std::string(kNoPlace) + "its bytes were damaged on the disk";
    entry.window = record.window;
    return quarantine_.add(entry, now_ms);
  });
}

result<void> Engine::apply(const ForwardChange& change) {
  for (const auto& [name, value] : change.facts) {
    Statement& statement = value ? put_fact_ : erase_fact_;
    statement.bind(1, std::string_view(name));
    if (value) statement.bind_blob(2, *value);
    if (auto done = statement.run(); !done) return done;
  }
  for (const auto& [stream, last] : change.acknowledged)
    if (auto done = outbox_.acknowledge(stream, last); !done) return done;
  const std::int64_t now_ms = clock_.wall_ms();
  for (const ForwardChange::Gap& gap : change.gaps)
    if (auto done = apply_gap(gap, now_ms); !done) return done;
  return {};
}

result<void> Engine::change(ForwardChange change) {
  if (lost_) return *lost_;
  const auto within = [&](StreamId stream, Sequence first, Sequence last) {
    const StreamInfo* info = outbox_.find(stream);
    return info != nullptr && first <= last && last <= info->last;
  };
  for (const auto& [stream, last] : change.acknowledged)
    if (!within(stream, 0, last)) return Error{ErrorCode::invalid, "store: a record is acknowledged that the outbox never held"};
  for (const ForwardChange::Gap& gap : change.gaps)
    if (gap.first == 0 || !within(gap.stream, gap.first, gap.last)) return Error{ErrorCode::invalid, "store: a gap lies outside its stream"};
  if (!change.durable && riding_.size() < kMaxRiding) {
    riding_.push_back(std::move(change));
    return {};
  }
  return transact(true, [&](bool& trims) {
    trims = trims || !change.acknowledged.empty();
    return apply(change);
  });
}

result<void> Engine::flush() {
  if (lost_) return *lost_;
  if (!rides()) return {};
  return transact(true, [](bool&) -> result<void> { return {}; });
}

result<StreamInfo> Engine::stream(const std::string& name, const std::string& topic) {
  for (const StreamInfo& info : outbox_.streams())
    if (info.name == name && info.topic == topic) return info;
  if (outbox_.streams().size() >= kMaxStreams) return Error{ErrorCode::invalid, "store: no more than 32767 streams fit into one store"};
  StreamInfo made;
  auto done = transact(true, [&](bool&) -> result<void> {
    auto stream = outbox_.stream(name, topic);
    if (!stream) return stream.error();
    made = std::move(*stream);
    return {};
  });
  if (!done) return done.error();
  return made;
}

result<Engine::Positions> Engine::positions(const std::string& source) {
  if (lost_) return *lost_;
  Positions found;
  get_positions_.bind(1, std::string_view(source));
  for (;;) {
    auto row = get_positions_.step();
    if (!row) return checked(row.error()).error();
    if (!*row) break;
    found.emplace(get_positions_.bytes(0), get_positions_.bytes(1));
  }
  get_positions_.reset();
  return found;
}

result<std::vector<StreamInfo>> Engine::streams() {
  if (auto done = flush(); !done) return done.error();
  return outbox_.streams();
}

result<std::vector<Pack>> Engine::read(StreamId stream, Sequence after, std::size_t max_bytes) {
  if (lost_) return *lost_;
  for (const ForwardChange& change : riding_)
    if (!change.gaps.empty()) {
      if (auto done = flush(); !done) return done.error();
      break;
    }
  for (;;) {
    auto packs = outbox_.read(stream, after, max_bytes);
    if (!packs) return checked(packs.error()).error();
    const auto damaged = outbox_.damaged();
    if (!damaged) return packs;
    // One bad pack must not hold up its stream for ever: its bytes are kept, and the gap says what is missing.
    log::error("store: {} in stream {}, records {} to {}; a gap record goes out for them and the stored bytes are in the quarantine table", damaged->reason,
                  stream, damaged->first, damaged->last);
    auto done = transact(true, [&](bool&) { return apply_gap(*damaged, clock_.wall_ms()); });
    if (!done) return done.error();
  }
}

result<std::uint32_t> Engine::state_step(const std::string& pipeline, const std::string& step, const std::string& definition) {
  std::uint32_t id = 0;
  Error refused;
  auto done = transact(true, [&](bool&) -> result<void> {
    auto found = state_.step(pipeline, step, definition);
    if (!found && found.error().code == ErrorCode::conflict) refused = found.error();
    else if (!found) return found.error();
    else id = *found;
    return {};
  });
  if (!done) return done.error();
  if (id == 0) return refused;
  return id;
}

result<bool> Engine::forget_state(const std::string& pipeline, const std::string& step, bool whole, const StateTables::Gone& gone) {
  if (auto whole_log = state_log(read_only_changes); !whole_log) return whole_log.error();
  bool found = false;
  auto done = transact(true, [&](bool&) -> result<void> {
    auto forgotten = state_.forget(pipeline, step, whole, gone);
    if (!forgotten) return forgotten.error();
    found = *forgotten;
    return {};
  });
  if (!done) return done.error();
  return found;
}

result<void> Engine::state_log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit) {
  if (lost_) return *lost_;
  auto done = state_.log(visit);
  if (done || done.error().code != ErrorCode::corrupt) return checked(std::move(done));
  mark_damaged(options_.directory, done.error().message);  // it was only read: no transaction is in doubt
  return Error{ErrorCode::corrupt, done.error().message + "; the next start sets the file aside and begins a new one"};
}

result<std::optional<std::string>> Engine::fact(const std::string& name) {
  if (auto done = flush(); !done) return done.error();
  get_fact_.bind(1, std::string_view(name));
  auto row = get_fact_.step();
  if (!row) return checked(row.error()).error();
  std::optional<std::string> found;
  if (*row) found = get_fact_.optional_bytes(0);
  get_fact_.reset();
  return found;
}

result<std::vector<Store::Quarantined>> Engine::quarantined(std::int64_t after_id, std::size_t limit) {
  if (auto done = flush(); !done) return done.error();
  return list_quarantine(connection_, after_id, limit);
}

result<std::uint64_t> Engine::drop_quarantined(std::int64_t first_id, std::int64_t last_id) {
  std::uint64_t dropped = 0;
  auto done = transact(true, [&](bool&) -> result<void> {
    auto count = quarantine_.drop(first_id, last_id);
    if (!count) return count.error();
    dropped = *count;
    return {};
  });
  if (!done) return done.error();
  return dropped;
}

result<bool> Engine::unused() {
  if (lost_) return *lost_;
  auto restoring = fact(kRestoringFact);
  if (!restoring) return restoring.error();
  return *restoring ? result<bool>(true) : is_unused(connection_);
}

result<void> Engine::rebuild(const Rebuild& rebuild) {
  auto done = transact(true, [&](bool&) -> result<void> {
    for (const auto& [name, value] : rebuild.facts) {
      Statement& statement = value ? put_fact_ : erase_fact_;
      statement.bind(1, std::string_view(name));
      if (value) statement.bind_blob(2, *value);
      if (auto kept = statement.run(); !kept) return kept;
    }
    return rebuild_rows(connection_, state_, rebuild);
  });
  return done ? checked(outbox_.load()) : done;
}

void Engine::end() {
  if (auto done = flush(); !done && !lost_) log::warn("{}", done.error().message);
  tell_dropped();
}

void Engine::fill(StoreStats& stats) const {
  const std::string path = database_path(options_.directory);
  stats.outbox_records = outbox_.records();
  stats.local_records = outbox_.local_records();
  stats.outbox_bytes = outbox_.bytes();
  stats.used_bytes = room_.used_bytes();
  stats.outbox_max_bytes = room_.outbox_max_bytes();
  stats.file_bytes = file_size(path);
  stats.wal_bytes = file_size(path + "-wal");
  stats.quarantine_records = quarantine_.records();
  stats.quarantine_dropped = quarantine_.dropped();
  stats.dropped_records = dropped_records_;
  stats.last_drop_ms = last_drop_ms_;
}

}  // namespace rivulet::store
