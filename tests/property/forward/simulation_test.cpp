#include <spdlog/spdlog.h>

#include <cstdlib>
#include <functional>
#include <random>

#include "tests/property/forward/simulation.h"
#include "tests/support/catch.h"

using namespace rivulet;
using namespace rivulet::sim;

namespace {

// RIVULET_SEED repeats one; RIVULET_RUNS asks for more, from a seed that nobody has seen. Without either the seeds are always the
// same, so that a test run says something of the change and not of its luck.
std::uint64_t first_seed() {
  if (const char* text = std::getenv("RIVULET_SEED")) return std::strtoull(text, nullptr, 10);
  if (std::getenv("RIVULET_RUNS") == nullptr) return 1;
  return std::random_device{}();
}
int runs(int wanted) {
  if (std::getenv("RIVULET_SEED") != nullptr) return 1;
  if (const char* text = std::getenv("RIVULET_RUNS")) return std::atoi(text);
  return wanted;
}

const Faults everything{.crash = 4, .cut = 10, .lost_report = 20, .lost_end_txn_reply = 30, .late_end_txn = 20, .late_marker = 20,
                        .pause = 2, .other_agent = 10, .no_leader = 10};

std::uint64_t must_be_exact(const Plan& like, int times) {
  spdlog::set_level(spdlog::level::off);  // thousands of lives
  const auto seed = first_seed();
  std::uint64_t crashes = 0, recoveries = 0, transactions = 0, dropped_while_prepared = 0;
  for (int i = 0, n = runs(times); i < n; ++i) {
    auto plan = like;
    plan.seed = seed + static_cast<std::uint64_t>(i);
    const auto outcome = simulate(plan);
    INFO("RIVULET_SEED=" << plan.seed << ": " << outcome.text());
    REQUIRE(outcome.exact());
    if (plan.faults.full == 0) REQUIRE(outcome.gaps == outcome.quarantined);
    else REQUIRE(outcome.gaps <= outcome.quarantined);  // what is dropped while it is sent, before it is PREPARED, may arrive
    dropped_while_prepared += outcome.dropped_while_prepared;
    crashes += outcome.crashes;
    recoveries += outcome.recoveries;
    transactions += outcome.transactions;
  }
  REQUIRE(transactions > 0);
  UNSCOPED_INFO(crashes << " crashes, " << recoveries << " recoveries, " << transactions << " transactions");
  return dropped_while_prepared;
}

// A rule that is switched off must show: in some of so many lives a record is lost, doubled or out of order.
int lives_that_break(const Plan& like, int times) {
  spdlog::set_level(spdlog::level::off);
  int broken = 0;
  for (int i = 0; i < times; ++i) {
    auto plan = like;
    plan.seed = 1'000 + static_cast<std::uint64_t>(i);  // fixed: a control must not fail by luck
    const auto outcome = simulate(plan);
    broken += outcome.missing + outcome.duplicates + outcome.out_of_order > 0 ? 1 : 0;
  }
  return broken;
}

}  // namespace

TEST_CASE("every record arrives once and in order when nothing fails") {
  must_be_exact({}, 20);
}

TEST_CASE("every record arrives once and in order whatever fails") {
  Plan plan;
  plan.faults = everything;
  must_be_exact(plan, 300);
}

TEST_CASE("every record arrives once and in order when the process dies again and again") {
  Plan plan;
  plan.faults = {.crash = 25};
  must_be_exact(plan, 150);
}

TEST_CASE("refused records leave gaps, all others arrive once and in order") {
  Plan plan;
  plan.faults = everything;
  plan.poisoned = 5;
  must_be_exact(plan, 100);
}

TEST_CASE("records that are too far ahead of the clock leave gaps, all others arrive once and in order") {
  Plan plan;
  plan.faults = everything;
  plan.ahead = 40;
  must_be_exact(plan, 100);
  plan.poisoned = 3;
  must_be_exact(plan, 50);
}

TEST_CASE("a missing topic holds its stream alone, and everything arrives once it is there") {
  Plan plan;
  plan.faults = everything;
  plan.missing_topic = true;
  must_be_exact(plan, 50);
}

TEST_CASE("a store at its limit drops also while a transaction is PREPARED, and everything else arrives once and in order") {
  Plan plan;
  plan.faults = everything;
  plan.faults.full = 50;
  CHECK(must_be_exact(plan, 100) > 0);
}

// Each control runs the same lives twice: with the rule none breaks, without it some do.
static void needs(Plan plan, int times, const std::function<void(forward::DriverOptions&)>& without) {
  CHECK(lives_that_break(plan, times) == 0);
  plan.options = without;
  CHECK(lives_that_break(plan, times) > 0);
}

TEST_CASE("the simulation fails when nothing is resolved after a restart") {
  Plan plan;
  plan.faults = everything;
  needs(plan, 30, [](forward::DriverOptions& options) { options.no_resolve = true; });
}

TEST_CASE("the simulation fails when the outbox is trimmed before the commit") {
  Plan plan;
  plan.faults = everything;
  needs(plan, 30, [](forward::DriverOptions& options) { options.trim_before_commit = true; });
}

TEST_CASE("the simulation fails when a second EndTxn request is not minded") {
  Plan plan;
  plan.faults = {.crash = 4, .lost_report = 100, .late_end_txn = 200};
  needs(plan, 60, [](forward::DriverOptions& options) { options.protocol.ignore_end_txn_count = true; });
}

TEST_CASE("the simulation fails when the partitions are not drained before resolving") {
  Plan plan;
  plan.faults = {.crash = 20, .late_marker = 300};
  needs(plan, 60, [](forward::DriverOptions& options) { options.no_drain = true; });
}

TEST_CASE("the simulation fails when a commit is believed before its markers are seen") {
  Plan plan;
  plan.faults = {.crash = 10, .late_marker = 200};
  needs(plan, 60, [](forward::DriverOptions& options) { options.no_settle = true; });
}
