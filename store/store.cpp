#include "store/store.h"

#include <sys/stat.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <future>
#include <mutex>
#include <thread>

#include <spdlog/spdlog.h>

#include "agent/base/check.h"
#include "agent/base/fault_point.h"
#include "store/database.h"
#include "store/outbox.h"
#include "store/quarantine.h"

namespace rivulet::store {
namespace {
constexpr std::int64_t kRetryFirstMs = 50;
constexpr std::int64_t kRetryMaxMs = 2000;
constexpr int kVacuumPages = 64;          // a step of incremental vacuum when idle
constexpr std::int64_t kIdleMs = 1000;
constexpr std::uint64_t kDropTarget = 16;  // drop-oldest frees 1/16 of the limit at a time

// Below max_page_count: room for PREPARED, positions, trims and the epochs in flight.
std::uint64_t outbox_limit(std::uint64_t max_bytes) { return max_bytes - std::max<std::uint64_t>(max_bytes / 4, 4ULL << 20); }
}  // namespace

struct Store::Impl {
  struct EpochTask {
    Epoch epoch;
    std::function<void(result<void>)> done;
  };

  Options options;
  const Clock& clock;
  DirectoryLock lock;
  Connection connection;
  Identity identity;
  Outbox outbox;
  Quarantine quarantine;

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<EpochTask> epochs;
  std::deque<std::function<void()>> calls;
  bool ending = false;
  StoreStats stats;
  std::function<void()> outbox_grew;
  std::map<StreamId, Sequence> protected_up_to;
  std::optional<Error> lost;  // unknown_fate: nothing more is written
  std::atomic<std::uint64_t> outbox_bytes{0};
  std::atomic<std::uint64_t> in_flight_bytes{0};
  std::atomic<bool> disk_full{false};
  bool synchronous = true;
  Statement put_position, erase_position, put_fact, erase_fact, get_fact;
  std::thread thread;

  Impl(Options wanted, const Clock& time, DirectoryLock held, Opened opened)
      : options(std::move(wanted)), clock(time), lock(std::move(held)), connection(std::move(opened.connection)),
        identity(std::move(opened.identity)), outbox(connection, options.compression),
        quarantine(connection, options.quarantine_max, options.quarantine_max_bytes) {}

  result<void> prepare() {
    if (auto done = outbox.prepare(); !done) return done;
    if (auto done = quarantine.prepare(); !done) return done;
    const std::pair<Statement*, const char*> statements[] = {
        {&put_position, "INSERT INTO positions VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value"},
        {&erase_position, "DELETE FROM positions WHERE source = ?1 AND key = ?2"},
        {&put_fact, "INSERT INTO facts VALUES(?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value"},
        {&erase_fact, "DELETE FROM facts WHERE name = ?1"},
        {&get_fact, "SELECT value FROM facts WHERE name = ?1"}};
    for (const auto& [statement, sql] : statements) {
      auto prepared = connection.prepare(sql);
      if (!prepared) return prepared.error();
      *statement = std::move(*prepared);
    }
    make_ballast(options.directory);
    publish();
    return {};
  }

  void publish() {
    outbox_bytes = outbox.bytes();
    struct stat file {}, wal {};
    const std::string path = database_path(options.directory);
    const bool has_file = ::stat(path.c_str(), &file) == 0;
    const bool has_wal = ::stat((path + "-wal").c_str(), &wal) == 0;
    const std::lock_guard guard(mutex);
    stats.outbox_bytes = outbox.bytes();
    stats.outbox_records = outbox.records();
    stats.quarantine_records = quarantine.records();
    stats.quarantine_dropped = quarantine.dropped();
    stats.file_bytes = has_file ? static_cast<std::uint64_t>(file.st_size) : 0;
    stats.wal_bytes = has_wal ? static_cast<std::uint64_t>(wal.st_size) : 0;
    stats.disk_full = disk_full;
  }

  // After an error in a transaction: it was rolled back, so what is in memory is read again.
  Error failed(Error error) {
    if (error.code == ErrorCode::unknown_fate || error.code == ErrorCode::corrupt) {
      error.code = ErrorCode::unknown_fate;
      error.message += "; whether the last transaction is on disk is unknown, so the process must end and start again from the store";
      lost = error;
      return error;
    }
    if (auto loaded = outbox.load(); !loaded) lost = Error{ErrorCode::unknown_fate, loaded.error().message};
    if (auto loaded = quarantine.load(); !loaded) lost = Error{ErrorCode::unknown_fate, loaded.error().message};
    return lost ? *lost : error;
  }

  // synchronous=FULL syncs the log at commit; NORMAL leaves that to the next FULL commit, in order.
  result<void> set_synchronous(bool full) {
    if (synchronous == full) return {};
    if (auto set = connection.execute(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"); !set) return set;
    synchronous = full;
    return {};
  }

  template <class Body>
  result<void> transact(bool durable, Body body) {
    if (lost) return *lost;
    if (auto set = set_synchronous(durable); !set) return set;
    result<void> outcome = [&]() -> result<void> {
      auto transaction = Transaction::begin(connection);
      if (!transaction) return transaction.error();
      if (auto done = body(); !done) return done;
      return transaction->commit();
    }();
    if (!outcome) return failed(outcome.error());
    return {};
  }

  result<void> write(const Epoch& epoch) {
    const std::int64_t now_ms = clock.wall_ms();
    return transact(true, [&]() -> result<void> {
      for (const StreamRecords& records : epoch.streams())
        if (auto done = outbox.append(records, now_ms); !done) return done;
      for (const PositionChange& change : epoch.positions()) {
        auto& statement = change.value ? put_position : erase_position;
        statement.bind(1, std::string_view(change.source)).bind(2, std::string_view(change.key));
        if (change.value) statement.bind_blob(3, *change.value);
        if (auto done = statement.run(); !done) return done;
      }
      for (const QuarantineEntry& entry : epoch.quarantined())
        if (auto done = quarantine.add(entry, now_ms); !done) return done;
      fault_point("store.before_commit");
      return {};
    });
  }

  // What to do about a full disk before the same epoch is tried again.
  void make_room(bool first) {
    if (first) spdlog::error("store: the disk of {} is full; nothing is acknowledged until there is room (free space there, or raise its size)", options.directory);
    release_ballast(options.directory);
    if (auto done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"); !done) spdlog::debug("store: checkpoint on a full disk: {}", done.error().message);
  }

  void commit(EpochTask& task, std::unique_lock<std::mutex>& guard) {
    const std::size_t size = task.epoch.size_bytes();
    std::int64_t wait_ms = kRetryFirstMs;
    for (;;) {
      guard.unlock();
      const std::int64_t begin_us = now_us();
      auto outcome = write(task.epoch);
      if (outcome || lost) {
        if (outcome) fault_point("store.after_commit");
        if (outcome && disk_full.exchange(false)) {
          spdlog::info("store: the disk takes writes again");
          make_ballast(options.directory);
        }
        const bool grew = outcome && !task.epoch.streams().empty();
        in_flight_bytes -= size;
        if (outcome) drop_to_limit();
        publish();
        {
          const std::lock_guard counted(mutex);
          ++stats.commits;
          stats.last_commit_us = static_cast<std::uint64_t>(now_us() - begin_us);
        }
        if (task.done) task.done(outcome);
        guard.lock();
        if (grew && outbox_grew) {
          auto call = outbox_grew;
          guard.unlock();
          call();
          guard.lock();
        }
        return;
      }
      const bool full = outcome.error().code == ErrorCode::full;
      const bool first = full && !disk_full.exchange(true);
      if (full) make_room(first);
      else spdlog::warn("{}; the epoch is kept and tried again", outcome.error().message);
      publish();
      guard.lock();
      ++stats.commit_failures;
      // The forwarder's calls go on meanwhile: they are what frees room.
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
      while (wake.wait_until(guard, until, [&] { return !calls.empty() || ending; })) {
        if (!calls.empty()) run_call(guard);
        else if (ending) break;
      }
      if (ending && calls.empty() && wait_ms >= kRetryMaxMs) {  // given every chance: it was never acknowledged, its sources send it again
        guard.unlock();
        if (task.done) task.done(Error{ErrorCode::full, outcome.error().message});
        guard.lock();
        in_flight_bytes -= size;
        return;
      }
      wait_ms = std::min(wait_ms * 2, kRetryMaxMs);
      if (ending) wait_ms = std::max<std::int64_t>(wait_ms, kRetryMaxMs / 2);
    }
  }

  void drop_to_limit() {
    const std::uint64_t limit = outbox_limit(options.max_bytes);
    if (options.when_full != WhenFull::drop_oldest || outbox.bytes() <= limit) return;
    std::uint64_t dropped = 0;
    auto outcome = transact(false, [&]() -> result<void> {
      while (outbox.bytes() > limit - limit / kDropTarget) {
        std::map<StreamId, Sequence> keep;
        {
          const std::lock_guard guard(mutex);
          keep = protected_up_to;
        }
        auto count = outbox.drop_oldest(keep);
        if (!count) return count.error();
        if (*count == 0) break;
        dropped += *count;
      }
      return {};
    });
    if (!outcome) {
      spdlog::warn("{}; the oldest records were not dropped", outcome.error().message);
      return;
    }
    spdlog::warn("store: storage limit reached: {} oldest records dropped, gap records go out in their place (storage.when_full: drop-oldest)", dropped);
    const std::lock_guard guard(mutex);
    stats.dropped_records += dropped;
  }

  void run_call(std::unique_lock<std::mutex>& guard) {
    auto call = std::move(calls.front());
    calls.pop_front();
    guard.unlock();
    call();
    guard.lock();
  }

  void idle() {
    if (lost) return;
    auto free_pages = connection.integer("PRAGMA freelist_count");
    auto all_pages = connection.integer("PRAGMA page_count");
    if (free_pages && all_pages && *free_pages > 256 && *free_pages * 4 > *all_pages) {
      if (auto set = set_synchronous(false); !set) return;
      if (auto done = connection.execute("PRAGMA incremental_vacuum(" + std::to_string(kVacuumPages) + ")"); !done)
        spdlog::debug("store: vacuum: {}", done.error().message);
    }
  }

  void run() {
    std::unique_lock guard(mutex);
    for (;;) {
      const bool woken = wake.wait_for(guard, std::chrono::milliseconds(kIdleMs * (outbox.bytes() == 0 ? 30 : 1)), [&] { return ending || !epochs.empty() || !calls.empty(); });
      if (!woken) {
        guard.unlock();
        idle();
        publish();
        guard.lock();
        continue;
      }
      if (!calls.empty()) run_call(guard);
      if (!epochs.empty()) {
        EpochTask task = std::move(epochs.front());
        epochs.pop_front();
        commit(task, guard);
      }
      if (ending && epochs.empty() && calls.empty()) return;
    }
  }

  static std::int64_t now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

  // Carries `body` out on the store thread and waits for it.
  template <class T>
  result<T> call(std::function<result<T>()> body) {
    std::promise<result<T>> promise;
    auto answer = promise.get_future();
    {
      const std::lock_guard guard(mutex);
      RV_CHECK(!ending, "nobody calls a store that is being closed");
      calls.push_back([&promise, &body, this] {
        if (lost) promise.set_value(*lost);
        else promise.set_value(body());
      });
    }
    wake.notify_one();
    return answer.get();
  }
};

result<std::unique_ptr<Store>> Store::open(Options options, const Clock& clock) {
  if (options.max_bytes < (8ULL << 20)) return Error{ErrorCode::invalid, "store: agent.storage.max must be at least 8MiB"};
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) return Error{ErrorCode::io, "store: cannot make " + options.directory + ": " + error.message() + "; make it by hand or set agent.state"};
  ::chmod(options.directory.c_str(), 0700);
  auto lock = DirectoryLock::take(options.directory);
  if (!lock) return lock.error();
  auto opened = open_database(options, clock);
  if (!opened) return opened.error();
  auto impl = std::make_unique<Impl>(std::move(options), clock, std::move(*lock), std::move(*opened));
  if (auto prepared = impl->prepare(); !prepared) return prepared.error();
  Impl* running = impl.get();
  impl->thread = std::thread([running] {
    ::pthread_setname_np(::pthread_self(), "store");
    running->run();
  });
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Store::~Store() {
  {
    const std::lock_guard guard(impl_->mutex);
    impl_->ending = true;
  }
  impl_->wake.notify_one();
  impl_->thread.join();
}

const Identity& Store::identity() const { return impl_->identity; }

result<StreamInfo> Store::stream(const std::string& name, const std::string& topic) {
  return impl_->call<StreamInfo>([&]() -> result<StreamInfo> {
    result<StreamInfo> found = StreamInfo{};
    auto done = impl_->transact(true, [&]() -> result<void> {
      found = impl_->outbox.stream(name, topic);
      if (!found) return found.error();
      return {};
    });
    if (!done) return done.error();
    return found;
  });
}

result<std::map<std::string, std::string>> Store::positions(const std::string& source) {
  using Positions = std::map<std::string, std::string>;
  return impl_->call<Positions>([&]() -> result<Positions> {
    auto select = impl_->connection.prepare("SELECT key, value FROM positions WHERE source = ?1");
    if (!select) return select.error();
    select->bind(1, std::string_view(source));
    Positions found;
    for (;;) {
      auto row = select->step();
      if (!row) return row.error();
      if (!*row) return found;
      found.emplace(select->bytes(0), select->bytes(1));
    }
  });
}

void Store::commit(Epoch epoch, std::function<void(result<void>)> done) {
  impl_->in_flight_bytes += epoch.size_bytes();
  {
    const std::lock_guard guard(impl_->mutex);
    RV_CHECK(!impl_->ending, "no epoch comes after the store is being closed");
    impl_->epochs.push_back({std::move(epoch), std::move(done)});
  }
  impl_->wake.notify_one();
}

bool Store::has_room() const {
  if (impl_->disk_full) return false;
  if (impl_->options.when_full == WhenFull::drop_oldest) return true;
  return impl_->outbox_bytes + impl_->in_flight_bytes < outbox_limit(impl_->options.max_bytes);
}

StoreStats Store::stats() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->stats;
}

result<std::vector<StreamInfo>> Store::streams() {
  return impl_->call<std::vector<StreamInfo>>([&]() -> result<std::vector<StreamInfo>> { return impl_->outbox.streams(); });
}

result<std::vector<Pack>> Store::read(StreamId stream, Sequence after, std::size_t max_bytes) {
  return impl_->call<std::vector<Pack>>([&] { return impl_->outbox.read(stream, after, max_bytes); });
}

result<std::optional<std::string>> Store::fact(const std::string& name) {
  using Fact = std::optional<std::string>;
  return impl_->call<Fact>([&]() -> result<Fact> {
    Statement& get = impl_->get_fact;
    get.bind(1, std::string_view(name));
    auto row = get.step();
    if (!row) return row.error();
    Fact found;
    if (*row) found = get.optional_bytes(0);
    get.reset();
    return found;
  });
}

result<void> Store::change(ForwardChange change) {
  auto outcome = impl_->call<bool>([&]() -> result<bool> {
    const std::int64_t now_ms = impl_->clock.wall_ms();
    if (!change.acknowledged.empty()) fault_point("store.before_trim");
    auto body = [&]() -> result<void> {
      for (const auto& [name, value] : change.facts) {
        Statement& statement = value ? impl_->put_fact : impl_->erase_fact;
        statement.bind(1, std::string_view(name));
        if (value) statement.bind_blob(2, *value);
        if (auto done = statement.run(); !done) return done;
      }
      for (const auto& [stream, last] : change.acknowledged)
        if (auto done = impl_->outbox.acknowledge(stream, last); !done) return done;
      for (const ForwardChange::Gap& gap : change.gaps) {
        auto taken = impl_->outbox.make_gap(gap.stream, gap.first, gap.last, gap.reason, now_ms);
        if (!taken) return taken.error();
        if (!gap.quarantine) continue;
        std::string topic;
        for (const StreamInfo& info : impl_->outbox.streams())
          if (info.id == gap.stream) topic = info.topic;
        for (PackRecord& record : *taken) {
          QuarantineEntry entry;
          entry.step = "forward";
          entry.reason = gap.reason;
          entry.key = std::move(record.key);
          entry.value = std::move(record.value);
          entry.timestamp_ms = record.timestamp_ms;
          entry.topic = topic;
          if (auto done = impl_->quarantine.add(entry, now_ms); !done) return done;
        }
      }
      return {};
    };
    auto done = impl_->transact(change.durable, body);
    if (!done && done.error().code == ErrorCode::full) {  // checkpoint first, then the deletes: the other order wedged for good on ext4
      impl_->make_room(!impl_->disk_full.exchange(true));
      done = impl_->transact(change.durable, body);
    }
    if (!done) return done.error();
    if (!change.acknowledged.empty()) fault_point("store.after_trim");
    impl_->publish();
    return true;
  });
  if (!outcome) return outcome.error();
  return {};
}

void Store::protect(const std::vector<ForwardChange::Acknowledged>& sending) {
  const std::lock_guard guard(impl_->mutex);
  impl_->protected_up_to.clear();
  for (const auto& [stream, last] : sending) impl_->protected_up_to[stream] = last;
}

void Store::on_outbox(std::function<void()> wake) {
  const std::lock_guard guard(impl_->mutex);
  impl_->outbox_grew = std::move(wake);
}

result<std::vector<Store::Quarantined>> Store::quarantined(std::int64_t after_id, std::size_t limit) {
  return impl_->call<std::vector<Quarantined>>([&] { return list_quarantine(impl_->connection, after_id, limit); });
}

result<std::uint64_t> Store::drop_quarantined(std::int64_t first_id, std::int64_t last_id) {
  return impl_->call<std::uint64_t>([&]() -> result<std::uint64_t> {
    result<std::uint64_t> dropped = std::uint64_t{0};
    auto done = impl_->transact(true, [&]() -> result<void> {
      dropped = impl_->quarantine.drop(first_id, last_id);
      if (!dropped) return dropped.error();
      return {};
    });
    if (!done) return done.error();
    return dropped;
  });
}

}  // namespace rivulet::store
