#include "store/store.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>


#include "agent/base/check.h"
#include "agent/base/log.h"
#include "store/engine.h"
#include "store/state_file.h"

namespace rivulet::store {
namespace {

constexpr std::int64_t kRetryFirstMs = 50, kRetryMaxMs = 2000;
constexpr int kTriesAtTheEnd = 3;  // of an epoch whose commit failed, when the store is being closed

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Steps and the log through the store thread, rows by a connection of the io thread's.
class StoreState final : public StateBackend {
 public:
  StoreState(Store& store, StateFile file) : store_(store), file_(std::move(file)) {}
  result<std::uint32_t> step(const std::string& pipeline, const std::string& step, const std::string& definition) override {
    return store_.state_step(pipeline, step, definition);
  }
  result<void> log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit) override { return store_.state_log(visit); }
  result<std::optional<std::string>> get(std::uint32_t table, std::string_view key) override { return file_.get(table, key); }
  result<std::vector<std::pair<std::string, std::string>>> rows(std::uint32_t table, std::string_view from, std::string_view to, std::size_t limit) override {
    return file_.rows(table, from, to, limit);
  }

 private:
  Store& store_;
  StateFile file_;
};

}  // namespace

struct Store::Impl {
  struct Waiting {
    Epoch epoch;
    std::function<void(result<void>)> done;
  };
  using Guard = std::unique_lock<std::mutex>;

  const Options options;  // as at the start; what may change since is below
  const DirectoryLock lock;
  const Identity identity;
  Engine engine;  // the store thread's alone, once that runs
  Protected protect;

  mutable std::mutex mutex;
  std::condition_variable wake;
  std::deque<Waiting> epochs;  // the first one is being committed, or tried again
  std::deque<std::function<void()>> calls;
  bool ending = false;
  StoreStats stats;
  std::map<std::string, std::set<StreamId>> holders;  // hold()
  std::vector<StreamInfo> streams;  // for stream_infos()
  std::set<StreamId> held;                            // by any of them
  std::function<void()> outbox_grew;

  std::atomic<std::size_t> epochs_waiting{0};
  std::atomic<std::uint64_t> in_flight_bytes{0}, used_bytes{0}, outbox_max_bytes{0};
  std::atomic<bool> disk_full{false}, held_full{false}, drop_oldest{false};
  const std::shared_ptr<Pulse> pulse = std::make_shared<Pulse>();
  std::thread thread;

  Impl(Options wanted, const Clock& clock, DirectoryLock taken, Opened opened)
      : options(std::move(wanted)), lock(std::move(taken)), identity(std::move(opened.identity)),
        engine(options, clock, std::move(opened.connection)), drop_oldest(options.when_full == WhenFull::drop_oldest) {}

  void publish(const Guard&) {
    engine.fill(stats);
    engine.outbox().streams(streams);
    stats.disk_full = disk_full;
    used_bytes = stats.used_bytes;
    outbox_max_bytes = stats.outbox_max_bytes;
    stats.held_bytes = 0;
    for (const StreamId stream : held)
      if (const StreamInfo* info = engine.outbox().find(stream)) stats.held_bytes += info->bytes;
    stats.held_full = !drop_oldest && stats.held_bytes > stats.outbox_max_bytes / 2;
    held_full = stats.held_full;
  }

  void run() {
    Guard guard(mutex);
    std::int64_t sleep_ms = 0;
    for (;;) {
      pulse->beat();
      if (!wait(guard, sleep_ms)) {
        guard.unlock();
        sleep_ms = engine.background();
        guard.lock();
        publish(guard);
        continue;
      }
      if (!calls.empty()) run_call(guard);
      if (!epochs.empty()) commit_first(guard);
      // Soon after work, so that what rides is not older than a second and trimming goes on.
      sleep_ms = engine.rides() ? 1000 : engine.outbox().wants_trim() ? 0 : 1000;
      if (ending && epochs.empty() && calls.empty()) break;
    }
    guard.unlock();
    engine.end();
  }

  bool wait(Guard& guard, std::int64_t sleep_ms) {
    const PulseScope at(Pulse::Doing::waits);
    return wake.wait_for(guard, std::chrono::milliseconds(sleep_ms), [&] { return ending || !epochs.empty() || !calls.empty(); });
  }

  void run_call(Guard& guard) {
    pulse->beat();
    auto call = std::move(calls.front());
    calls.pop_front();
    guard.unlock();
    call();
    guard.lock();
  }

  void commit_first(Guard& guard) {
    const Waiting& first = epochs.front();  // stays at its place: the deque only grows at its end meanwhile
    std::int64_t wait_ms = kRetryFirstMs;
    int tries_at_the_end = 0;
    for (;;) {
      pulse->beat();
      guard.unlock();
      const std::int64_t begin_us = now_us();
      const auto outcome = engine.write(first.epoch);
      if (outcome || engine.lost()) return finish(outcome, begin_us, guard);
      const bool full = outcome.error().code == ErrorCode::full;
      if (full && !disk_full.exchange(true))
        log::error("{}; nothing is acknowledged until there is room: free space in {} or raise agent.storage.max", outcome.error().message, options.directory);
      if (!full) log::warn("{}; the epoch is kept and tried again", outcome.error().message);
      guard.lock();
      ++stats.commit_failures;
      publish(guard);
      if (ending && ++tries_at_the_end >= kTriesAtTheEnd) {
        // It was never acknowledged: its sources send it again. What came after it cannot be written without it.
        engine.give_up({ErrorCode::unavailable, "store: closed before it could write: " + outcome.error().message});
        guard.unlock();
        return finish(*engine.lost(), begin_us, guard);
      }
      // The forwarder's calls go on meanwhile: they are what makes room.
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ending ? kRetryFirstMs : wait_ms);
      const auto called = [&] {
        const PulseScope at(Pulse::Doing::waits);
        return wake.wait_until(guard, until, [&] { return !calls.empty() || (ending && tries_at_the_end == 0); }) && !calls.empty();
      };
      while (called()) run_call(guard);
      wait_ms = std::min(wait_ms * 2, kRetryMaxMs);
    }
  }

  // Takes the first epoch off and tells whoever handed it over. Called unlocked, returns locked.
  void finish(const result<void>& outcome, std::int64_t begin_us, Guard& guard) {
    if (outcome && disk_full.exchange(false)) log::info("store: the disk takes writes again");
    if (outcome) engine.drop_to_limit(protect);
    guard.lock();
    Waiting first = std::move(epochs.front());
    epochs.pop_front();
    in_flight_bytes -= first.epoch.size_bytes();
    --epochs_waiting;
    if (outcome) {
      ++stats.commits;
      stats.last_commit_us = static_cast<std::uint64_t>(now_us() - begin_us);
    }
    publish(guard);
    const auto grew = outcome && !first.epoch.streams().empty() ? outbox_grew : nullptr;
    guard.unlock();
    if (first.done) first.done(outcome);
    if (grew) grew();
    first = {};  // its memory goes before the next one is waited for
    guard.lock();
  }

  // Carries `body` out on the store thread and waits for it.
  template <class T, class Body>
  result<T> call(const Body& body) {
    RV_CHECK(std::this_thread::get_id() != thread.get_id(), "the store thread does not wait for itself");
    const auto promise = std::make_shared<std::promise<result<T>>>();  // outlives set_value(), whoever is faster
    auto answer = promise->get_future();
    {
      const std::lock_guard guard(mutex);
      RV_CHECK(!ending, "nobody calls a store that is being closed");
      calls.emplace_back([&, promise] {
        result<T> outcome = engine.lost() ? result<T>(*engine.lost()) : result<T>(body());
        engine.drop_to_limit(protect);  // it may have been barred until this call
        {
          const Guard published(mutex);
          publish(published);
        }
        promise->set_value(std::move(outcome));
      });
    }
    wake.notify_one();
    const PulseScope at(Pulse::Doing::waits);  // for the store thread, which has a pulse itself
    return answer.get();
  }

  // Changes of epochs that are handed over and not yet durable: they were made in order and will be.
  void overlay(const std::string& source, Engine::Positions& positions) {
    const std::lock_guard guard(mutex);
    for (const Waiting& waiting : epochs)
      for (const PositionChange& change : waiting.epoch.positions()) {
        if (change.source != source) continue;
        if (change.value) positions[change.key] = *change.value;
        else positions.erase(change.key);
      }
  }
};

result<std::unique_ptr<Store>> Store::open(Options options, const Clock& clock) {
  if (options.agent_id.empty()) return Error{ErrorCode::invalid, "store: agent.id is missing and /etc/machine-id is empty: set agent.id to a name for this gateway"};
  if (options.directory.empty()) return Error{ErrorCode::invalid, "store: agent.state is empty"};
  if (auto made = make_directory(options.directory); !made) return made.error();
  auto lock = DirectoryLock::take(options.directory);
  if (!lock) return lock.error();
  auto opened = open_database(options, clock);
  if (!opened) return opened.error();
  auto impl = std::make_unique<Impl>(std::move(options), clock, std::move(*lock), std::move(*opened));
  if (auto prepared = impl->engine.prepare(); !prepared) return prepared.error();
  Impl* running = impl.get();
  {
    const Impl::Guard guard(running->mutex);
    running->publish(guard);
  }
  running->thread = std::thread([running] {
    ::pthread_setname_np(::pthread_self(), "store");
    Pulse::take(running->pulse);
    running->run();
    Pulse::end();
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

void Store::commit(Epoch epoch, std::function<void(result<void>)> done) {
  impl_->in_flight_bytes += epoch.size_bytes();
  ++impl_->epochs_waiting;
  {
    const std::lock_guard guard(impl_->mutex);
    RV_CHECK(!impl_->ending, "no epoch comes after the store is being closed");
    impl_->epochs.push_back({std::move(epoch), std::move(done)});
  }
  impl_->wake.notify_one();
}

bool Store::has_room() const {
  if (impl_->disk_full || impl_->epochs_waiting >= impl_->options.epochs_in_flight) return false;
  // Drop-oldest brings it below the limit after each commit; only what it may not drop keeps it above.
  if (impl_->drop_oldest) return impl_->used_bytes <= impl_->outbox_max_bytes;
  return impl_->used_bytes + impl_->in_flight_bytes < impl_->outbox_max_bytes;
}

bool Store::has_room_for(StreamId stream) const {
  if (!impl_->held_full) return true;
  const std::lock_guard guard(impl_->mutex);
  return impl_->held.count(stream) == 0;
}

void Store::hold(const std::string& holder, const std::set<StreamId>& streams) {
  {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->ending) return;
    impl_->calls.emplace_back([this, holder, streams] {
      const Impl::Guard published(impl_->mutex);
      if (streams.empty()) impl_->holders.erase(holder);
      else impl_->holders[holder] = streams;
      impl_->held.clear();
      for (const auto& [who, theirs] : impl_->holders) impl_->held.insert(theirs.begin(), theirs.end());
      impl_->publish(published);
    });
  }
  impl_->wake.notify_one();
}

StoreStats Store::stats() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->stats;
}

std::vector<StreamInfo> Store::stream_infos() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->streams;
}

result<StreamInfo> Store::stream(const std::string& name, const std::string& topic) {
  return impl_->call<StreamInfo>([&] { return impl_->engine.stream(name, topic); });
}

result<std::map<std::string, std::string>> Store::positions(const std::string& source) {
  return impl_->call<Engine::Positions>([&] {
    auto found = impl_->engine.positions(source);
    if (found) impl_->overlay(source, *found);
    return found;
  });
}

result<std::unique_ptr<StateBackend>> Store::open_state() {
  auto file = StateFile::open(database_path(impl_->options.directory), impl_->options.vfs);
  if (!file) return file.error();
  return std::unique_ptr<StateBackend>(std::make_unique<StoreState>(*this, std::move(*file)));
}

result<std::uint32_t> Store::state_step(const std::string& pipeline, const std::string& step, const std::string& definition) {
  return impl_->call<std::uint32_t>([&] { return impl_->engine.state_step(pipeline, step, definition); });
}

result<bool> Store::forget_state(const std::string& pipeline, const std::string& step, bool whole, const std::function<bool(std::uint32_t, std::string_view)>& gone) {
  return impl_->call<bool>([&] { return impl_->engine.forget_state(pipeline, step, whole, gone); });
}

result<void> Store::set_options(const Options& options) {
  return impl_->call<void>([&]() -> result<void> {
    Options all = options;  // what stays is as it was
    all.directory = impl_->options.directory;
    all.agent_id = impl_->options.agent_id;
    all.epochs_in_flight = impl_->options.epochs_in_flight;
    all.vfs = impl_->options.vfs;
    impl_->engine.set_options(all);
    impl_->drop_oldest = all.when_full == WhenFull::drop_oldest;
    return {};
  });
}

std::shared_ptr<const Pulse> Store::pulse() const { return impl_->pulse; }

result<void> Store::state_log(const std::function<result<void>(std::uint64_t, std::string_view)>& visit) {
  return impl_->call<void>([&] { return impl_->engine.state_log(visit); });
}

result<std::vector<StreamInfo>> Store::streams() {
  return impl_->call<std::vector<StreamInfo>>([&] { return impl_->engine.streams(); });
}

result<std::vector<Pack>> Store::read(StreamId stream, Sequence after, std::size_t max_bytes) {
  return impl_->call<std::vector<Pack>>([&] { return impl_->engine.read(stream, after, max_bytes); });
}

result<std::optional<std::string>> Store::fact(const std::string& name) {
  return impl_->call<std::optional<std::string>>([&] { return impl_->engine.fact(name); });
}

result<void> Store::change(ForwardChange change) {
  return impl_->call<void>([&] { return impl_->engine.change(std::move(change)); });
}

void Store::protect(const std::vector<ForwardChange::Acknowledged>& prepared) { impl_->protect.set(prepared); }

void Store::on_outbox(std::function<void()> wake) {
  const std::lock_guard guard(impl_->mutex);
  impl_->outbox_grew = std::move(wake);
}

result<std::vector<Store::Quarantined>> Store::quarantined(std::int64_t after_id, std::size_t limit) {
  return impl_->call<std::vector<Quarantined>>([&] { return impl_->engine.quarantined(after_id, limit); });
}

result<bool> Store::unused() {
  return impl_->call<bool>([&] { return impl_->engine.unused(); });
}

result<void> Store::rebuild(Rebuild rebuild) {
  return impl_->call<void>([&] { return impl_->engine.rebuild(rebuild); });
}

result<std::uint64_t> Store::drop_quarantined(std::int64_t first_id, std::int64_t last_id) {
  return impl_->call<std::uint64_t>([&] { return impl_->engine.drop_quarantined(first_id, last_id); });
}

}  // namespace rivulet::store
