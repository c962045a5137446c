#include "agent/app/watchdog.h"

#include <atomic>
#include <chrono>
#include <functional>

#include "tests/support/catch.h"

using namespace rivulet;
using rivulet::app::PulseJudge;
using rivulet::app::Watchdog;

namespace {

using Doing = Pulse::Doing;

Pulse::Reading reading(std::uint64_t beats, Doing doing, std::optional<std::int64_t> cpu_ms = 0) {
  Pulse::Reading now;
  now.beats = beats;
  now.doing = doing;
  now.cpu_ms = cpu_ms;
  return now;
}

bool soon(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
  for (const auto until = std::chrono::steady_clock::now() + limit; std::chrono::steady_clock::now() < until; std::this_thread::yield())
    if (condition()) return true;
  return false;
}

// A thread with a pulse that does `what` until it is let go.
struct Busy {
  explicit Busy(std::function<void(Busy&)> what) : thread([this, what = std::move(what)] {
    Pulse::take(pulse);
    what(*this);
    Pulse::end();
  }) {}
  ~Busy() {
    over = true;
    thread.join();
  }
  std::shared_ptr<Pulse> pulse = std::make_shared<Pulse>();
  std::atomic<bool> over{false};
  std::thread thread;
};

}  // namespace

TEST_CASE("a thread that beats is alive however long it works") {
  PulseJudge judge(1000);
  for (int i = 0; i < 100; ++i) CHECK(judge.alive(reading(static_cast<std::uint64_t>(i), Doing::works), i * 900));
}

TEST_CASE("a thread that waits for work is alive for ever") {
  PulseJudge judge(1000);
  for (int i = 0; i < 100; ++i) CHECK(judge.alive(reading(7, Doing::waits), i * 1'000'000));
}

TEST_CASE("a piece of work that never ends is stuck") {
  PulseJudge judge(1000);
  CHECK(judge.alive(reading(7, Doing::works), 0));
  CHECK(judge.alive(reading(7, Doing::works), 999));
  CHECK_FALSE(judge.alive(reading(7, Doing::works), 1000));
  CHECK(judge.since_ms() == 0);
  CHECK(judge.alive(reading(8, Doing::works), 1001));  // it was slow, and no more
}

TEST_CASE("a wait for the disk is no hang, a loop in there is one") {
  PulseJudge waits(1000), loops(1000), unknown(1000);
  CHECK(waits.alive(reading(7, Doing::disk, 50), 0));
  CHECK(waits.alive(reading(7, Doing::disk, 90), 600'000));
  CHECK(loops.alive(reading(7, Doing::disk, 50), 0));
  CHECK_FALSE(loops.alive(reading(7, Doing::disk, 50 + 9'500), 10'000));
  CHECK(unknown.alive(reading(7, Doing::disk, std::nullopt), 0));
  CHECK_FALSE(unknown.alive(reading(7, Doing::disk, std::nullopt), 10'000));
}

TEST_CASE("scopes nest, and without a pulse of its own a thread may use them") {
  const PulseScope nothing(Doing::disk);
  Busy busy([](Busy& self) {
    const PulseScope outer(Doing::waits);
    { const PulseScope inner(Doing::disk); }
    while (!self.over) std::this_thread::yield();
  });
  CHECK(soon([&] { return busy.pulse->read().doing == Doing::waits && busy.pulse->read().cpu_ms.has_value(); }));
  CHECK_FALSE(busy.pulse->in_disk_sleep());
}

TEST_CASE("the watchdog is fed while one thread waits and another works, and not once one is stuck") {
  std::atomic<int> fed{0};
  std::mutex never;
  std::unique_lock held(never);
  Watchdog watchdog({2, 100}, [&] { ++fed; });
  Busy idle([](Busy& self) {
    const PulseScope at(Doing::waits);
    while (!self.over) std::this_thread::yield();
  });
  Busy works([](Busy& self) {
    while (!self.over) self.pulse->beat();
  });
  watchdog.watch("idle", idle.pulse);
  watchdog.watch("works", works.pulse);
  const int before = fed;
  REQUIRE(soon([&] { return fed > before + 100; }));  // 200 ms at least: twice the time for a piece of work

  Busy stuck([&](Busy&) { const std::scoped_lock lock(never); });
  watchdog.watch("stuck", stuck.pulse);
  REQUIRE(soon([&] {
    const int now = fed;
    return !soon([&] { return fed != now; }, std::chrono::milliseconds(50));  // looks come every 2 ms
  }));
  held.unlock();
  const int then = fed;
  REQUIRE(soon([&] { return fed > then; }));  // it was no deadlock after all
  watchdog.watch("stuck", nullptr);
}
